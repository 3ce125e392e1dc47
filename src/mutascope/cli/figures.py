"""``mutascope figures``: every figure of the findings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.figures.palette import palette_named
from mutascope.findings import ScreenSet, write_figures


def figures(
    folders: options.Folders,
    out: Annotated[Path, typer.Option(help="folder to write the figures to")],
    palette: options.Palette = "paper",
    only: Annotated[str | None, typer.Option(help="names of figures, separated by commas")] = None,
) -> None:
    """Draw every figure as vector PDF and as PNG."""
    colours = palette_named(palette)
    names = [name.strip() for name in only.split(",")] if only else []
    write_figures(ScreenSet(folders), out, palette=colours, tell=typer.echo, only=names)
