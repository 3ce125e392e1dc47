"""Loci that are more sensitive to max than to min, or the other way."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.report.blocks import Block
from mutascope.report.source import Source


def blocks(source: Source) -> Iterator[Block]:
    """Yield shares of biased loci, and the loci that lean most."""
    if source.table("bias_by_locus").is_empty():
        raise NotHere("it takes a screen with max and min at the same sites")
    yield from source.grid(
        "bias_shares",
        "Biased loci by kind",
        ("assay", "kind", "loci", "biased_max", "biased_min", "share_max", "share_min"),
        rows=35,
    )
    yield from source.grid(
        "bias_by_locus",
        "Loci that lean most",
        ("assay", "layer", "kind", "sites", "max_nsm", "min_nsm", "score", "one_sided", "lean"),
        choose=lambda frame: frame.filter(pl.col("lean") != "none").sort(
            "score", descending=True, maintain_order=True
        ),
        empty="no locus is biased",
    )
    yield from source.grid(
        "bias_agreement",
        "Agreement of the biases between screens",
        ("assay_a", "assay_b", "loci", "biased_both", "same_lean", "share_same", "kappa"),
    )
    yield from source.figure("bias", "Loci with the largest surplus of max NSMs, and of min NSMs.")
