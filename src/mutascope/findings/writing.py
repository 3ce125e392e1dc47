"""Tables and figures of the findings, one by one or all into a folder."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures as drawing
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.core.words import counted
from mutascope.figures.palette import PAPER, Palette
from mutascope.findings.finding import Drawing, Finding
from mutascope.findings.list import all_findings, figure_named, figures, table_named
from mutascope.findings.models import with_model
from mutascope.findings.screens import ScreenSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def build_table(given: ScreenSet, name: str) -> pl.DataFrame:
    """Return a table by name (the documentation lists them).

    Raises:
        NotHere: when these screens cannot make it; says what it takes.
        MutascopeError: for an unknown name, or damaged data.
    """
    table = table_named(name).table
    assert table is not None
    return with_model(given, table(given))


def build_tables(given: ScreenSet) -> Iterator[tuple[Finding, pl.DataFrame | str]]:
    """Yield every finding with its table, or with the reason why these screens cannot make it."""
    for finding in all_findings():
        if finding.table is None:
            continue
        try:
            yield finding, with_model(given, finding.table(given))
        except NotHere as error:
            yield finding, str(error)


def draw_figure(given: ScreenSet, name: str, palette: Palette = PAPER) -> dict[str, Figure]:
    """Return the pictures of a figure by suffix: one with an empty suffix, or one per screen or axis.

    Raises:
        NotHere: when these screens cannot make it; says what it takes.
        MutascopeError: for an unknown name, or damaged data.
    """
    return dict(figure_named(name).draw(given, palette))


def write_tables(given: ScreenSet, out: str | os.PathLike[str], tell: Callable[[str], None] = print) -> None:
    """Write every table, ``dictionary.csv`` and ``README.md`` into a folder, which is made if need be.

    Args:
        given: the screens.
        out: the folder; other files in it stay.
        tell: is given a line per table.

    Raises:
        MutascopeError: when the folder cannot be written.
    """
    folder = _make_folder(out)
    entries: list[dict[str, str]] = []
    told = ["# Tables", "", f"Of {', '.join(given.labels)}. Every table is there as CSV and as Parquet.", ""]
    missing = [f"- {note}." for note in given.notes]
    for note in given.notes:
        tell(note)
    for finding, found in build_tables(given):
        if isinstance(found, str):
            missing.append(f"- `{finding.name}`: {found}.")
            tell(f"{finding.name}: left out, {found}")
            continue
        _save(folder / f"{finding.name}.csv", found.write_csv)
        _save(folder / f"{finding.name}.parquet", found.write_parquet)
        entries += dictionary(finding, found)
        told.append(documented(finding, found))
        tell(f"{finding.name}: {counted(len(found), 'row')}")
    if missing:
        told += ["## Left out", "", *missing, ""]
    _save(folder / "dictionary.csv", pl.DataFrame(entries).write_csv)
    _save(folder / "README.md", lambda path: path.write_text("\n".join(told), encoding="utf-8"))


def dictionary(finding: Finding, frame: pl.DataFrame) -> list[dict[str, str]]:
    """Return a row per column of a table: table, column, type, meaning."""
    return [
        {"table": finding.name, "column": name, "type": str(dtype), "meaning": finding.column(name).meaning}
        for name, dtype in frame.schema.items()
    ]


def documented(finding: Finding, frame: pl.DataFrame) -> str:
    """Return what a table holds, in Markdown."""
    keys = ("column", "type", "meaning")
    rows = [[entry[key].replace("|", "\\|") for key in keys] for entry in dictionary(finding, frame)]
    lines = [
        f"## {finding.name}",
        "",
        finding.description,
        "",
        "| column | type | meaning |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def write_figures(
    given: ScreenSet,
    out: str | os.PathLike[str],
    *,
    palette: Palette = PAPER,
    tell: Callable[[str], None] = print,
    only: Sequence[str] = (),
) -> None:
    """Write every figure, or those named in ``only``, as NAME.pdf and NAME.png into a folder.

    Args:
        given: the screens.
        out: the folder, which is made if need be; other files in it stay.
        palette: colours.
        tell: is given a line per picture.
        only: names of figures; one that these screens cannot make is an error, once the others are drawn.

    Raises:
        MutascopeError: for an unknown name, figures of ``only`` that cannot be drawn, a folder that cannot be written.
    """
    chosen = [figure_named(name) for name in only] or list(figures().values())
    folder = _make_folder(out)
    taken: set[str] = set()
    missing = []
    for figure in chosen:
        try:
            for file in _write_pictures(figure, given, folder, palette, taken):
                tell(f"{file}: pdf, png")
        except NotHere as error:
            missing.append(f"the figure {figure.name} cannot be drawn: {error}")
            if not only:
                tell(f"{figure.name}: left out, {error}")
    if only and missing:
        raise MutascopeError("; ".join(missing))


def _write_pictures(
    figure: Drawing, given: ScreenSet, folder: Path, palette: Palette, taken: set[str]
) -> Iterator[str]:
    """Write the pictures of a figure, and yield the names of their files."""
    for suffix, picture in figure.draw(given, palette):
        label = re.sub(r"[^\w.-]+", "_", suffix).strip("_")
        file = _free(f"{figure.name}_{label}" if label else figure.name, taken)
        drawing.settle(picture)
        for kind in ("pdf", "png"):
            drawing.save_figure(picture, folder / f"{file}.{kind}")
        yield file


def _free(file: str, taken: set[str]) -> str:
    """A file name that no picture has yet, in capitals or not; with a number where labels differ in signs alone."""
    numbered = (f"{file}_{number}" for number in itertools.count(2))
    free = next(name for name in itertools.chain([file], numbered) if name.lower() not in taken)
    taken.add(free.lower())
    return free


def _make_folder(out: str | os.PathLike[str]) -> Path:
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise MutascopeError(f"{folder} is a file: choose a folder for --out") from error
    except OSError as error:
        raise MutascopeError(f"{folder} cannot be made: {error.strerror}; choose another --out") from error
    return folder


def _save(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as error:
        raise MutascopeError(f"{path} cannot be written: {error.strerror or error}") from error
