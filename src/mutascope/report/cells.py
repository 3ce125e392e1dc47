"""Tables of the findings as cells of a page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.core.words import counted
from mutascope.findings import ScreenSet, build_table, build_tables, table_named
from mutascope.findings.blocks import Grid, LeftOut, Rows
from mutascope.findings.columns import Format
from mutascope.findings.words import chance, number
from mutascope.report.blocks import Column, Table

_LONGEST = 160


def rows_of(given: ScreenSet, block: Rows) -> Iterable[Table | LeftOut]:
    """Yield the first rows of a table, or why it is left out."""
    try:
        frame = block.choose(build_table(given, block.table))
    except NotHere as reason:
        yield LeftOut(block.title, str(reason))
        return
    if frame.is_empty():
        if block.empty:
            yield LeftOut(block.title, block.empty)
        return
    finding = table_named(block.table)
    models = ["model"] if "model" in frame.columns and frame["model"].n_unique() > 1 else []
    names = [*models, *(name for name in block.columns.split() if name in frame.columns)]
    described = [finding.column(name) for name in names]
    shown = frame.head(block.rows)
    cut = len(frame) > block.rows
    yield Table(
        block.title,
        [
            Column(_heading(name, column.format), column.meaning, frame.schema[name].is_numeric())
            for name, column in zip(names, described, strict=True)
        ],
        [
            [cell(value, column.format) for value, column in zip(row, described, strict=True)]
            for row in shown.select(names).iter_rows()
        ],
        f"{block.rows} of {len(frame):,} rows; all in {block.table}.csv of `mutascope analyze`"
        if cut
        else "",
        _marked(shown),
    )


def table_of(grid: Grid) -> Table:
    """Return a table of the cells as they stand."""
    return Table("", [Column(name) for name in grid.columns], grid.rows)


def list_of_tables(given: ScreenSet) -> Grid:
    """Return every table of the findings: what it holds, how long it is, or why it is left out."""
    rows = [
        [
            finding.name,
            f"left out: {found}" if isinstance(found, str) else counted(len(found), "row"),
            finding.description,
        ]
        for finding, found in build_tables(given)
    ]
    return Grid(["table", "rows", "what it holds"], rows)


def cell(value: Any, form: Format = "number") -> str:
    """Return what a cell shows: thousands with commas, shares in per cent, small chances as powers of ten."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return (
            f"{100 * value:.1f}" if form == "share" else chance(value) if form == "chance" else number(value)
        )
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _heading(name: str, form: Format) -> str:
    told = name.replace("_", " ")
    return f"{told}, %" if form == "share" else told


def _marked(frame: pl.DataFrame) -> frozenset[int]:
    """Rows of massive activations stand out."""
    if "massive" not in frame.columns:
        return frozenset()
    return frozenset(frame["massive"].fill_null(False).arg_true().to_list())
