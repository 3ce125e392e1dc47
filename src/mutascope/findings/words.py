"""Numbers in sentences and cells."""

from __future__ import annotations


def chance(value: float) -> str:
    """Return a p-value or q-value."""
    return f"{value:.1e}" if 0 < value < 0.001 else f"{value:.3f}"


def number(value: float) -> str:
    """Return a number with three or four digits that matter."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}"


def per_cent(value: float | None) -> str:
    """Return a share in per cent, with its sign."""
    return "unknown" if value is None else f"{100 * value:.1f} %"
