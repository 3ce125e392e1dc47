"""Tables of what mutants put out: severity of texts and answers, malignant mutants, writers."""

from __future__ import annotations

import polars as pl

from mutascope.analysis.choice import (
    MALIGNANT_COSINE,
    MALIGNANT_SCORE,
    SCORE_THRESHOLDS,
    UNDERPERFORMING,
    choice_frame,
    destruction_counts,
    malignant_against,
    mutants_by_locus,
)
from mutascope.analysis.forms import form_shares
from mutascope.analysis.lines import line_sharing, top_lines
from mutascope.analysis.severity import COSINE_THRESHOLDS, severe_sites, strangest
from mutascope.analysis.sites import LOCUS, SITE, in_order
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
from mutascope.findings.registry import need, table, wide_table
from mutascope.findings.screens import Screens, stack

MUTANT = (*SITE, "mutation")
TEXT = "it takes a text assay"
CHOICE = "it takes a choice assay"
BOTH = "it takes a choice assay and a text assay"
PANEL = "it takes a writer panel"
EXAMPLES = 3
"""Mutants of a rare word in the table of outputs."""


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
    "Whether less severe mutants lie on the rows and columns of severe ones: cosine below 0.2 and below 0.5 in text"
    " assays, score up to 5 and up to 8 in choice assays.",
)
def severe_lines(given: Screens) -> pl.DataFrame:
    """Return the sharing of lines between severe and less severe mutants."""
    need([*given.text, *given.choice], "it takes a text assay or a choice assay")
    nsm = ~pl.col("silent")

    def of(label: str) -> pl.DataFrame:
        if label in given.choice:
            value, (_, low, high) = pl.col("score"), SCORE_THRESHOLDS
            return line_sharing(given.records[label], nsm & (value <= low), nsm & (value <= high))
        value = pl.col("cosine")
        return line_sharing(given.severe[label], nsm & (value < 0.2), nsm & (value < MALIGNANT_COSINE))

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
        wild = [_answer(row["continuation"]) for row in given.results[label].manifest["wild_type"]]
        counts = destruction_counts(given.records[label], _answers(given, label, wild), [by])
        return counts.sort(by) if by == "score" else counts

    return stack(given.choice, of)


def _answers(given: Screens, label: str, wild: list[str]) -> pl.DataFrame:
    nsms = given.records[label].filter(~pl.col("silent"))
    told = given.phenotypes[label].join(nsms, on="phenotype", how="semi", maintain_order="left")
    return choice_frame(told, wild)


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


def _of_malignant(given: Screens, analysis) -> pl.DataFrame:
    mutants = malignant_mutants(given)
    parts = []
    for choice in given.choice:
        for text in given.text:
            names = (pl.lit(choice).alias("assay"), pl.lit(text).alias("text_assay"))
            found = analysis(mutants.filter(assay=choice, text_assay=text))
            parts.append(found.select(*names, pl.all()))
    return pl.concat(parts)


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

    return given.once("writers", lambda: stack(given.panels, of))


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
    stated = manifest["prompts"][0]["text"] if manifest["prompts"] else None
    wild = pl.DataFrame({"continuation": [manifest["wild_type"][0]["continuation"]]})
    found = strangest(given.records[label], given.severity[label], given.phenotypes[label])
    told = pl.concat([wild, found.select(*MUTANT, "continuation")], how="diagonal_relaxed")
    return told.select(
        *MUTANT,
        pl.lit(None, pl.String).alias("word"),
        pl.lit(stated, pl.String).alias("prompt"),
        "continuation",
    )
