"""What a section is made of. Each block is data, and is drawn by the template that it names.

Blocks hold plain text, model output included: the templates escape it. The one exception is ``Change.diff``, which
:mod:`mutascope.analysis.diff` has escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    template: ClassVar[str] = "blocks/prose.html"
    text: str


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    template: ClassVar[str] = "blocks/points.html"
    sentences: Sequence[str]


@dataclass(frozen=True)
class Alarm:
    """Something that puts the numbers in doubt, shown prominently."""

    template: ClassVar[str] = "blocks/alarm.html"
    text: str


@dataclass(frozen=True)
class LeftOut:
    """An analysis that these screens cannot make, and why."""

    template: ClassVar[str] = "blocks/left_out.html"
    what: str
    why: str


@dataclass(frozen=True)
class Card:
    """A number of the headline: what it is, the number, and what goes with it."""

    name: str
    number: str
    note: str


@dataclass(frozen=True)
class Cards:
    """The headline numbers of one screen."""

    template: ClassVar[str] = "blocks/cards.html"
    title: str
    cards: Sequence[Card]


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    template: ClassVar[str] = "blocks/heading.html"
    text: str


@dataclass(frozen=True)
class Column:
    """A column of a grid: its heading, what it means, and whether it holds numbers."""

    name: str
    meaning: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        title: above it.
        columns: from left to right.
        rows: formatted cells, as many as columns.
        note: below it, such as where the rows that were cut are.
        marked: numbers of the rows that stand out.
    """

    template: ClassVar[str] = "blocks/grid.html"
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str = ""
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Settings:
    """Settings of several screens side by side; ``rows`` are (name, values), equal values once."""

    template: ClassVar[str] = "blocks/settings.html"
    labels: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Quote:
    """A text by the model, or given to it."""

    template: ClassVar[str] = "blocks/quote.html"
    title: str
    text: str


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        source: data URI.
        width: natural width in CSS pixels.
        caption: below it.
    """

    template: ClassVar[str] = "blocks/picture.html"
    source: str
    width: int
    caption: str


@dataclass(frozen=True)
class Thumbnail:
    """The map of one locus: data URI of an image of one pixel per site, its size on the page, and a hint."""

    source: str
    width: int
    height: int
    hint: str


@dataclass(frozen=True)
class Gallery:
    """Small maps of many loci, layers down and kinds across.

    Attributes:
        title: above it.
        kinds: headings of the columns.
        layers: per row the layer and, by kind, the map, where there is one.
        legend: (colour, what it stands for).
        note: below it.
    """

    template: ClassVar[str] = "blocks/gallery.html"
    title: str
    kinds: Sequence[str]
    layers: Sequence[tuple[int, Mapping[str, Thumbnail]]]
    legend: Sequence[tuple[str, str]]
    note: str


@dataclass(frozen=True)
class Change:
    """What a mutant says, as a word diff against the wild type."""

    template: ClassVar[str] = "blocks/change.html"
    title: str
    facts: str
    diff: Markup


Block = (
    Prose | Points | Alarm | LeftOut | Cards | Heading | Grid | Settings | Quote | Picture | Gallery | Change
)
