"""What sections draw from: tables and figures of the findings, as blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.figures.palette import Palette
from mutascope.figures.registry import FIGURES
from mutascope.findings.registry import TABLES, build_table
from mutascope.findings.screens import Screens
from mutascope.report.blocks import Block, Column, Grid, LeftOut
from mutascope.report.cells import cell, heading, shares
from mutascope.report.pictures import picture

ROWS = 12
"""Rows of a table on the page; the rest is in the files of ``mutascope analyze``."""
PICTURES = 6_000_000
"""Characters that pictures may take, and those that thumbnails may: the page stays below 15 MB."""


class Source:
    """The findings of some screens, in the form of blocks.

    Args:
        given: the screens.
        palette: colours of figures and maps.
    """

    def __init__(self, given: Screens, palette: Palette) -> None:
        self.given, self.palette = given, palette
        self._room = PICTURES

    def table(self, name: str) -> pl.DataFrame:
        """Return a table of the findings.

        Raises:
            NotHere: when these screens cannot make it.
        """
        return build_table(self.given, name)

    def figure(self, name: str, caption: str, suffixes: Sequence[str] | None = None) -> Iterator[Block]:
        """Yield the pictures of a figure, those with one of ``suffixes`` or all, or why it is left out."""
        drawn = FIGURES[name].draw(self.given, self.palette)
        try:
            for suffix, figure in drawn:
                if suffixes is not None and suffix not in suffixes:
                    continue
                found = picture(figure, caption)
                if len(found.source) > self._room:
                    yield LeftOut(
                        f"figure {name} {suffix}", "the page would be too large; see `mutascope figures`"
                    )
                    continue
                self._room -= len(found.source)
                yield found
        except NotHere as reason:
            yield LeftOut(caption.rstrip("."), str(reason))

    def grid(
        self,
        name: str,
        title: str,
        columns: Sequence[str],
        *,
        choose: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame,
        rows: int = ROWS,
        empty: str = "",
    ) -> Iterator[Block]:
        """Yield the first rows of a table, or why it is left out.

        Args:
            name: of the table.
            title: above it.
            columns: those to show; ones that the table lacks are passed over.
            choose: filters and sorts the table.
            rows: how many to show.
            empty: what to say where no row is left; nothing is shown if there is nothing to say.
        """
        try:
            frame = choose(self.table(name))
        except NotHere as reason:
            yield LeftOut(title, str(reason))
            return
        if frame.is_empty():
            if empty:
                yield LeftOut(title, empty)
            return
        shown = [column for column in columns if column in frame.columns]
        parts = shares(shown)
        note = (
            f"{rows} of {len(frame):,} rows; all in {name}.csv of `mutascope analyze`"
            if len(frame) > rows
            else ""
        )
        yield Grid(
            title,
            [Column(heading(c, parts), TABLES[name].meaning(c), frame.schema[c].is_numeric()) for c in shown],
            [
                [cell(column, value, parts) for column, value in zip(shown, row, strict=True)]
                for row in frame.select(shown).head(rows).iter_rows()
            ],
            note,
            frozenset(_marked(frame.head(rows))),
        )

    def attempt(self, what: str, blocks: Callable[[], Iterable[Block]]) -> Iterator[Block]:
        """Yield blocks, or why they are left out."""
        try:
            yield from blocks()
        except NotHere as reason:
            yield LeftOut(what, str(reason))


def _marked(frame: pl.DataFrame) -> Iterable[int]:
    """Rows of massive activations stand out."""
    if "massive" not in frame.columns:
        return ()
    return frame["massive"].fill_null(False).arg_true().to_list()
