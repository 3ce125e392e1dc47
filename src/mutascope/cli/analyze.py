"""``mutascope analyze``: every table of the findings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.findings import ScreenSet, write_tables


def analyze(
    folders: options.Folders,
    out: Annotated[Path, typer.Option(help="folder to write the tables to")],
) -> None:
    """Write every table as CSV and Parquet, with a data dictionary."""
    write_tables(ScreenSet(folders), out, typer.echo)
    typer.echo(f"{out}: see README.md")
