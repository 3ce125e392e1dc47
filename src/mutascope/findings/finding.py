"""What a finding is: a table with the meaning of its columns, a figure, and a section of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.findings.blocks import Block
from mutascope.findings.columns import SHARED, Column
from mutascope.findings.screens import ScreenSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mutascope.figures.palette import Palette

Table = Callable[[ScreenSet], pl.DataFrame]
Pictures = Iterator[tuple[str, "Figure"]]
"""A suffix of the file name (empty, or what tells several pictures of one name apart), and the picture."""


@dataclass(frozen=True)
class Drawing:
    """A figure: one picture, or several of one sort.

    Attributes:
        name: of the files, and of ``--only``.
        description: what it shows.
        draw: draws it; raises NotHere where the screens have not what it takes. Imports matplotlib, so that whoever
            asks for tables alone does not wait for it.
    """

    name: str
    description: str
    draw: Callable[[ScreenSet, Palette], Pictures]


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        name: of its anchor.
        title: its heading.
        blocks: what it consists of; raises NotHere where the screens have nothing to say on the matter.
        sentences: what was found, for the top of the report, most important first; may raise NotHere.
    """

    name: str
    title: str
    blocks: Callable[[ScreenSet], Iterator[Block]]
    sentences: Callable[[ScreenSet], Iterator[str]] = lambda given: iter(())


@dataclass(frozen=True)
class Finding:
    """A finding. Called with screens, it returns its table, which is made once for every set of screens.

    Attributes:
        name: of the files that its table is written to.
        description: one or two sentences.
        table: makes the table from screens; raises NotHere where they cannot make it. None: there is none.
        columns: meaning and format of the columns, as far as they are not :data:`~mutascope.findings.columns.SHARED`;
            ``*`` stands for the columns that are named after screens.
        figure: a figure, if any.
        section: a section of the report, if any.
    """

    name: str
    description: str
    table: Table | None = None
    columns: Mapping[str, Column] = field(default_factory=dict, hash=False)
    figure: Drawing | None = None
    section: Section | None = None

    def __call__(self, given: ScreenSet) -> pl.DataFrame:
        table = self.table
        if table is None:
            raise NotHere(f"{self.name} has no table")
        return given.once(self, lambda: table(given))

    def column(self, name: str) -> Column:
        """Return what a column of the table means."""
        return self.columns.get(name) or SHARED.get(name) or self.columns["*"]


def finding(
    name: str,
    columns: Mapping[str, Column] = MappingProxyType({}),
    *,
    figure: Drawing | None = None,
    section: Section | None = None,
) -> Callable[[Table], Finding]:
    """Make the decorated function the table of a :class:`Finding`; its docstring describes it."""
    return lambda table: Finding(
        name, " ".join((table.__doc__ or "").split()), table, columns, figure, section
    )


def need(present: object, sentence: str) -> None:
    """Raise NotHere with the sentence when ``present`` is empty or false."""
    if not present:
        raise NotHere(sentence)
