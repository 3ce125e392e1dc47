"""Outputs to read, of the wild type and of chosen mutants."""

from __future__ import annotations

import polars as pl

from mutascope.analysis.severity import strangest
from mutascope.core.schema import MUTANT_KEY
from mutascope.findings.columns import columns
from mutascope.findings.finding import Finding, need
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.writers import of_panel

_EXAMPLES = 3
"""Mutants of a rare word."""


@once
def supplementary_outputs(given: ScreenSet) -> pl.DataFrame:
    """Return outputs of the wild type and of chosen mutants: of the panels of a model, or else of its text assays."""
    models = [set(labels) for labels in given.by_model(given.labels).values()]
    chosen = set().union(*(own & set(given.panels) or own & set(given.text) for own in models))
    labels = [label for label in given.labels if label in chosen]
    need(labels, "it takes a writer panel or a text assay")
    return stack(labels, lambda label: _with_answers(given, label))


def _with_answers(given: ScreenSet, label: str) -> pl.DataFrame:
    """The outputs, with what the mutant does in the first choice assay of its model: score and changed answers."""
    found = _panel_outputs(given, label) if label in given.panels else _strange_outputs(given, label)
    choices = given.beside(label, given.choice)
    if not choices:
        return found.with_columns(score=pl.lit(None, pl.Int16), changed=pl.lit(None, pl.Int64))
    known = given.records[choices[0]].select(*MUTANT_KEY, "score", "phenotype")
    answers = _changed_answers(given, choices[0])
    told = known.join(answers, on="phenotype", how="left", maintain_order="left").drop("phenotype")
    return found.join(told, on=MUTANT_KEY, how="left", maintain_order="left")


def _changed_answers(given: ScreenSet, choice: str) -> pl.DataFrame:
    """Columns phenotype, changed: the number of its answers that differ from the wild type's."""
    wild = [" ".join(output.continuation.split()) for output in given.results[choice].manifest.wild_type]
    mutants = given.records[choice].select("phenotype")  # the phenotypes of single answers are stored beside
    texts = given.phenotypes[choice].select("phenotype", "text").drop_nulls()
    texts = texts.join(mutants, on="phenotype", how="semi", maintain_order="left")
    changed = [
        sum(said != was for said, was in zip(text.split("\n"), wild, strict=True)) for text in texts["text"]
    ]
    return texts.select("phenotype", changed=pl.Series(changed, dtype=pl.Int64))


def _panel_outputs(given: ScreenSet, label: str) -> pl.DataFrame:
    chosen = (
        of_panel(given, label)
        .filter("rare")
        .sort("word", "outputs", descending=[False, True], maintain_order=True)
        .group_by("word", maintain_order=True)
        .head(_EXAMPLES)
        .select(*MUTANT_KEY, "word", "outputs", "cosine")
    )
    said = given.outputs(label).join(chosen, on=MUTANT_KEY, how="inner", maintain_order="right")
    wild = given.wild_outputs(label)
    mutants = said.select(*wild.columns, *MUTANT_KEY, "word", "outputs", "cosine")
    told = pl.concat([wild, mutants], how="diagonal_relaxed")
    prompts = given.panel(label).select("prompt", told="text")
    told = told.join(prompts, on="prompt", how="left", maintain_order="left")
    outputs = pl.col("outputs").cast(pl.Int64)
    return told.select(*MUTANT_KEY, "word", outputs, "cosine", prompt="told", continuation="continuation")


def _strange_outputs(given: ScreenSet, label: str) -> pl.DataFrame:
    manifest = given.results[label].manifest
    stated = manifest.prompts[0].text if manifest.prompts else None
    wild = pl.DataFrame({"continuation": [manifest.wild_type[0].continuation]})
    found = strangest(given.records[label], given.severity[label], given.phenotypes[label])
    told = pl.concat([wild, found.select(*MUTANT_KEY, "cosine", "continuation")], how="diagonal_relaxed")
    return told.select(
        *MUTANT_KEY,
        pl.lit(None, pl.String).alias("word"),
        pl.lit(None, pl.Int64).alias("outputs"),
        "cosine",
        pl.lit(stated, pl.String).alias("prompt"),
        "continuation",
    )


FINDINGS = (
    Finding(
        "supplementary_3_outputs",
        "Outputs to read: of the wild type (null mutant), and of the mutants with rare words (three of every word) or,"
        " where there is no panel, of the strangest ones; counterpart of the paper's Supplementary Table 3.",
        supplementary_outputs,
        columns(
            prompt="text of the prompt",
            word="initial word of highest frequency; null without a panel",
            outputs="outputs of the mutant that start with the word",
            score="score of the mutant in the first choice assay of the same model; null where it has none",
            changed="answers of the mutant there that differ from the wild type's; 0: it answers as the wild type does",
        ),
    ),
)
