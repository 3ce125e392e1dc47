"""What the JSON of an atlas holds; ``web/types.d.ts`` says the same to the page."""

from __future__ import annotations

from typing import TypedDict


class LocusIndex(TypedDict):
    """A locus: its shape in sites, counts of the statuses, sites that were run, and numbers to colour it by.

    ``cosine`` is the mean of its NSMs, and null where the assay has none; ``enriched`` counts rows and columns.
    """

    name: str
    layer: int
    kind: str
    rows: int
    cols: int
    transposed: bool
    counts: list[int]
    exact: int
    phenotypes: int
    cosine: float | None
    enriched: int


class PagesIndex(TypedDict):
    """What the pages of a screen are, and what is known of it without its records.

    ``measures`` are columns of a locus; ``keys``, ``letters``, ``questions`` and ``answered`` are of a choice assay;
    ``piece`` is how many phenotypes a page of texts holds.
    """

    title: str
    model: str
    assay: str
    type: str
    tile: int
    predicted: bool
    done: int
    mutations: list[str]
    measures: list[str]
    prompt: str
    keys: list[str]
    letters: list[str]
    questions: list[str]
    answered: list[str]
    wild_type: str
    phenotypes: int
    severity: bool
    piece: int
    word_pieces: int
    loci: list[LocusIndex]


class ScreenIndex(PagesIndex):
    """A screen of an atlas; ``stamp`` changes with its folder, and the model of an imported one cannot be loaded."""

    label: str
    folder: str
    stamp: str
    total: int
    imported: bool
    finished: bool


class PanelIndex(TypedDict):
    """A panel: what it asks, what the wild type says, and which mutants are on it."""

    label: str
    title: str
    folder: str
    stamp: str
    prompts: list[str]
    genres: list[str | None]
    wild_type: list[str]
    mutants: list[str]


class AtlasIndex(TypedDict):
    """``data/atlas.json``; ``palettes`` are colours by palette and status."""

    version: str
    served: bool
    live: bool
    palettes: dict[str, dict[str, str]]
    screens: list[ScreenIndex]
    panels: list[PanelIndex]


class Placed(TypedDict):
    """What a sentence speaks of: the number of a screen, a locus, a line of all layers (axis, index and kind, with
    commas); null where of none, or of several.
    """

    screen: int | None
    locus: str | None
    line: str | None


class Sentence(Placed):
    """A sentence of the report, and its place."""

    sentence: str


class Section(TypedDict):
    """A line of ``data/findings.jsonl``: name and title of a section of the report, and its sentences."""

    name: str
    section: str
    sentences: list[Sentence]


class Refused(TypedDict):
    """Its last line, where no more can be found."""

    refused: str


class Said(TypedDict):
    """An event of ``live``: a piece of the text of a column, and why it ends."""

    column: int
    text: str
    end: str | None


Texts = list[tuple[str, str | None]]
"""``texts/K.bin``: id and text of phenotypes; the text is null where an output was not finite."""
Words = list[str]
"""``words.bin``"""
Outputs = list[str | None]
"""``panels/N/K.bin``: what a mutant says to every prompt."""
