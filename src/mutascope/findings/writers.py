"""Tables of writer panels: rare initial words, where they lie and what they go with; outputs to read."""

from __future__ import annotations

import polars as pl

from mutascope.analysis.forms import form_shares
from mutascope.analysis.severity import strangest
from mutascope.analysis.writers import (
    genre_summary,
    genres_of_writers,
    rare_and_low_cosine_lines,
    rarity_by_cosine,
    word_groups,
    writers_by_locus,
    writers_by_score,
    writers_frame,
)
from mutascope.findings.outputs import MUTANT
from mutascope.findings.registry import need, table
from mutascope.findings.screens import Screens, stack

PANEL = "it takes a writer panel"
EXAMPLES = 3
"""Mutants of a rare word in the table of outputs."""


@table(
    "writers", "Every mutant of a panel with its initial word of highest frequency, and whether it is rare."
)
def writers(given: Screens) -> pl.DataFrame:
    """Return the initial words of the panelled mutants, with their cosine in a text assay."""
    need(given.panels, PANEL)

    def of(label: str) -> pl.DataFrame:
        found = writers_frame(given.outputs(label), given.wild_outputs(label))
        text = writers_text(given)
        if text is None:
            return found.with_columns(cosine=pl.lit(None, pl.Float64))
        cosines = given.severe[text].filter(~pl.col("silent")).select(*MUTANT, "cosine")
        return found.join(cosines, on=MUTANT, how="left", maintain_order="left")

    return stack(given.panels, of)


def writers_text(given: Screens) -> str | None:
    """Return the text assay that the cosines of writers are of: drosophila, or else the first one."""
    named = [label for label in given.text if "drosophila" in label]
    return (named or given.text or [None])[0]


def _of_panel(given: Screens, label: str) -> pl.DataFrame:
    return writers(given).filter(assay=label).drop("assay")


@table("writers_by_cosine", "Mutants with common and with rare words over their cosine in the text assay.")
def rare_by_cosine(given: Screens) -> pl.DataFrame:
    """Return the histogram of common and rare words."""
    need(given.panels and given.text, f"{PANEL} and a text assay")
    return stack(given.panels, lambda label: rarity_by_cosine(_of_panel(given, label)))


@table(
    "writers_by_locus",
    "Panelled mutants, and those with a rare word, by locus.",
    rare="mutants with a rare word",
)
def rare_by_locus(given: Screens) -> pl.DataFrame:
    """Return the distribution of writers over loci."""
    need(given.panels, PANEL)
    return stack(given.panels, lambda label: writers_by_locus(_of_panel(given, label)))


@table(
    "writer_words",
    "Every rare word with two mutants or more: how many rows and columns its mutants share; the last row sums up.",
    rows="distinct rows of the mutants",
    cols="distinct columns of the mutants",
    loci="distinct loci of the mutants",
)
def rare_words(given: Screens) -> pl.DataFrame:
    """Return the permutation test of every rare word."""
    need(given.panels, PANEL)
    return stack(given.panels, lambda label: word_groups(_of_panel(given, label)))


@table(
    "writers_and_low_cosine",
    "Whether mutants of low cosine lie on the rows and columns of mutants with rare words.",
)
def rare_and_low(given: Screens) -> pl.DataFrame:
    """Return the sharing of lines between rare words and low cosines."""
    text = writers_text(given)
    need(given.panels and text, f"{PANEL} and a text assay")
    records = given.severe[str(text)]
    return stack(
        given.panels,
        lambda label: rare_and_low_cosine_lines(records, _of_panel(given, label).drop("cosine")),
    )


@table("writers_by_score", "Scores of the mutants with rare and with common words in the choice assay.")
def rare_by_score(given: Screens) -> pl.DataFrame:
    """Return the scores of writers."""
    need(given.panels and given.choice, f"{PANEL} and a choice assay")
    choice = given.records[given.choice[0]]
    return stack(given.panels, lambda label: writers_by_score(_of_panel(given, label), choice))


