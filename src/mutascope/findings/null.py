"""Null screens, of matrices whose elements were shuffled, against the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.maps import locus_maps
from mutascope.analysis.structure import compare_structure, locus_structure
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import columns
from mutascope.findings.copa import null_pattern, pattern
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.lines import enrichment, null_lines
from mutascope.findings.screens import ScreenSet, once, stack

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

WITH_NULLS = "it takes a null screen (mutascope screen --null) and the real one"
_MOST_LOCI = 6


@once
def comparison(given: ScreenSet) -> pl.DataFrame:
    """Return the structure of real and null loci, and the test of their difference."""
    need(given.nulls, WITH_NULLS)

    def compared(label: str) -> pl.DataFrame:
        real = locus_structure(given.maps[label], pattern(given).filter(assay=label))
        return compare_structure(
            real, locus_structure(given.null_maps[label], null_pattern(given).filter(assay=label))
        )

    return stack(given.nulls, compared)


def _maps(given: ScreenSet, palette: Palette) -> Pictures:
    """The map of a locus, and that of the same locus with its elements shuffled."""
    need(given.nulls, WITH_NULLS)
    for label in given.nulls:
        real = given.locus_maps(label)
        tile = given.results[label].manifest.tile
        nulls = locus_maps(given.null_maps[label], given.null_loci[label], tile, label)
        rows = [
            [
                replace(data, title=f"{data.name} {told}")
                for told, data in ((label, real[locus]), ("shuffled", null))
            ]
            for locus, null in nulls.items()
            if locus in real
        ]
        title = f"{label}: loci as they are, and with their elements shuffled"
        yield label, figures.draw_gallery(rows[:_MOST_LOCI], title, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    need(given.nulls, WITH_NULLS)
    yield Prose(
        "In a null screen, the elements of each screened matrix are shuffled within it; what flows into the matrix, and"
        " what max and min write, is as it was. Structure that a null screen shows as well does not come from where"
        " the weights stand. Columns that end in shuffled are those of null screens, in all tables of structure."
    )
    yield Rows(
        "null_structure", "Structure of real and shuffled loci", "assay measure loci value value_shuffled p q"
    )
    yield Figures("null_maps", "Loci as they are, and with their elements shuffled.")


def _sentences(given: ScreenSet) -> Iterator[str]:
    need(given.nulls, WITH_NULLS)
    key = ["assay", *LOCUS_KEY, "axis", "hit", "index"]
    null = null_lines(given)
    real = enrichment(given).join(null, on=key, how="semi")
    for label in given.nulls:
        for axis, name in (("row", "rows"), ("col", "columns")):
            a, b = (lines.filter(assay=label, axis=axis, hit="any") for lines in (real, null))
            if len(a):
                yield (
                    f"Of {len(a):,} {name} of {label} with a null screen, {a['enriched'].sum():,} are enriched, and"
                    f" {b['enriched'].sum():,} of those of the shuffled matrices."
                )


FINDINGS = (
    Finding(
        "null_structure",
        "Structure of the loci of a screen against that of the same loci shuffled, over the loci that both have.",
        comparison,
        columns(
            measure="rate, lean (difference of max and min NSMs over the sites), spread of rows and columns (1 by"
            " chance), strength and mirror of the complementary pattern less their nulls",
            value="mean over the loci",
            value_shuffled="mean over the shuffled loci",
        ),
        Drawing("null_maps", "loci as they are, and shuffled", _maps),
        Section("null", "The null screen", _blocks, _sentences),
    ),
)
