"""Tables of what mutants put out: severity of texts and answers, malignant mutants."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from mutascope.analysis.choice import (
    LETTERS,
    MALIGNANT_COSINE,
    MALIGNANT_SCORE,
    SCORE_THRESHOLDS,
    UNDERPERFORMING,
    choice_frame,
    destruction_counts,
    malignant_against,
    mutants_by_locus,
)
from mutascope.analysis.lines import line_sharing, top_lines
from mutascope.analysis.severity import COSINE_THRESHOLDS, severe_sites, strangest
from mutascope.analysis.sites import LOCUS, SITE, in_order
from mutascope.findings.registry import need, table, wide_table
from mutascope.findings.screens import Screens, stack

MUTANT = (*SITE, "mutation")
TEXT = "it takes a text assay"
CHOICE = "it takes a choice assay"
BOTH = "it takes a choice assay and a text assay"


@table("phenotypes", "Every phenotype of the NSMs of the text assays, with its severity; most severe first.")
def phenotypes(given: Screens) -> pl.DataFrame:
    """Return the phenotypes with their severity and numbers of mutants."""
    need(given.text, TEXT)

    def of(label: str) -> pl.DataFrame:
        nsms = given.records[label].filter(~pl.col("silent"))
        counts = nsms.group_by("phenotype").agg(
            mutants=pl.len().cast(pl.Int64),
            loci=pl.struct(LOCUS).n_unique().cast(pl.Int64),
            first_divergence=pl.col("first_divergence").min(),
        )
        found = given.severity[label].join(counts, on="phenotype", how="inner")
        return found.sort("cosine", "edit", "phenotype", descending=[False, True, False])

    return stack(given.text, of)


@table("severity_by_locus", "How severe the NSMs of every locus are, in the text assays.")
def severity_by_locus(given: Screens) -> pl.DataFrame:
    """Return means of the measures of severity, and numbers of NSMs below every cosine threshold."""
    need(given.text, TEXT)
    means = [
        pl.col(name).mean().alias(f"mean_{name}") for name in ("cosine", "chrf", "edit", "first_divergence")
    ]
    below = [
        (pl.col("cosine") < limit).sum().cast(pl.Int64).alias(f"cosine_below_{limit}")
        for limit in COSINE_THRESHOLDS
    ]
    count = pl.len().cast(pl.Int64).alias("nsm")
    return stack(
        given.text,
        lambda label: in_order(
            given.severe[label].filter(~pl.col("silent")).group_by(LOCUS).agg(count, *means, *below)
        ),
    )


@table(
    "severe_sites",
    "Sites with an NSM below each cosine threshold; these are the cosine maps.",
    threshold="cosine",
)
def sites_of_low_cosine(given: Screens) -> pl.DataFrame:
    """Return the sites that are severe at every threshold."""
    need(given.text, TEXT)
    return stack(given.text, lambda label: severe_sites(given.severe[label], "cosine", COSINE_THRESHOLDS))


@table(
    "severe_lines",
    "Whether less severe NSMs lie on the rows and columns of severe ones, more than others: cosine below 0.2 and below"
    " 0.5 in text assays, score up to 5 and up to 8 in choice assays.",
)
def severe_lines(given: Screens) -> pl.DataFrame:
    """Return the sharing of lines between severe and less severe mutants."""
    need([*given.text, *given.choice], "it takes a text assay or a choice assay")
    nsm = ~pl.col("silent")

    def of(label: str) -> pl.DataFrame:
        if label in given.choice:
            value, (_, low, high) = pl.col("score"), SCORE_THRESHOLDS
            return line_sharing(given.records[label].filter(nsm), value <= low, value <= high)
        value = pl.col("cosine")
        return line_sharing(given.severe[label].filter(nsm), value < 0.2, value < MALIGNANT_COSINE)

    return stack([label for label in given.labels if label in (*given.text, *given.choice)], of)


@table("strangest", "The 20 phenotypes of every text assay that are farthest from the wild type.")
def strangest_phenotypes(given: Screens) -> pl.DataFrame:
    """Return the strangest phenotypes with their texts."""
    need(given.text, TEXT)
    return stack(
        given.text,
        lambda label: strangest(given.records[label], given.severity[label], given.phenotypes[label]),
    )


@table("choice_by_kind", "Underperforming and destructive NSMs of the choice assays, by kind.")
def choice_by_kind(given: Screens) -> pl.DataFrame:
    """Return destruction counts by kind."""
    return _destruction(given, "kind")


@table("choice_by_score", "Destructive NSMs of the choice assays, by score.")
def choice_by_score(given: Screens) -> pl.DataFrame:
    """Return destruction counts by score."""
    return _destruction(given, "score")


def _destruction(given: Screens, by: str) -> pl.DataFrame:
    need(given.choice, CHOICE)

    def of(label: str) -> pl.DataFrame:
        wild = [_answer(row.continuation) for row in given.results[label].manifest.wild_type]
        counts = destruction_counts(given.records[label], _answers(given, label, wild), [by])
        return counts.sort(by) if by == "score" else counts

    return stack(given.choice, of)


def _answers(given: Screens, label: str, wild: list[str]) -> pl.DataFrame:
    nsms = given.records[label].filter(~pl.col("silent"))
    told = given.phenotypes[label].join(nsms, on="phenotype", how="semi", maintain_order="left")
    return choice_frame(told, wild, given.results[label].manifest.letters or LETTERS)


def _answer(text: str) -> str:
    return " ".join(text.split())


@wide_table(
    "supplementary_2_severe",
    "Underperforming (score below 10) and destructive mutants of the choice assays; counterpart of the paper's"
    " Supplementary Table 2.",
    "cosine of the mutant in the text assay of this name; null where it is silent or was not screened",
)
def supplementary_severe(given: Screens) -> pl.DataFrame:
    """Return the severe mutants of choice assays with their cosines."""
    need(given.choice, CHOICE)

    def of(label: str) -> pl.DataFrame:
        severe = (pl.col("score") < UNDERPERFORMING) | pl.col("destructive")
        found = given.records[label].filter(~pl.col("silent") & severe)
        found = found.select(*MUTANT, "score", "destructive")
        for text in given.text:
            told = given.severe[text].filter(~pl.col("silent")).select(*MUTANT, pl.col("cosine").alias(text))
            found = found.join(told, on=MUTANT, how="left", maintain_order="left")
        return found

    return stack(given.choice, of)


@table(
    "malignant",
    f"Mutants with a score of {MALIGNANT_SCORE} or less in a choice assay and a cosine below {MALIGNANT_COSINE} in a"
    " text assay.",
    assay="the choice assay",
    text_assay="the text assay",
)
def malignant_mutants(given: Screens) -> pl.DataFrame:
    """Return the malignant mutants of every choice assay against every text assay."""
    need(given.choice and given.text, BOTH)
    return stack(
        given.choice,
        lambda label: malignant_against(given.records[label], given.severe).rename({"assay": "text_assay"}),
    )


@table(
    "malignant_by_locus",
    "Malignant mutants by locus, most first.",
    assay="the choice assay",
    text_assay="the text assay",
)
def malignant_by_locus(given: Screens) -> pl.DataFrame:
    """Return the number of malignant mutants of every locus."""
    return _of_malignant(given, mutants_by_locus)


@table(
    "malignant_lines",
    "Rows and columns by the share of the malignant mutants that they hold, largest first.",
    assay="the choice assay",
    text_assay="the text assay",
)
def malignant_lines(given: Screens) -> pl.DataFrame:
    """Return the top lines of the malignant mutants."""
    return _of_malignant(given, top_lines)


def _of_malignant(given: Screens, analysis: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    mutants = malignant_mutants(given)
    parts = []
    for choice in given.choice:
        for text in given.text:
            names = (pl.lit(choice).alias("assay"), pl.lit(text).alias("text_assay"))
            found = analysis(mutants.filter(assay=choice, text_assay=text))
            parts.append(found.select(*names, pl.all()))
    return pl.concat(parts)
