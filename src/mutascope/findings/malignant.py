"""Malignant mutants: those that spoil the answers of a choice assay and the text of a text assay."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from mutascope import figures
from mutascope.analysis.choice import malignant_against, mutants_by_locus
from mutascope.analysis.lines import top_lines
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Pictures, finding, need
from mutascope.findings.galleries import marked, top_loci
from mutascope.findings.screens import ScreenSet, stack

_MOST_LOCI = 12
_ACROSS = 4
"""Maps of a gallery."""


def _of_malignant(given: ScreenSet, analysis: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    mutants = malignant_mutants(given)
    parts = []
    for choice in given.choice:
        for text in given.text:
            names = (pl.lit(choice).alias("assay"), pl.lit(text).alias("text_assay"))
            found = analysis(mutants.filter(assay=choice, text_assay=text))
            parts.append(found.select(*names, pl.all()))
    return pl.concat(parts)


def _gallery(given: ScreenSet, palette: figures.Palette) -> Pictures:
    """Maps of the malignant mutants, loci with most of them first (Figure 5d, e)."""
    mutants = malignant_mutants(given)
    need(len(mutants), "no mutant is malignant")
    for (choice, text), part in mutants.group_by("assay", "text_assay", maintain_order=True):
        named = part.select(*MUTANT_KEY, malignant=pl.lit(True))
        records = given.records[str(choice)].join(named, on=MUTANT_KEY, how="left", maintain_order="left")
        counts = {(layer, kind): count for layer, kind, count in part.group_by(LOCUS_KEY).len().iter_rows()}
        maps = [
            data
            for locus in top_loci(part, _MOST_LOCI)
            for data in marked(
                given, str(choice), records, locus, [(f"{counts[locus]:,} malignant", pl.col("malignant"))]
            )
        ]
        rows = [maps[start : start + _ACROSS] for start in range(0, len(maps), _ACROSS)]
        title = f"Malignant mutants of {choice} and {text}: {len(part):,} in {len(counts)} loci"
        yield f"{choice}_{text}", figures.draw_gallery(rows, title, palette)


_PAIR = columns(assay="the choice assay", text_assay="the text assay")


@finding("malignant", _PAIR, figure=Drawing("malignant", "malignant mutants (5d, e)", _gallery))
def malignant_mutants(given: ScreenSet) -> pl.DataFrame:
    """Mutants with a score of 8 or less in a choice assay and a cosine below 0.5 in a text assay."""
    need(given.choice and given.text, "it takes a choice assay and a text assay")
    return stack(
        given.choice,
        lambda label: malignant_against(given.records[label], given.severe).rename({"assay": "text_assay"}),
    )


@finding("malignant_by_locus", _PAIR)
def malignant_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Malignant mutants by locus, most first."""
    return _of_malignant(given, mutants_by_locus)


@finding("malignant_lines", _PAIR)
def malignant_lines(given: ScreenSet) -> pl.DataFrame:
    """Rows and columns by the share of the malignant mutants that they hold, largest first."""
    return _of_malignant(given, top_lines)