@table("writers_by_genre", "How often the rare word of a mutant starts its literary and its factual outputs.")
def rare_by_genre(given: Screens) -> pl.DataFrame:
    """Return the genres of every writer."""
    need(given.panels, PANEL)
    return stack(
        given.panels,
        lambda label: genres_of_writers(given.outputs(label), _of_panel(given, label), given.panel(label)),
    )


@table(
    "writer_genres",
    "Whether rare words start literary outputs more often than factual ones, over words.",
    literary="mean share of literary outputs that a word starts",
    factual="mean share of factual outputs that a word starts",
)
def genres(given: Screens) -> pl.DataFrame:
    """Return the summary over words."""
    by_mutant = rare_by_genre(given)
    schema = {"words": pl.Int64, "literary": pl.Float64, "factual": pl.Float64, "p": pl.Float64}
    return stack(
        given.panels,
        lambda label: pl.DataFrame([genre_summary(by_mutant.filter(assay=label))], schema=schema),
    )


@table(
    "writer_forms",
    "Share of poems, dialogues and first-person texts among the outputs of the wild type, and of mutants with rare and"
    " with common words.",
)
def forms(given: Screens) -> pl.DataFrame:
    """Return the shares of forms."""
    need(given.panels, PANEL)

    def of(label: str) -> pl.DataFrame:
        rare = _of_panel(given, label).select(
            *MUTANT, who=pl.when("rare").then(pl.lit("rare")).otherwise(pl.lit("common"))
        )
        outputs = given.outputs(label).join(rare, on=MUTANT, how="inner", maintain_order="left")
        wild = form_shares(given.wild_outputs(label)).select(pl.lit("wild type").alias("who"), pl.all())
        return pl.concat([wild, form_shares(outputs, ["who"])])

    return stack(given.panels, of)


@table(
    "supplementary_3_outputs",
    "Outputs to read: of the wild type (null mutant), and of the mutants with rare words (three of every word) or,"
    " where there is no panel, of the strangest ones; counterpart of the paper's Supplementary Table 3.",
    prompt="text of the prompt",
    word="initial word of highest frequency; null without a panel",
    score="score of the mutant in the first choice assay; null where it has none",
)
def supplementary_outputs(given: Screens) -> pl.DataFrame:
    """Return outputs of the wild type and of chosen mutants."""
    need(given.panels or given.text, "it takes a writer panel or a text assay")
    labels = given.panels or given.text
    found = stack(
        labels, lambda label: _panel_outputs(given, label) if given.panels else _strange_outputs(given, label)
    )
    if not given.choice:
        return found.with_columns(score=pl.lit(None, pl.Int16))
    scores = given.records[given.choice[0]].select(*MUTANT, "score")
    return found.join(scores, on=MUTANT, how="left", maintain_order="left")


def _panel_outputs(given: Screens, label: str) -> pl.DataFrame:
    chosen = (
        _of_panel(given, label)
        .filter("rare")
        .sort("word", "outputs", descending=[False, True], maintain_order=True)
        .group_by("word", maintain_order=True)
        .head(EXAMPLES)
        .select(*MUTANT, "word")
    )
    said = given.outputs(label).join(chosen, on=MUTANT, how="inner", maintain_order="right")
    wild = given.wild_outputs(label)
    told = pl.concat([wild, said.select(*wild.columns, *MUTANT, "word")], how="diagonal_relaxed")
    prompts = given.panel(label).select("prompt", told="text")
    told = told.join(prompts, on="prompt", how="left", maintain_order="left")
    return told.select(*MUTANT, "word", prompt="told", continuation="continuation")


def _strange_outputs(given: Screens, label: str) -> pl.DataFrame:
    manifest = given.results[label].manifest
    stated = manifest.prompts[0].text if manifest.prompts else None
    wild = pl.DataFrame({"continuation": [manifest.wild_type[0].continuation]})
    found = strangest(given.records[label], given.severity[label], given.phenotypes[label])
    told = pl.concat([wild, found.select(*MUTANT, "continuation")], how="diagonal_relaxed")
    return told.select(
        *MUTANT,
        pl.lit(None, pl.String).alias("word"),
        pl.lit(stated, pl.String).alias("prompt"),
        "continuation",
    )
