"""Choice assays: scores, destruction, malignant mutants."""

from __future__ import annotations

from collections.abc import Iterator

from mutascope.core.errors import NotHere
from mutascope.findings.outputs import CHOICE
from mutascope.report.blocks import Block, Prose
from mutascope.report.source import Source


def blocks(source: Source) -> Iterator[Block]:
    """Yield what NSMs do to the answers, and which of them are malignant in a text assay too."""
    if not source.given.choice:
        raise NotHere(CHOICE)
    yield Prose(
        "A mutant is destructive when some answer is no letter, wholly when none is; it underperforms with a score"
        " below 10; it is malignant when it scores 8 or less and its text has a cosine below 0.5."
    )
    yield from source.figure("score", "NSMs by score.")
    yield from source.grid(
        "choice_by_kind",
        "Underperforming and destructive NSMs by kind",
        ("assay", "kind", "nsm", "underperforming", "destructive", "wholly", "partly", "both", "agreement"),
        rows=21,
    )
    yield from source.figure("score_maps", "NSMs up to several scores, in the loci that have most of them.")
    yield from source.grid(
        "malignant_by_locus",
        "Malignant mutants by locus",
        ("assay", "text_assay", "layer", "kind", "mutants", "share"),
    )
    yield from source.grid(
        "malignant_lines",
        "Rows and columns that hold most malignant mutants",
        ("assay", "text_assay", "layer", "kind", "axis", "index", "mutants", "share", "cumulative"),
    )
    yield from source.figure("malignant", "Malignant mutants.")
