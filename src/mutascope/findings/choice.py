"""What mutants do to the answers of choice assays: scores and destruction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.choice import (
    SCORE_THRESHOLDS,
    UNDERPERFORMING,
    choice_frame,
    destruction_counts,
)
from mutascope.core.schema import MUTANT_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.galleries import with_most
from mutascope.findings.screens import ScreenSet, once, stack

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

CHOICE = "it takes a choice assay"


@once
def choice_by_kind(given: ScreenSet) -> pl.DataFrame:
    """Return destruction counts by kind."""
    return _destruction(given, "kind")


@once
def choice_by_score(given: ScreenSet) -> pl.DataFrame:
    """Return destruction counts by score."""
    return _destruction(given, "score")


def _destruction(given: ScreenSet, by: str) -> pl.DataFrame:
    need(given.choice, CHOICE)

    def of(label: str) -> pl.DataFrame:
        counts = destruction_counts(given.records[label], _answers(given, label), [by])
        return counts.sort(by) if by == "score" else counts

    return stack(given.choice, of)


def _answers(given: ScreenSet, label: str) -> pl.DataFrame:
    manifest = given.results[label].manifest
    wild = [" ".join(output.continuation.split()) for output in manifest.wild_type]
    nsms = given.records[label].filter(~pl.col("silent"))
    told = given.phenotypes[label].join(nsms, on="phenotype", how="semi", maintain_order="left")
    return choice_frame(told, wild, manifest.offered)


@once
def supplementary_severe(given: ScreenSet) -> pl.DataFrame:
    """Return the severe mutants of choice assays with their cosines."""
    need(given.choice, CHOICE)

    def of(label: str) -> pl.DataFrame:
        found = given.records[label].filter(~pl.col("silent"), pl.col("score") <= UNDERPERFORMING)
        found = found.select(pl.lit(label).alias("assay"), *MUTANT_KEY, "score", "destructive")
        for text in given.beside(label, given.text):
            cosine = pl.when("silent").then(pl.lit("standard")).otherwise(pl.col("cosine").cast(pl.String))
            told = given.severe[text].select(*MUTANT_KEY, cosine.alias(given.counterparts[text]))
            found = found.join(told, on=MUTANT_KEY, how="left", maintain_order="left")
        return found

    return pl.concat(
        [of(label) for label in given.choice], how="diagonal_relaxed"
    )  # texts of its own model each


def wild_score(given: ScreenSet, choice: str) -> int | None:
    """Return the score of the wild type: that of its answers, or of a silent mutant where the keys are not known."""
    manifest = given.results[choice].manifest
    if manifest.prompts and all(prompt.key for prompt in manifest.prompts):
        keyed = zip(manifest.wild_type, manifest.prompts, strict=True)
        return sum(" ".join(said.continuation.split()) == prompt.key for said, prompt in keyed)
    silent = given.records[choice].filter("silent")["score"].drop_nulls()
    return int(silent[0]) if len(silent) else None


def _scores(given: ScreenSet, palette: Palette) -> Pictures:
    counts = choice_by_score(given)
    need(len(counts), "no mutant of a choice assay that was run is an NSM")
    yield "", figures.score_figure(counts, palette)


def _gallery(given: ScreenSet, palette: Palette) -> Pictures:
    """The loci with most NSMs of low score, at several thresholds, and destructive ones (Figure 5a, b, left)."""
    need(given.choice, CHOICE)
    told = [(f"score ≤ {limit}", pl.col("score") <= limit) for limit in SCORE_THRESHOLDS]
    told.append(("destructive", pl.col("destructive")))
    for label in given.choice:
        records = given.records[label]
        low = (pl.col("score") <= SCORE_THRESHOLDS[-1]) | pl.col("destructive")
        if rows := with_most(given, label, records, low, told):
            title = f"{label}: loci with most underperforming or destructive NSMs"
            yield label, figures.draw_gallery(rows, title, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield what NSMs do to the answers, and which of them are malignant in a text assay too."""
    need(given.choice, CHOICE)
    yield Prose(
        "A mutant is destructive when some answer is no letter, wholly when none is; it underperforms with a score"
        " below 10; it is malignant when it scores 8 or less and its text has a cosine below 0.5."
    )
    for label in given.choice:
        score = wild_score(given, label)
        if score is not None and score < UNDERPERFORMING:
            yield Prose(
                f"The wild type of {label} scores {score} itself: bounds of 10 and 8, which are the paper's for a wild"
                " type with 14 right answers, do not tell what its mutants spoil."
            )
    yield Figures("score", "NSMs by score.")
    yield Rows(
        "choice_by_kind",
        "Underperforming and destructive NSMs by kind",
        "assay kind nsm underperforming destructive wholly partly both agreement",
        rows=21,
    )
    yield Figures("score_maps", "NSMs up to several scores, in the loci that have most of them.")
    yield Rows(
        "malignant_by_locus", "Malignant mutants by locus", "assay text_assay layer kind mutants share"
    )
    yield Rows(
        "malignant_lines",
        "Rows and columns that hold most malignant mutants",
        "assay text_assay layer kind axis index mutants share cumulative",
    )
    yield Figures("malignant", "Malignant mutants.")


def _sentences(given: ScreenSet) -> Iterator[str]:
    counts = pl.col("nsm", "underperforming", "destructive").sum()
    for row in choice_by_kind(given).group_by("assay", maintain_order=True).agg(counts).iter_rows(named=True):
        yield (
            f"Of {row['nsm']:,} NSMs of {row['assay']}, {row['underperforming']:,} score below {UNDERPERFORMING} and"
            f" {row['destructive']:,} answer with something that is no letter."
        )


_COUNTS = columns(
    destructive="number of NSMs with an answer that is none of A, B, C, D",
    underperforming=f"NSMs with a score below {UNDERPERFORMING}",
    wholly="NSMs without any letter among the answers",
    partly="destructive NSMs with some letter left",
    letters="letters left in the answers of destructive NSMs",
    agreeing="of these, equal to the wild type's answer",
    agreement="agreeing / letters",
)

FINDINGS = (
    Finding(
        "choice_by_kind",
        "Underperforming and destructive NSMs of the choice assays, by kind.",
        choice_by_kind,
        _COUNTS,
        Drawing("score_maps", "NSMs up to several scores, and destructive ones (5a, b)", _gallery),
        Section("choice", "Answers to questions", _blocks, _sentences),
    ),
    Finding(
        "choice_by_score",
        "Destructive NSMs of the choice assays, by score.",
        choice_by_score,
        _COUNTS,
        Drawing("score", "NSMs of choice assays by score (5)", _scores),
    ),
    Finding(
        "supplementary_2_severe",
        "NSMs of the choice assays with a score of 10 or less; counterpart of the paper's Supplementary Table 2.",
        supplementary_severe,
        columns(
            **{
                "*": "cosine of the mutant in the text screen, or with several models the text assay, of this name;"
                " standard where it is silent, null where it was not screened"
            },
        ),
    ),
)
