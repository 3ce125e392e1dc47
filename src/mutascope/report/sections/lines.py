"""Enriched and conserved rows and columns, ranked, and which of them carry massive activations."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.report.blocks import Block, Prose
from mutascope.report.source import Source

_MASSIVE = ("stream_ratio", "massive_layers", "massive")


def blocks(source: Source) -> Iterator[Block]:
    """Yield conserved lines first, then single ones, then sensitive points."""
    source.table("enrichment")
    yield Prose(
        "A row or column is enriched when it holds more NSM sites than a random deal of the sites of its locus"
        " (hypergeometric test, false discovery rate 5 %). It is conserved when it is enriched more often across"
        " layers, kinds or screens than chance has it. In marked rows of the tables, a massive activation of the wild"
        " type runs through the line."
    )
    called = pl.col("conserved")
    yield from source.grid(
        "conserved_on_residual",
        "Conserved coordinates of the residual stream (columns of q k v gate up, rows of o down)",
        ("assay", "index", "enriched", "tested", "expected", "kinds", "p", "q", *_MASSIVE),
        choose=lambda frame: frame.filter(called).sort("q", "p", maintain_order=True),
        empty="none is conserved",
    )
    yield from source.grid(
        "conserved_across_layers",
        "Conserved across the layers of a kind",
        ("assay", "kind", "axis", "index", "enriched", "tested", "expected", "p", "q", *_MASSIVE),
        choose=lambda frame: frame.filter(called).sort("q", "p", maintain_order=True),
        rows=20,
        empty="none is conserved",
    )
    yield from source.figure(
        "conserved_lines", "Rows and columns of all layers; dots: enriched, numbers above: conserved."
    )
    yield from source.grid(
        "conserved_across_assays",
        "Conserved across screens",
        ("assays", "layer", "kind", "axis", "index", "enriched", "tested", "expected", "p", "q"),
        choose=lambda frame: frame.filter(called).sort("q", "p", maintain_order=True),
        empty="none is conserved",
    )
    yield from source.grid(
        "enrichment",
        "The most enriched single rows and columns",
        ("assay", "layer", "kind", "axis", "index", "sites", "hits", "expected", "fold", "p", "q"),
        choose=lambda frame: frame.filter("enriched").sort("p", maintain_order=True),
        empty="no row or column is enriched",
    )
    yield from source.figure("enriched_loci", "Loci with the most enriched rows, and columns (marked).")
    yield from source.figure("sensitive_points", "Sites that are both in every screen, by locus.")
