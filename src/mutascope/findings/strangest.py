"""What the strangest mutants say, word by word against the wild type."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from markupsafe import Markup

from mutascope.analysis.diff import diff_to_html, word_diff
from mutascope.analysis.severity import strangest
from mutascope.core.words import counted
from mutascope.findings.blocks import Block, Change, Heading, Prose
from mutascope.findings.finding import Finding, Section, need
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.severity import TEXT
from mutascope.findings.words import number

_SHOWN = 5
"""Phenotypes per screen."""


@once
def strangest_phenotypes(given: ScreenSet) -> pl.DataFrame:
    """Return the strangest phenotypes with their texts."""
    need(given.text, TEXT)
    return stack(
        given.text,
        lambda label: strangest(given.records[label], given.severity[label], given.phenotypes[label]),
    )


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield the phenotypes that are farthest from the wild type, as word diffs."""
    found = strangest_phenotypes(given)
    yield Prose(
        "Words of the wild type that the mutant does not say are struck through, words that it adds are underlined."
    )
    for label in given.text:
        rows = found.filter(assay=label).head(_SHOWN)
        if rows.is_empty():
            continue
        yield Heading(label)
        wild = given.results[label].manifest.wild_type[0].continuation
        for row in rows.iter_rows(named=True):
            mutant = f"{row['layer']}.{row['kind']}:{row['row']},{row['col']}:{row['mutation']}"
            more = (
                f" and {row['mutants'] - 1:,} more, in {counted(row['loci'], 'locus', 'loci')}"
                if row["mutants"] > 1
                else ""
            )
            facts = f"cosine {number(row['cosine'])}, chrF {number(row['chrf'])}, edit distance {number(row['edit'])}"
            diff = diff_to_html(word_diff(wild, row["continuation"]))
            yield Change(f"{mutant}{more}", facts, Markup(diff))  # diff_to_html has escaped it


FINDINGS = (
    Finding(
        "strangest",
        "The 20 phenotypes of every text assay that are farthest from the wild type.",
        strangest_phenotypes,
        section=Section("strangest", "The strangest phenotypes", _blocks),
    ),
)
