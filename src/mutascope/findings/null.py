"""Null screens, of matrices whose elements were shuffled, against the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mutascope import figures
from mutascope.analysis.enrichment import HITS
from mutascope.analysis.maps import locus_maps
from mutascope.analysis.structure import compare_structure, locus_structure
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import chance as chance_column
from mutascope.findings.columns import columns
from mutascope.findings.copa import null_pattern, pattern
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.lines import lines_of, null_lines
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.words import chance, number, per_cent

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

WITH_NULLS = "it takes a null screen (mutascope screen --null) and the real one"
_MOST_LOCI = 6
_NAMES = {
    "rate": "the NSM rate",
    "lean": "the lean to max or min",
    "spread_row": "the spread of rows",
    "spread_col": "the spread of columns",
    "strength_row": "the strength of the complementary pattern of rows",
    "strength_col": "the strength of the complementary pattern of columns",
    "mirror_row": "the excess of mirror images among rows",
    "mirror_col": "the excess of mirror images among columns",
}


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
                replace(data, title=f"{data.name} {told}, {per_cent(data.nsm_sites / data.called)} NSM sites")
                for told, data in ((label, real[locus]), ("shuffled", null))
            ]
            for locus, null in nulls.items()
            if locus in real
        ]
        title = f"{label}: loci as they are, and with their elements shuffled"
        if len(rows) > _MOST_LOCI:
            title += f" ({_MOST_LOCI} of {len(rows)} loci)"
            rows = [rows[place] for place in np.linspace(0, len(rows) - 1, _MOST_LOCI).round().astype(int)]
        yield label, figures.draw_gallery(rows, title, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    need(given.nulls, WITH_NULLS)
    yield Prose(
        "In a null screen, the elements of each screened matrix are shuffled within it; what flows into the matrix, and"
        " what max and min write, is as it was. Structure that a null screen shows as well does not come from where"
        " the weights stand. Columns that end in shuffled are those of null screens, in all tables of structure."
    )
    yield Rows(
        "null_structure",
        "Structure of real and shuffled loci",
        "assay measure loci value value_shuffled least_p p q",
    )
    yield Figures("null_maps", "Loci as they are, and with their elements shuffled.")


def _sentences(given: ScreenSet) -> Iterator[str]:
    found = comparison(given)
    lines = {"": lines_of(_same_loci(given)), "shuffled": null_lines(given)}
    for label in given.nulls:
        for axis, name in (("row", "rows"), ("col", "columns")):
            told = {way: part.filter(assay=label, axis=axis) for way, part in lines.items()}
            if len(told[""]):
                of = told[""].filter(hit="any").height
                yield (
                    f"Of {of:,} {name} of {label} with a null screen, {_enriched(told[''])}; of those of the shuffled"
                    f" matrices, {_enriched(told['shuffled'])}."
                )
        yield from _differences(label, found.filter(assay=label).drop_nulls("q"))


def _same_loci(given: ScreenSet) -> dict[str, pl.DataFrame]:
    """The real maps of the loci that have a null screen: lines of both are tested in families of one size."""
    return {
        label: given.maps[label].join(loci, on=LOCUS_KEY, how="semi")
        for label, loci in given.null_loci.items()
    }


def _enriched(lines: pl.DataFrame) -> str:
    any_, both = (lines.filter("enriched", hit=hit).height for hit in HITS)
    return f"{any_:,} are enriched in NSM sites and {both:,} in double NSM sites"


def _differences(label: str, measures: pl.DataFrame) -> Iterator[str]:
    """Which measures tell real loci from shuffled ones."""
    if not len(measures):
        return
    for row in measures.filter(pl.col("q") <= 0.05).sort("p").iter_rows(named=True):
        yield (
            f"In {row['loci']} loci of {label}, {_NAMES[row['measure']]} is {number(row['value'])}, and"
            f" {number(row['value_shuffled'])} where their elements are shuffled (q = {chance(row['q'])})."
        )
    if not (measures["q"] <= 0.05).any():
        best = measures.sort("p").row(0, named=True)
        yield (
            f"No measure of structure tells the loci of {label} from the same loci shuffled; nearest is"
            f" {_NAMES[best['measure']]} ({number(best['value'])}, shuffled {number(best['value_shuffled'])};"
            f" q = {chance(best['q'])}; {best['loci']} loci cannot give a p below {chance(best['least_p'])})."
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
            least_p=chance_column("smallest p that so many loci can give: 2 / 2^loci"),
        ),
        Drawing("null_maps", "loci as they are, and shuffled", _maps),
        Section("null", "The null screen", _blocks, _sentences),
    ),
)
