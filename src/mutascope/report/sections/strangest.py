"""What the strangest mutants say, word by word against the wild type."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from mutascope.analysis.diff import diff_to_html, word_diff
from mutascope.report.blocks import Block, Change, Heading, Prose
from mutascope.report.cells import number
from mutascope.report.source import Source

SHOWN = 5
"""Phenotypes per screen."""


def blocks(source: Source) -> Iterator[Block]:
    """Yield the phenotypes that are farthest from the wild type, as word diffs."""
    found = source.table("strangest")
    yield Prose(
        "Words of the wild type that the mutant does not say are struck through, words that it adds are underlined."
    )
    for label in source.given.text:
        rows = found.filter(assay=label).head(SHOWN)
        if rows.is_empty():
            continue
        yield Heading(label)
        wild = source.given.results[label].manifest.wild_type[0].continuation
        for row in rows.iter_rows(named=True):
            mutant = f"{row['layer']}.{row['kind']}:{row['row']},{row['col']}:{row['mutation']}"
            more = f" and {row['mutants'] - 1:,} more, in {row['loci']:,} loci" if row["mutants"] > 1 else ""
            facts = f"cosine {number(row['cosine'])}, chrF {number(row['chrf'])}, edit distance {number(row['edit'])}"
            diff = diff_to_html(word_diff(wild, row["continuation"]))
            yield Change(f"{mutant}{more}", facts, Markup(diff))  # diff_to_html has escaped it
