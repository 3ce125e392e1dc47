"""Blocks that are ready for their templates. Those of :mod:`mutascope.findings.blocks` without data of their own
become some of these, and the others are drawn as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, what it means, and whether it holds numbers."""

    name: str
    meaning: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: above it.
        columns: from left to right.
        rows: formatted cells, as many as columns.
        note: below it, such as where the rows that were cut are.
        marked: numbers of the rows that stand out.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str = ""
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        source: data URI.
        width: natural width in CSS pixels.
        caption: below it.
    """

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

    title: str
    kinds: Sequence[str]
    layers: Sequence[tuple[int, Mapping[str, Thumbnail]]]
    legend: Sequence[tuple[str, str]]
    note: str
