"""Numbers and names as the cells of tables show them."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

_SHARES = frozenset({"rate", "share", "share_max", "share_min", "share_same", "one_sided", "explained"})
_OF_SAMPLE = frozenset({"predicted", "sample_rate", "sample_low", "sample_high"})
_CHANCES = frozenset({"p", "q"})
_LONGEST = 160


def shares(columns: Collection[str]) -> frozenset[str]:
    """Return the columns that are shown in per cent: shares, and the ends of the interval of a rate."""
    found = _SHARES | {"low", "high"} if "rate" in columns else _SHARES
    return found | _OF_SAMPLE if _OF_SAMPLE.issubset(columns) else found


def heading(column: str, in_per_cent: Collection[str] = ()) -> str:
    """Return the heading of a column."""
    named = column.replace("_", " ")
    return f"{named}, %" if column in in_per_cent else named


def cell(column: str, value: Any, in_per_cent: Collection[str] = ()) -> str:
    """Return what a cell shows: thousands with commas, shares in per cent, small chances as powers of ten."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        if column in _CHANCES or column.endswith(("_p", "_q")) or column.startswith("p_"):
            return chance(value)
        return f"{100 * value:.1f}" if column in in_per_cent else number(value)
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


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


def rate(row: dict[str, Any]) -> str:
    """Return in words the interval that goes with a rate; ``row`` has low and high."""
    if row["low"] is None:
        return "no random sample: no interval"
    if row["low"] == row["high"]:
        return "every site was screened"
    return f"95 %: {100 * row['low']:.1f} to {100 * row['high']:.1f}"
