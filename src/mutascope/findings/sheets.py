"""Maps of all loci at thresholds: the sites of low score, of destruction, of low cosine and of rare words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.choice import SCORE_THRESHOLDS
from mutascope.analysis.maps import MapData
from mutascope.analysis.severity import COSINE_THRESHOLDS
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.choice import CHOICE
from mutascope.findings.finding import Drawing, Finding, Pictures, need
from mutascope.findings.galleries import NOT_PANELLED, UNKNOWN, flagged, marked
from mutascope.findings.screens import ScreenSet
from mutascope.findings.severity import TEXT
from mutascope.findings.writers import PANEL, of_panel

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette


def _scores(given: ScreenSet, palette: Palette) -> Pictures:
    need(given.choice, CHOICE)
    told = [(f"score_{limit}", f"score ≤ {limit}", pl.col("score") <= limit) for limit in SCORE_THRESHOLDS]
    told.append(("destructive", "destructive", pl.col("destructive")))
    for label in given.choice:
        yield from _drawn(given, label, label, given.records[label], told, palette)


def _cosines(given: ScreenSet, palette: Palette) -> Pictures:
    need(given.text, TEXT)
    told = [(f"cosine_{limit}", f"cosine < {limit}", pl.col("cosine") < limit) for limit in COSINE_THRESHOLDS]
    for label in given.text:
        yield from _drawn(given, label, label, given.severe[label], told, palette)


def _rare(given: ScreenSet, palette: Palette) -> Pictures:
    need(given.panels, PANEL)
    for panel in given.panels:
        panelled = of_panel(given, panel)
        text = given.text_of_panel(panel) or panel
        records = flagged(given.records[text], panelled, panelled.filter("rare"), "rare")
        told = [("", "rare initial word", pl.col("rare"))]
        yield from _drawn(given, panel, text, records, told, palette, NOT_PANELLED)


def _drawn(
    given: ScreenSet,
    name: str,
    label: str,
    records: pl.DataFrame,
    told: Sequence[tuple[str, str, pl.Expr]],
    palette: Palette,
    unknown: str = UNKNOWN,
) -> Pictures:
    """A sheet for every sort of NSMs, which has a suffix, a name and an expression, with the loci that have any."""
    loci = len(given.loci[label])
    parts = records.partition_by(LOCUS_KEY, as_dict=True, maintain_order=True)
    for suffix, sort, chosen in told:
        maps = list(_maps(given, label, parts, chosen, unknown))
        if maps:
            title = f"{name}: {sort}, in {len(maps):,} of {loci:,} loci"
            maps = [replace(data, title=title) for data in maps]
            yield "_".join(filter(None, (name, suffix))), figures.draw_sheet(maps, palette)


def _maps(
    given: ScreenSet,
    label: str,
    parts: dict[tuple[object, ...], pl.DataFrame],
    chosen: pl.Expr,
    unknown: str,
) -> Iterator[MapData]:
    """The maps of the loci that have a chosen NSM."""
    for locus in given.locus_maps(label):
        part = parts.get(locus)
        if part is not None and part.select((~pl.col("silent") & chosen.fill_null(False)).any()).item():
            yield from marked(given, label, part, locus, [("", chosen)], unknown)


FINDINGS = (
    Finding(
        "score_sheets",
        "Maps of all loci with a mutant of low score, or a destructive one.",
        figure=Drawing(
            "score_sheets", "NSMs up to every score, and destructive ones, in all loci (S3)", _scores
        ),
    ),
    Finding(
        "cosine_sheets",
        "Maps of all loci with a mutant of low cosine.",
        figure=Drawing("cosine_sheets", "NSMs below every cosine, in all loci (S4)", _cosines),
    ),
    Finding(
        "rare_sheets",
        "Maps of all loci with a mutant that has a rare initial word.",
        figure=Drawing("rare_sheets", "mutants with rare initial words, in all loci (S6)", _rare),
    ),
)
