"""Where the mutants of a rare word lie: among low cosines of the same locus, and at one coordinate over loci (6d)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.choice import MALIGNANT_COSINE
from mutascope.analysis.maps import LocusKey, MapData
from mutascope.analysis.writers import word_coordinates
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Finding, Pictures, need
from mutascope.findings.galleries import NOT_PANELLED, flagged, marked, of_loci, top_loci
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.writers import PANEL, of_panel, with_text

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_MOST_LETTERS = 26
_LOCI, _WORDS = 3, 3
_LOW = pl.col("cosine") < MALIGNANT_COSINE


@once
def coordinates(given: ScreenSet) -> pl.DataFrame:
    """Return the rows and columns of the mutants of every rare word, over loci."""
    need(given.panels, PANEL)
    return stack(given.panels, lambda label: word_coordinates(of_panel(given, label)))


def _letters(rare: pl.DataFrame) -> dict[str, str]:
    words = rare["word"].value_counts(sort=True)["word"].head(_MOST_LETTERS)
    return {word: chr(ord("a") + index) for index, word in enumerate(words)}


def _lettered(data: MapData, rare: pl.DataFrame, letters: dict[str, str], locus: LocusKey) -> MapData:
    here = rare.filter(pl.col("word").is_in(list(letters)), layer=locus[0], kind=locus[1])
    points = [(letters[word], row, col) for word, row, col in here.select("word", "row", "col").iter_rows()]
    return replace(data, points=points)


def _rare(given: ScreenSet) -> list[tuple[str, str, pl.DataFrame]]:
    """Panels with rare words, the text assay of each, and the mutants of these words."""
    found = [
        (label, str(given.text_of_panel(label)), rare)
        for label in with_text(given)
        if len(rare := of_panel(given, label).filter("rare"))
    ]
    need(found, "no panelled mutant has a rare initial word")
    return found


def _maps(given: ScreenSet, palette: Palette) -> Pictures:
    """Low cosines, and mutants of rare words, of the loci with most of these: a row per locus, a letter per word."""
    for label, text, rare in _rare(given):
        letters = _letters(rare)
        told = ", ".join(f"{letter}: {word}" for word, letter in list(letters.items())[:8])
        loci = top_loci(rare, _LOCI)
        records = flagged(of_loci(given.severe[text], loci), of_panel(given, label), rare, "rare")
        sorts = [(f"cosine < {MALIGNANT_COSINE}", _LOW), ("rare words", pl.col("rare"))]
        rows = [
            [
                _lettered(data, rare, letters, locus)
                for data in marked(given, text, records, locus, sorts, NOT_PANELLED)
            ]
            for locus in loci
        ]
        title = f"{text}: low cosines, and mutants of {label} with rare words ({told})"
        yield label, figures.draw_gallery(rows, title, palette)


def _rows(given: ScreenSet, palette: Palette) -> Pictures:
    """The commonest rare words over the loci with most of their mutants: a row per word, its tile rows marked."""
    for label, text, rare in _rare(given):
        words = rare["word"].value_counts(sort=True)["word"].head(_WORDS).to_list()
        loci = top_loci(rare.filter(pl.col("word").is_in(words)), _LOCI)
        pictures = []
        for word in words:
            mine = rare.filter(word=word)
            maps = []
            for locus in loci:
                here = mine.filter(layer=locus[0], kind=locus[1])
                title = [(f"{word}", _LOW)]
                for data in marked(given, text, given.severe[text], locus, title):
                    lettered = _lettered(data, here, {word: "x"}, locus)
                    maps.append(replace(lettered, rows=here["row"].unique().sort().to_list()))
            pictures.append(maps)
        title = f"{text}, cosine < {MALIGNANT_COSINE}; x, triangles: mutants of a rare word of {label}, and their rows"
        yield label, figures.draw_gallery(pictures, title, palette)


FINDINGS = (
    Finding(
        "writer_coordinates",
        "Rows and columns at which mutants of one rare word lie, and in how many loci.",
        coordinates,
        columns(
            loci="loci in which a mutant of the word lies there",
            mutants="mutants of the word that lie there",
            of="mutants of the word",
        ),
        Drawing("writer_maps", "rare words, and low cosines, of the same locus (6d)", _maps),
    ),
    Finding(
        "writer_rows",
        "The rows of every rare word over loci.",
        figure=Drawing("writer_rows", "the rows of a rare word over loci (6c, d)", _rows),
    ),
)
