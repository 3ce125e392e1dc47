"""Headline numbers with their intervals, and the main findings in a sentence each."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.report.blocks import Alarm, Block, Card, Cards, Points
from mutascope.report.cells import chance, number, per_cent, rate
from mutascope.report.sections.controls import problems, verdict
from mutascope.report.sections.predictions import calls_in_words
from mutascope.report.source import Source

SENTENCES = 3
"""Sentences on one matter."""


def blocks(source: Source) -> Iterator[Block]:
    """Yield what failed, the numbers of every screen, and the findings."""
    for problem in problems(source.given):
        yield Alarm(problem)
    try:
        for row in source.table("nsm_total").iter_rows(named=True):
            yield Cards(row["assay"], _cards(source, row))
    except NotHere:  # panels alone have no rate
        pass
    sentences = [
        sentence for told in (_massive, _copa, _overlaps, _bias) for sentence in _sentences(source, told)
    ]
    if sentences:
        yield Points(sentences)


def headline(source: Source) -> str:
    """Return the report in one line."""
    try:
        rows = source.table("nsm_total").iter_rows(named=True)
    except NotHere:
        return f"{len(source.given.labels)} screens"
    return "; ".join(
        f"{row['assay']}: {row['nsm']:,} of {row['mutants']:,} mutants are NSMs"
        f" (rate {per_cent(row['rate'])}, {_basis(source, row)})"
        for row in rows
    )


def _basis(source: Source, row: dict) -> str:
    """What a rate rests on: exact and predicted calls, or an interval."""
    return calls_in_words(source, row["assay"]) if row["assay"] in source.given.predicted else rate(row)


def _cards(source: Source, row: dict) -> list[Card]:
    return [
        Card("NSM rate", per_cent(row["rate"]), _basis(source, row)),
        Card("NSMs", f"{row['nsm']:,}", f"of {row['mutants']:,} mutants at {row['sites']:,} sites"),
        Card("distinct phenotypes", f"{row['phenotypes']:,}", "among the NSMs"),
        Card("loci", f"{row['loci']:,}", f"{row['silent_loci']:,} without an NSM"),
        Card("controls", *verdict(source.given, row["assay"])),
    ]


def _sentences(source: Source, told) -> list[str]:
    try:
        return list(told(source))[:SENTENCES]
    except NotHere:
        return []


def _massive(source: Source) -> Iterator[str]:
    """Conserved lines, and whether massive activations lie on them."""
    found = (
        source.table("conserved_across_layers")
        .filter("conserved")
        .sort("q", "enriched", descending=[False, True])
    )
    for row in found.iter_rows(named=True):
        line = {"row": "Row", "col": "Column"}[row["axis"]]
        told = (
            f"{line} {row['index']} of {row['kind']} is enriched in NSM sites in {row['enriched']} of"
            f" {row['tested']} layers ({row['assay']}, q = {chance(row['q'])})"
        )
        if row.get("massive"):
            told += (
                f"; a massive activation runs through it in {row['massive_layers']} of {row['layers']} layers"
            )
        yield f"{told}."


def _copa(source: Source) -> Iterator[str]:
    table = source.table("copa")
    found = table.filter(pl.col("strength_q") <= 0.05).sort("strength_z", descending=True, nulls_last=True)
    for row in found.head(1).iter_rows(named=True):
        axis = {"row": "rows", "col": "columns"}[row["axis"]]
        yield (
            f"Complementary patterns stand out from their null in {len(found):,} of {len(table):,} tests of a locus"
            f" and axis; most in the {axis} of {row['layer']}.{row['kind']} ({row['assay']}, strength"
            f" {number(row['strength'])}, {number(row['strength_null'])} by chance)."
        )


def _overlaps(source: Source) -> Iterator[str]:
    found = source.table("overlap").filter(
        pl.col("assay_a") != pl.col("assay_b"), pl.col("overlap").is_not_null()
    )
    for row in (
        found.unique("overlap", maintain_order=True).sort("overlap", descending=True).iter_rows(named=True)
    ):
        yield (
            f"The maps of {row['assay_a']} and {row['assay_b']} overlap by {number(row['overlap'])}"
            f" ({number(row['expected'])} by chance)."
        )


def _bias(source: Source) -> Iterator[str]:
    shares = (
        source.table("bias_shares")
        .group_by("assay", maintain_order=True)
        .agg(pl.col("loci", "biased_max", "biased_min").sum())
    )
    for row in shares.iter_rows(named=True):
        yield (
            f"Biased loci of {row['assay']}: {row['biased_max']:,} towards max and {row['biased_min']:,} towards min,"
            f" of {row['loci']:,}."
        )
