"""The correlative complementary pattern: hits ranked, strength by layer, rearranged maps."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.report.blocks import Block, Prose
from mutascope.report.source import Source

_STRENGTH = ("strength", "strength_null", "strength_z", "strength_q")
_ASYMMETRY = ("asymmetry", "asymmetry_null", "asymmetry_q")


def blocks(source: Source) -> Iterator[Block]:
    """Yield the ranked hits, their strength by layer, and the contrasts between screens."""
    if source.table("copa")["strength"].null_count() == len(source.table("copa")):
        raise NotHere("no locus has rows or columns that vary")
    yield Prose(
        "Where rows or columns are mirror images of each other (max only here, min only there), the mean |r| between"
        " them is above that of maps with shuffled signs. Rearranged around a reference vector, the pattern shows."
    )
    yield from source.grid(
        "copa",
        "Strongest patterns",
        ("assay", "layer", "kind", "axis", "vectors", "reference", *_STRENGTH, *_ASYMMETRY),
        choose=lambda frame: frame.filter(pl.col("strength").is_not_null()).sort(
            "strength_z", descending=True, nulls_last=True, maintain_order=True
        ),
        rows=15,
    )
    yield from source.figure("copa_strength", "Strength above its null by layer; filled: q ≤ 0.05.")
    yield from source.figure("copa", "The strongest locus of every kind, as it is and rearranged.")
    yield from source.grid(
        "copa_contrasts",
        "Strength of the pattern, one screen against another",
        ("axis", "kind", "assay_a", "assay_b", "loci", "excess_a", "excess_b", "p", "q"),
        choose=lambda frame: frame.sort("p", maintain_order=True),
    )
