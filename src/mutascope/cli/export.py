"""``mutascope export``: records and texts in one file, or in the format of the paper's scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import check_name
from mutascope.core.words import counted
from mutascope.store.reader import ScreenData


def export(
    folder: options.Folder,
    out: Annotated[Path | None, typer.Option(help="file to write; default FOLDER.csv or .parquet")] = None,
    format: Annotated[str, typer.Option(help="csv, parquet, or authors, which writes a folder")] = "csv",
) -> None:
    """Write the records with the text of every phenotype beside it."""
    check_name("format", format, ["csv", "parquet", "authors"])
    if format == "authors":
        _export_authors(folder, out or Path(f"{Path(folder).name or 'screen'}-authors"))
        return
    target = out or Path(f"{Path(folder).name or 'screen'}.{format}")
    frame = ScreenData(folder).texts()
    try:
        frame.write_csv(target) if format == "csv" else frame.write_parquet(target)
    except OSError as error:
        raise MutascopeError(f"{target} cannot be written: {error}") from error
    typer.echo(f"{target}: {counted(len(frame), 'record')}")


def _export_authors(folder: str, out: Path) -> None:
    from mutascope.interop.authors import export_authors

    exported = export_authors(ScreenData(folder), out)
    typer.echo(f"{out}: log, code, finished and done files")
    if exported.changed:
        typer.echo(
            f"{exported.changed} texts hold signs of the format itself and will be read differently"
            " (docs/reference/authors.md)"
        )
    if exported.lost:
        typer.echo(
            f"{counted(len(exported.lost), 'locus', 'loci')} were screened at chosen sites, which the format cannot"
            " say: an import leaves them out"
        )
