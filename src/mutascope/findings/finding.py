"""What a finding is: a table with the meaning of its columns, a figure, and a section of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.findings.beside import SHUFFLED, meaning
from mutascope.findings.blocks import Block
from mutascope.findings.columns import SHARED, Column
from mutascope.findings.screens import ScreenSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mutascope.figures.palette import Palette

Pictures = Iterator[tuple[str, "Figure"]]
"""A suffix of the file name (empty, or what tells several pictures of one name apart), and the picture."""


def nothing(given: ScreenSet) -> Iterator[str]:
    """Yield no sentence."""
    return iter(())


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
    sentences: Callable[[ScreenSet], Iterator[str]] = nothing


@dataclass(frozen=True)
class Finding:
    """A finding.

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
    table: Callable[[ScreenSet], pl.DataFrame] | None = None
    columns: Mapping[str, Column] = field(default_factory=dict, hash=False)
    figure: Drawing | None = None
    section: Section | None = None

    def column(self, name: str) -> Column:
        """Return what a column of the table means."""
        if name.endswith(SHUFFLED):
            return meaning(name, self.column)
        return self.columns.get(name) or SHARED.get(name) or self.columns["*"]


def need(present: object, sentence: str) -> None:
    """Raise NotHere with the sentence when ``present`` is empty or false."""
    if not present:
        raise NotHere(sentence)
