"""What sections of a report are made of. Blocks are data; :mod:`mutascope.report` turns them into a page.

Blocks hold plain text, model output included, and the page escapes it. The one exception is ``Change.diff``, which
:mod:`mutascope.analysis.diff` has escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
from markupsafe import Markup

ROWS = 12
"""Rows of a table on the page; the rest is in the files of ``mutascope analyze``."""


class Block:
    """Something to show."""


@dataclass(frozen=True)
class Prose(Block):
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Points(Block):
    """A list of sentences."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Alarm(Block):
    """Something that puts the numbers in doubt, shown prominently."""

    text: str


@dataclass(frozen=True)
class LeftOut(Block):
    """An analysis that these screens cannot make, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Heading(Block):
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Rows(Block):
    """The first rows of a table of the findings, or why it is left out.

    Attributes:
        table: its name.
        title: above it.
        columns: those to show, separated by blanks; ones that the table lacks are passed over.
        choose: filters and sorts the table.
        rows: how many to show.
        empty: what to say where no row is left; nothing is shown if there is nothing to say.
    """

    table: str
    title: str
    columns: str
    choose: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame
    rows: int = ROWS
    empty: str = ""


@dataclass(frozen=True)
class Figures(Block):
    """The pictures of a figure of the findings, or why they are left out."""

    figure: str
    caption: str


@dataclass(frozen=True)
class Maps(Block):
    """The maps of all loci of a screen: a sheet where they are few, small ones where they are many."""

    label: str
    caption: str


@dataclass(frozen=True)
class Grid(Block):
    """A table of cells.

    Attributes:
        columns: headings.
        rows: formatted cells, as many as columns.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Settings(Block):
    """Settings of several screens side by side; ``rows`` are (name, values), equal values once."""

    labels: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Quote(Block):
    """A text by the model, and what it was given."""

    title: str
    text: str


@dataclass(frozen=True)
class Change(Block):
    """What a mutant says, as a word diff against the wild type."""

    title: str
    facts: str
    diff: Markup


@dataclass(frozen=True)
class Folded(Block):
    """Raw data, shown on demand."""

    title: str
    text: str
