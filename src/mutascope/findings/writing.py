"""Every table into a folder, as CSV and Parquet, with a data dictionary."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from mutascope.core.errors import MutascopeError, NotHere
from mutascope.findings.registry import TABLES, Table
from mutascope.findings.screens import Screens


def build_tables(given: Screens) -> Iterator[tuple[Table, pl.DataFrame | str]]:
    """Yield every table with its frame, or with the reason why these screens cannot make it."""
    for table in TABLES.values():
        try:
            yield table, table.build(given)
        except NotHere as error:
            yield table, str(error)


def write_tables(given: Screens, out: str | os.PathLike[str], tell: Callable[[str], None] = print) -> None:
    """Write every table, ``dictionary.csv`` and ``README.md`` into a folder, which is made if need be.

    Args:
        given: the screens.
        out: the folder; other files in it stay.
        tell: is given a line per table.

    Raises:
        MutascopeError: when the folder cannot be written.
    """
    folder = make_folder(out)
    entries: list[dict[str, str]] = []
    told = ["# Tables", "", f"Of {', '.join(given.labels)}. Every table is there as CSV and as Parquet.", ""]
    missing = [f"- {note}." for note in given.notes]
    for note in given.notes:
        tell(note)
    for table, found in build_tables(given):
        if isinstance(found, str):
            missing.append(f"- `{table.name}`: {found}.")
            tell(f"{table.name}: left out, {found}")
            continue
        _write(found, folder, table.name)
        columns = _columns(table, found)
        entries += columns
        told += _section(table, columns)
        tell(f"{table.name}: {len(found):,} row{'s' if len(found) != 1 else ''}")
    if missing:
        told += ["## Left out", "", *missing, ""]
    _write(pl.DataFrame(entries), folder, "dictionary", parquet=False)
    _save(folder / "README.md", lambda path: path.write_text("\n".join(told), encoding="utf-8"))


def make_folder(out: str | os.PathLike[str]) -> Path:
    """Return ``out`` as a folder that exists.

    Raises:
        MutascopeError: when a file is in its place, or it cannot be made.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise MutascopeError(f"{folder} is a file: choose a folder for --out") from error
    except OSError as error:
        raise MutascopeError(f"{folder} cannot be made: {error.strerror}; choose another --out") from error
    return folder


def _columns(table: Table, frame: pl.DataFrame) -> list[dict[str, str]]:
    return [
        {"table": table.name, "column": name, "type": str(dtype), "meaning": table.meaning(name)}
        for name, dtype in frame.schema.items()
    ]


def _section(table: Table, columns: list[dict[str, str]]) -> list[str]:
    lines = [
        f"## {table.name}",
        "",
        table.description,
        "",
        "| column | type | meaning |",
        "| --- | --- | --- |",
    ]
    cells = [[c[key].replace("|", "\\|") for key in ("column", "type", "meaning")] for c in columns]
    return [*lines, *(f"| {' | '.join(row)} |" for row in cells), ""]


def _write(frame: pl.DataFrame, folder: Path, name: str, *, parquet: bool = True) -> None:
    _save(folder / f"{name}.csv", frame.write_csv)
    if parquet:
        _save(folder / f"{name}.parquet", frame.write_parquet)


def _save(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as error:
        raise MutascopeError(f"{path} cannot be written: {error.strerror or error}") from error
