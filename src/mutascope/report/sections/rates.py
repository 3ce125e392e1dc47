"""How many mutants are NSMs: by mutation, kind, layer; zero against the others; silent loci."""

from __future__ import annotations

from collections.abc import Iterator

from mutascope.report.blocks import Block
from mutascope.report.source import Source

_COUNTS = (
    "assay",
    "mutation",
    "kind",
    "loci",
    "sites",
    "mutants",
    "nsm",
    "rate",
    "low",
    "high",
    "phenotypes",
)


def blocks(source: Source) -> Iterator[Block]:
    """Yield rates with intervals, as figures and tables."""
    source.table("nsm_total")
    yield from source.figure(
        "nsm_by_mutation", "NSM rates by screen and mutation, with 95 % intervals where sites were sampled."
    )
    yield from source.grid("nsm_by_mutation", "By mutation", _COUNTS)
    yield from source.figure("nsm_by_kind", "NSM rates by kind of matrix.")
    yield from source.grid("nsm_by_kind", "By kind", _COUNTS, rows=35)
    yield from source.figure("layers", "NSMs and distinct phenotypes by layer.")
    yield from source.grid(
        "zero_against_others",
        "Zero mutations at the sites of the others",
        ("assay", "kind", "against", "sites", "both", "zero_only", "other_only", "share", "other_rate"),
        rows=24,
    )
    yield from source.grid(
        "silent_loci",
        "Loci without an NSM",
        ("assay", "layer", "kind", "sites", "mutants"),
        empty="every locus has an NSM",
    )
