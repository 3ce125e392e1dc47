"""``mutascope report``: one HTML page of what screens found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.figures.palette import palette_named
from mutascope.findings import ScreenSet
from mutascope.report import write_report


def report(
    folders: options.Folders,
    out: Annotated[Path, typer.Option(help="HTML file to write")],
    palette: options.Palette = "paper",
) -> None:
    """Write what was screened, how, and what came out, as one self-contained HTML page."""
    colours = palette_named(palette)
    write_report(ScreenSet(folders), out, palette=colours, tell=typer.echo)
