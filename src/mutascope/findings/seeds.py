"""Screens of several seeds: what of a map is there whatever the seed."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.analysis.seeds import seed_rates, silence_columns, survival
from mutascope.findings.blocks import Block, Prose, Rows
from mutascope.findings.columns import columns, share
from mutascope.findings.finding import Finding, Section, need
from mutascope.findings.screens import ScreenSet, once, stack


def _labels(given: ScreenSet) -> list[str]:
    """Return the labels of the text assays of several seeds."""
    labels = [label for label in given.text if silence_columns(given.maps[label])]
    need(labels, "it takes a text assay that was screened with --seeds")
    return labels


@once
def rates_of_seeds(given: ScreenSet) -> pl.DataFrame:
    """Return the NSMs of every seed."""

    def of(label: str) -> pl.DataFrame:
        first = given.results[label].manifest.assay.seed
        return seed_rates(given.mapped(label)).with_columns(pl.col("seed").fill_null(first))

    return stack(_labels(given), of)


@once
def survival_of_findings(given: ScreenSet) -> pl.DataFrame:
    """Return how many findings of one seed's map other seeds have."""
    return stack(_labels(given), lambda label: survival(given.mapped(label), given.loci[label]))


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield what the maps of the seeds have in common."""
    survival_of_findings(given)
    yield Prose(
        "Each seed has a text of its own and a map of its own. What one map shows by luck is not in the map of another"
        " seed, nor in the map of the chance of silence, averaged over all other seeds."
    )
    yield Rows(
        "seed_findings",
        "Findings of the map of one seed",
        "assay finding found again survive of_mean",
        rows=24,
    )
    yield Rows("seed_rates", "NSMs by seed", "assay seed mutants nsm expected alike alike_by_chance", rows=24)


def _sentences(given: ScreenSet) -> Iterator[str]:
    lines = survival_of_findings(given).filter(
        pl.col("finding").str.starts_with("enriched"), pl.col("found") > 0
    )
    for label in lines["assay"].unique(maintain_order=True):
        told = [
            f"{100 * survive:.0f} % of its {finding}"
            for finding, survive in lines.filter(assay=label).select("finding", "survive").iter_rows()
        ]
        yield f"What is not luck: of a map of {label}, {' and '.join(told)} are in the mean of the other seeds too."


FINDINGS = (
    Finding(
        "seed_findings",
        "Findings of the map of one seed, looked for in those of other seeds and in their mean chance of silence.",
        survival_of_findings,
        columns(
            finding="what is looked for: enriched lines (q of 0.05 or less), loci that lean to max or min (by the"
            " paper's rule; by the test), loci with a complementary pattern",
            seeds="number of seeds",
            found="in the map of one seed, the mean over seeds",
            again=share("share of these that is in the map of another seed, over all pairs"),
            survive=share("share of these that is in the mean of all other seeds"),
            of_mean="found in the mean of all seeds",
        ),
        section=Section("seeds", "Several seeds: what of a map is not luck", _blocks, _sentences),
    ),
    Finding(
        "seed_rates",
        "NSMs of every seed, and how alike its map is to that of another.",
        rates_of_seeds,
        columns(
            seed="seed of the noise; the first is that of the records",
            mutants="max and min mutants",
            nsm="NSMs with the noise of this seed",
            expected="NSMs to expect over the noise, given its text",
            alike=share(
                "share of the mutants that are NSMs, or silent, with another seed too, the mean over seeds"
            ),
            alike_by_chance=share("the same, were the NSMs of the other seed any mutants of the locus"),
        ),
    ),
)
