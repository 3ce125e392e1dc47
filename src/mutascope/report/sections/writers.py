"""Writer panels: mutants that open their outputs with a rare word."""

from __future__ import annotations

from collections.abc import Iterator

from mutascope.core.errors import NotHere
from mutascope.findings.writers import PANEL
from mutascope.report.blocks import Block, Prose
from mutascope.report.source import Source


def blocks(source: Source) -> Iterator[Block]:
    """Yield the rare words, where their mutants lie, and what they write."""
    if not source.given.panels:
        raise NotHere(PANEL)
    yield Prose(
        "The word that starts most outputs of a mutant is its initial word; it is rare when neither the wild type nor"
        " most panelled mutants start with it."
    )
    yield from source.figure("writers", "Mutants with rare initial words.")
    yield from source.grid(
        "writer_words",
        "Rows and columns that mutants of one rare word share (last row: all words)",
        (
            "assay",
            "word",
            "mutants",
            "loci",
            "rows",
            "expected_rows",
            "p_rows",
            "cols",
            "expected_cols",
            "p_cols",
        ),
        rows=20,
    )
    yield from source.figure("writer_maps", "Rare words among low cosines.")
    yield from source.grid(
        "writer_genres", "Literary and factual inputs", ("assay", "words", "literary", "factual", "p")
    )
    yield from source.grid(
        "writer_forms",
        "Forms of the outputs",
        ("assay", "who", "outputs", "poem", "dialogue", "first_person"),
    )
    yield from source.grid(
        "supplementary_3_outputs",
        "Outputs to read",
        ("assay", "layer", "kind", "row", "col", "mutation", "word", "prompt", "continuation"),
        rows=8,
    )
