"""Every table of the findings: what it holds, how long it is, or why it is left out."""

from __future__ import annotations

from collections.abc import Iterator

from mutascope.findings import build_tables
from mutascope.report.blocks import Block, Column, Grid, Prose
from mutascope.report.source import Source


def blocks(source: Source) -> Iterator[Block]:
    """Yield the list of tables."""
    folders = " ".join(results.folder.path for results in source.given.results.values())
    yield Prose(
        f"As CSV and Parquet, with a dictionary of all columns: mutascope analyze {folders} --out tables"
    )
    rows, marked = [], []
    for table, found in build_tables(source.given):
        left_out = isinstance(found, str)
        if left_out:
            marked.append(len(rows))
        rows.append(
            [table.name, f"left out: {found}" if left_out else f"{len(found):,} rows", table.description]
        )
    yield Grid("", [Column("table"), Column("rows"), Column("what it holds")], rows)
