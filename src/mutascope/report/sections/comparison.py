"""Several screens against each other: overlap, layers, what is gained and lost."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.findings.maps import TWO
from mutascope.report.blocks import Block, Prose
from mutascope.report.source import Source


def blocks(source: Source) -> Iterator[Block]:
    """Yield overlaps, correlations and changes of every two screens that can be compared."""
    if len(source.given.maps) < 2:
        raise NotHere(TWO)
    for note in source.given.notes:
        yield Prose(f"{note}.")
    yield from source.figure(
        "overlap", "Overlap of the maps: 1 where statuses are equal, 0.5 where both meets one-sided."
    )
    yield from source.figure("layer_correlation", "NSMs per layer, the first screen against the others.")
    yield from source.grid(
        "changes",
        "Mutants gained, lost and shared, first against second screen",
        (
            "assay_a",
            "assay_b",
            "mutants",
            "nsm_a",
            "nsm_b",
            "lost",
            "gained",
            "shared",
            "same_phenotype",
            "p",
        ),
        choose=lambda frame: frame.filter(pl.col("layer").is_null()),
        rows=20,
    )
    yield from source.grid(
        "changes",
        "Loci that changed most",
        ("assay_a", "assay_b", "layer", "kind", "mutants", "lost", "gained", "shared", "p", "q"),
        choose=lambda frame: frame.filter(pl.col("layer").is_not_null()).sort("p", maintain_order=True),
    )
