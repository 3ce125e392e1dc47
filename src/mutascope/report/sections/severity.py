"""How far the texts of NSMs are from the wild type's."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.findings.outputs import TEXT
from mutascope.report.blocks import Block, Prose
from mutascope.report.source import Source

_MEANS = ("mean_cosine", "mean_chrf", "mean_edit", "mean_first_divergence")


def blocks(source: Source) -> Iterator[Block]:
    """Yield the histogram, the most severe loci, and the cosine maps."""
    if not source.given.text:
        raise NotHere(TEXT)
    yield Prose(
        "Measured between the continuations of mutant and wild type: the cosine of their bags of words (1: the same"
        " words, 0: none in common), chrF (0 to 100), the edit distance over the length of the longer text, and the"
        " first token that differs."
    )
    yield from source.figure("cosine", "Cosine of the NSMs; dashed: median.")
    yield from source.grid(
        "severity_by_locus",
        "Loci with the most NSMs of cosine below 0.5",
        ("assay", "layer", "kind", "nsm", *_MEANS, "cosine_below_0.1", "cosine_below_0.5"),
        choose=lambda frame: frame.sort("cosine_below_0.5", descending=True, maintain_order=True),
    )
    yield from source.grid(
        "severe_lines",
        "Rows and columns that severe and less severe mutants share",
        ("assay", "axis", "first", "second", "lines", "all_lines", "shared", "expected", "p"),
        choose=lambda frame: frame.filter(pl.col("layer").is_null()),
    )
    yield from source.figure("cosine_maps", "NSMs below several cosines, in the loci that have most of them.")
