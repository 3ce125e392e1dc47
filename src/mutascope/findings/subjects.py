"""Choice assays that pool several subjects, such as a complete MMLU: which subjects suffer, and in writers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.subjects import subject_losses, subject_scores, writers_by_subject
from mutascope.core.schema import MUTANT_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import chance, columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.writers import of_panel

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

POOLED = "it takes a choice assay that pools the subjects of a folder of questions"


def _keys(given: ScreenSet, label: str) -> tuple[list[str], list[str]]:
    """Keys and subjects of the questions of a pooled assay."""
    prompts = given.results[label].manifest.prompts
    return [prompt.key or "" for prompt in prompts], [prompt.subject or "" for prompt in prompts]


@once
def losses(given: ScreenSet) -> pl.DataFrame:
    """Return what NSMs lose in every subject."""
    need(given.pooled, POOLED)
    return stack(
        given.pooled,
        lambda label: subject_losses(
            given.records[label],
            given.phenotypes[label],
            given.results[label].wild_type,
            *_keys(given, label),
        ),
    )


def scores_of_mutants(given: ScreenSet, label: str) -> pl.DataFrame:
    """Return the right answers of every mutant by subject, beside the wild type's.

    Columns layer, kind, row, col, mutation, subject, questions, score, wild_right.
    """
    known = given.records[label].select(*MUTANT_KEY, "phenotype")
    told = given.phenotypes[label].join(known, on="phenotype", how="semi", maintain_order="left")
    wild = pl.DataFrame({"phenotype": ["wild type"], "text": [given.results[label].wild_type]})
    scores = subject_scores(told, *_keys(given, label))
    unchanged = subject_scores(wild, *_keys(given, label)).select("subject", wild_right="score")
    scores = scores.join(unchanged, on="subject", how="left", maintain_order="left")
    return known.join(scores, on="phenotype", how="left", maintain_order="left").drop("phenotype")


@once
def rare_by_subject(given: ScreenSet) -> pl.DataFrame:
    """Return the scores of writers by subject, of every panel and pooled assay of its model."""
    pairs = [(panel, label) for panel in given.panels for label in given.beside(panel, given.pooled)]
    need(pairs, "it takes a writer panel, and a choice assay of its model that pools subjects")
    return pl.concat(
        writers_by_subject(of_panel(given, panel), scores_of_mutants(given, label)).select(
            pl.lit(panel).alias("assay"), pl.lit(label).alias("choice_assay"), pl.all()
        )
        for panel, label in pairs
    )


def _chart(given: ScreenSet, palette: Palette) -> Pictures:
    found = losses(given)
    drawn = [(label, part) for label in given.pooled if len(part := found.filter(assay=label))]
    need(drawn, "no mutant of an assay that pools subjects is an NSM")
    yield "", figures.subjects_figure(drawn, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield what NSMs lose by subject, and what writers lose."""
    need(given.pooled, POOLED)
    yield Prose(
        "A subject suffers when its questions lose more right answers than all others; both questions and mutants are"
        " taken as drawn at random."
    )
    yield Figures("subjects", "Right answers by subject.")
    yield Rows(
        "subject_scores",
        "Subjects that suffer most",
        "assay subject questions wild_right nsm mean_score lowest change rest p q",
        choose=lambda frame: frame.sort("change", maintain_order=True),
    )
    if given.panels:
        yield Rows(
            "writers_by_subject",
            "Mutants with a rare initial word by subject (first row: all subjects)",
            "assay choice_assay subject questions wild_right rare rare_score common common_score difference p q",
        )


def _sentences(given: ScreenSet) -> Iterator[str]:
    for label in given.pooled:
        part = losses(given).filter(assay=label)
        if len(part):
            before, after = (int(part["wild_right"].sum()), float(part["mean_score"].sum()))
            yield (
                f"Of {part['questions'].sum():,} questions of {len(part)} subjects, the wild type answers {before:,}"
                f" right, and the {part['nsm'][0]:,} NSMs of {label} {after:,.1f} on average."
            )


FINDINGS = (
    Finding(
        "subject_scores",
        "Right answers by subject of choice assays that pool several, of the wild type and of NSMs, and whether a"
        " subject loses otherwise than the others.",
        losses,
        columns(
            subject="subject of the questions",
            questions="questions of the subject",
            wild_right="right answers of the wild type",
            mean_score="right answers, mean over the NSMs",
            lowest="fewest right answers of an NSM",
            change="right answers per question less the wild type's, mean over loci",
            rest="the same of all other questions",
        ),
        Drawing("subjects", "right answers by subject, of wild type and NSMs", _chart),
        Section("subjects", "Subjects", _blocks, _sentences),
    ),
    Finding(
        "writers_by_subject",
        "Scores by subject of mutants with a rare initial word, beside the other mutants of the panel.",
        rare_by_subject,
        columns(
            choice_assay="label of the choice assay",
            subject="subject of the questions; null: all questions",
            questions="questions of the subject",
            wild_right="right answers of the wild type",
            rare="mutants with a rare word that both screened",
            common="mutants with a common word that both screened",
            rare_score="right answers, mean over mutants with a rare word",
            common_score="right answers, mean over mutants with a common word",
            difference="rare less common words within loci; null where no locus has both",
            p=chance("p-value of the difference; null where one row or column alone decides"),
        ),
    ),
)
