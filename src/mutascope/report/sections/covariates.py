"""What explains the maps: regressions on covariates, and enrichment given them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.findings.patterns import enrichment_of_explained
from mutascope.report.blocks import Block, Points, Prose
from mutascope.report.source import Source

_TERMS = ("assay", "kind", "term", "coefficient", "low", "high", "p", "sites", "explained")


def blocks(source: Source) -> Iterator[Block]:
    """Yield the coefficients, and how many enriched lines remain."""
    source.table("explain_nsms")
    yield Prose(
        "Covariates of a site: the size of the change, the norm of the tile, the norm of the wild type's activations"
        " that it reads, and whether a massive activation is among these. Coefficients are per standard deviation"
        " within a locus."
    )
    known = pl.col("coefficient").is_not_null()
    for name, title in (
        ("explain_nsms", "What makes a mutant an NSM (log-odds)"),
        ("explain_cosine", "What makes an NSM severe (change of the cosine)"),
    ):
        yield from source.grid(
            name,
            title,
            _TERMS,
            choose=lambda frame: frame.filter(known),
            rows=30,
            empty="no term can be estimated",
        )
    yield from source.attempt("enrichment given the covariates", lambda: _beyond(source))


def _beyond(source: Source) -> Iterator[Block]:
    given = source.table("enrichment_given_covariates")
    plain = enrichment_of_explained(source.given)
    keys = ["assay", "layer", "kind", "axis", "index"]
    both = plain.filter("enriched").join(given.filter("enriched"), on=keys, how="semi")
    counts = {
        axis: (len(plain.filter("enriched", axis=axis)), len(both.filter(axis=axis)))
        for axis in ("row", "col")
    }
    yield Points(
        [
            f"Of {before:,} enriched {name}, {after:,} are still enriched given the covariates of their sites."
            for (before, after), name in zip(counts.values(), ("rows", "columns"), strict=True)
        ]
    )
    yield from source.grid(
        "enrichment_given_covariates",
        "Lines that the covariates do not explain",
        ("assay", "layer", "kind", "axis", "index", "sites", "hits", "expected", "fold", "p", "q"),
        choose=lambda frame: frame.filter("enriched").sort("p", maintain_order=True),
        empty="no line is enriched given the covariates",
    )
