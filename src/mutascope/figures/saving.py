"""Figures into files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mutascope.core.errors import MutascopeError


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` as PNG, PDF or SVG, by the suffix of ``path``.

    A map has at least 3 pixels per site in each direction, up to 150 million pixels in all.

    Raises:
        MutascopeError: for another suffix, or when the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in {".png", ".pdf", ".svg"}:
        raise MutascopeError(
            f"cannot write a figure to {str(path)!r}: the name must end in .png, .pdf or .svg"
        )
    try:
        figure.savefig(path, dpi=figure.dpi)
    except OSError as error:
        raise MutascopeError(f"cannot write a figure to {str(path)!r}: {error.strerror or error}") from error


def settle(figure: Figure) -> None:
    """Compute the layout of a figure once, and not again in every format that it is written in."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
