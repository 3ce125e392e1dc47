"""Outputs to read, of the wild type and of chosen mutants."""

from __future__ import annotations

import polars as pl

from mutascope.analysis.severity import strangest
from mutascope.core.schema import MUTANT_KEY
from mutascope.findings.columns import columns
from mutascope.findings.finding import finding, need
from mutascope.findings.screens import ScreenSet, stack
from mutascope.findings.writers import of_panel

_EXAMPLES = 3
"""Mutants of a rare word."""


def _panel_outputs(given: ScreenSet, label: str) -> pl.DataFrame:
    chosen = (
        of_panel(given, label)
        .filter("rare")
        .sort("word", "outputs", descending=[False, True], maintain_order=True)
        .group_by("word", maintain_order=True)
        .head(_EXAMPLES)
        .select(*MUTANT_KEY, "word")
    )
    said = given.outputs(label).join(chosen, on=MUTANT_KEY, how="inner", maintain_order="right")
    wild = given.wild_outputs(label)
    told = pl.concat([wild, said.select(*wild.columns, *MUTANT_KEY, "word")], how="diagonal_relaxed")
    prompts = given.panel(label).select("prompt", told="text")
    told = told.join(prompts, on="prompt", how="left", maintain_order="left")
    return told.select(*MUTANT_KEY, "word", prompt="told", continuation="continuation")


def _strange_outputs(given: ScreenSet, label: str) -> pl.DataFrame:
    manifest = given.results[label].manifest
    stated = manifest.prompts[0].text if manifest.prompts else None
    wild = pl.DataFrame({"continuation": [manifest.wild_type[0].continuation]})
    found = strangest(given.records[label], given.severity[label], given.phenotypes[label])
    told = pl.concat([wild, found.select(*MUTANT_KEY, "continuation")], how="diagonal_relaxed")
    return told.select(
        *MUTANT_KEY,
        pl.lit(None, pl.String).alias("word"),
        pl.lit(stated, pl.String).alias("prompt"),
        "continuation",
    )


@finding(
    "supplementary_3_outputs",
    columns(
        prompt="text of the prompt",
        word="initial word of highest frequency; null without a panel",
        score="score of the mutant in the first choice assay; null where it has none",
    ),
)
def supplementary_outputs(given: ScreenSet) -> pl.DataFrame:
    """Outputs to read: of the wild type (null mutant), and of the mutants with rare words (three of every word) or,
    where there is no panel, of the strangest ones; counterpart of the paper's Supplementary Table 3.
    """
    labels = given.panels or given.text
    need(labels, "it takes a writer panel or a text assay")
    chosen = _panel_outputs if given.panels else _strange_outputs
    found = stack(labels, lambda label: chosen(given, label))
    if not given.choice:
        return found.with_columns(score=pl.lit(None, pl.Int16))
    scores = given.records[given.choice[0]].select(*MUTANT_KEY, "score")
    return found.join(scores, on=MUTANT_KEY, how="left", maintain_order="left")
