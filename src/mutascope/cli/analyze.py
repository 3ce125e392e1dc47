"""``mutascope analyze``: every table of the findings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mutascope.findings import Screens, write_tables


def analyze(
    folders: Annotated[list[str], typer.Argument(help="screen folders", show_default=False)],
    out: Annotated[Path, typer.Option(help="folder to write the tables to")],
) -> None:
    """Write every table as CSV and Parquet, with a data dictionary."""
    write_tables(Screens(folders), out, typer.echo)
    typer.echo(f"{out}: see README.md")
