"""Writer panels: mutants that open their outputs with a rare word, where they lie and what they go with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.forms import form_shares
from mutascope.analysis.nulls import q_values
from mutascope.analysis.quality import familiar_words, measured_outputs
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
from mutascope.core.schema import MUTANT_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import SETS, chance, columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.screens import ScreenSet, once, stack

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

PANEL = "it takes a writer panel"


@once
def writers(given: ScreenSet) -> pl.DataFrame:
    """Return the initial words of the panelled mutants, with their cosine in a text assay of their model."""
    need(given.panels, PANEL)

    def of(label: str) -> pl.DataFrame:
        found = writers_frame(given.outputs(label), given.wild_outputs(label))
        text = given.text_of_panel(label)
        if text is None:
            return found.with_columns(cosine=pl.lit(None, pl.Float64))
        cosines = given.severe[text].filter(~pl.col("silent")).select(*MUTANT_KEY, "cosine")
        return found.join(cosines, on=MUTANT_KEY, how="left", maintain_order="left")

    return stack(given.panels, of)


def of_panel(given: ScreenSet, label: str) -> pl.DataFrame:
    """Return the panelled mutants of one panel."""
    return writers(given).filter(assay=label).drop("assay")


def asked(given: ScreenSet, label: str) -> pl.DataFrame:
    """Return the prompts of a panel with what the wild type writes: prompt, text, genre, continuation."""
    return given.panel(label).join(given.wild_outputs(label), on="prompt", how="left", maintain_order="left")


def measured(given: ScreenSet, label: str) -> pl.DataFrame:
    """Return the outputs of a panel with their form and quality."""
    words = familiar(given, label)
    return given.once(f"measured outputs of {label}", lambda: measured_outputs(given.outputs(label), words))


def familiar(given: ScreenSet, label: str) -> set[str]:
    """Return the familiar words of a panel."""
    return given.once(
        f"familiar words of {label}", lambda: familiar_words(given.outputs(label), asked(given, label))
    )


def with_text(given: ScreenSet) -> list[str]:
    """Panels whose model has a text assay."""
    labels = [label for label in given.panels if given.text_of_panel(label)]
    need(labels, f"{PANEL} and a text assay of its model")
    return labels


@once
def rare_by_cosine(given: ScreenSet) -> pl.DataFrame:
    """Return the histogram of common and rare words."""
    return stack(with_text(given), lambda label: rarity_by_cosine(of_panel(given, label)))


@once
def rare_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Return the distribution of writers over loci."""
    need(given.panels, PANEL)
    return stack(given.panels, lambda label: writers_by_locus(of_panel(given, label)))


@once
def rare_words(given: ScreenSet) -> pl.DataFrame:
    """Return the permutation test of every rare word."""
    need(given.panels, PANEL)
    return stack(given.panels, lambda label: word_groups(of_panel(given, label)))


@once
def rare_and_low(given: ScreenSet) -> pl.DataFrame:
    """Return the sharing of lines between rare words and low cosines."""
    return stack(
        with_text(given),
        lambda label: rare_and_low_cosine_lines(
            given.severe[str(given.text_of_panel(label))], of_panel(given, label).drop("cosine")
        ),
    )


@once
def rare_by_score(given: ScreenSet) -> pl.DataFrame:
    """Return the scores of writers."""
    scored = {label: given.beside(label, given.choice) for label in given.panels}
    labels = [label for label in given.panels if scored[label]]
    need(labels, f"{PANEL} and a choice assay of its model")
    return stack(
        labels,
        lambda label: writers_by_score(of_panel(given, label), given.records[scored[label][0]]),
    )


@once
def rare_by_genre(given: ScreenSet) -> pl.DataFrame:
    """Return the genres of every writer."""
    need(given.panels, PANEL)
    return stack(
        given.panels,
        lambda label: genres_of_writers(given.outputs(label), of_panel(given, label), given.panel(label)),
    )


@once
def genres(given: ScreenSet) -> pl.DataFrame:
    """Return the summary over words."""
    by_mutant = rare_by_genre(given)
    schema = {"words": pl.Int64, **dict.fromkeys(("literary", "factual", "p", "least_p"), pl.Float64)}
    found = stack(
        given.panels,
        lambda label: pl.DataFrame([genre_summary(by_mutant.filter(assay=label))], schema=schema),
    )
    return q_values(found)


@once
def forms(given: ScreenSet) -> pl.DataFrame:
    """Return the shares of forms."""
    need(given.panels, PANEL)

    def of(label: str) -> pl.DataFrame:
        rare = of_panel(given, label).select(
            *MUTANT_KEY, who=pl.when("rare").then(pl.lit("rare")).otherwise(pl.lit("common"))
        )
        outputs = given.outputs(label).join(rare, on=MUTANT_KEY, how="inner", maintain_order="left")
        wild = form_shares(given.wild_outputs(label)).select(pl.lit("wild type").alias("who"), pl.all())
        return pl.concat([wild, form_shares(outputs, ["who"])])

    return stack(given.panels, of)


def _charts(given: ScreenSet, palette: Palette) -> Pictures:
    loci, words = rare_by_locus(given), rare_words(given)
    charts = [
        figures.WriterCharts(
            label,
            rare_by_cosine(given).filter(assay=label) if given.text_of_panel(label) else None,
            loci.filter(assay=label),
            words.filter(assay=label),
        )
        for label in given.panels
        if loci.filter(assay=label)["rare"].sum()
    ]
    need(charts, "no panelled mutant has a rare initial word")
    yield "", figures.writers_figure(charts, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield the rare words, where their mutants lie, and what they write."""
    need(given.panels, PANEL)
    yield Prose(
        "The word that starts most outputs of a mutant is its initial word; it is rare when neither the wild type nor"
        " most panelled mutants start with it."
    )
    yield Figures("writers", "Mutants with rare initial words.")
    yield Rows(
        "writer_words",
        "Rows and columns that mutants of one rare word share (last row: all words)",
        "assay word mutants loci rows expected_rows p_rows q_rows cols expected_cols p_cols q_cols",
        rows=20,
    )
    yield Figures("writer_maps", "Rare words, and low cosines, of the same locus.")
    yield Figures("writer_rows", "The coordinates of every rare word over loci.")
    yield Rows(
        "writer_coordinates",
        "Coordinates at which the mutants of one word meet in several loci",
        "assay word axis index loci mutants of",
        choose=lambda frame: frame.filter(pl.col("loci") >= 2),
        empty="no two loci share one",
    )
    yield Rows("writer_genres", "Literary and factual inputs", "assay words literary factual p q least_p")
    yield Rows("writer_forms", "Forms of the outputs", "assay who outputs poem dialogue first_person")
    yield Rows(
        "supplementary_3_outputs",
        "Outputs to read",
        "assay layer kind row col mutation word prompt continuation",
        rows=8,
    )


def _sentences(given: ScreenSet) -> Iterator[str]:
    for label in given.panels:
        found = of_panel(given, label)
        rare = found.filter("rare")
        if len(rare):
            yield (
                f"{len(rare):,} of {len(found):,} panelled mutants of {label} open their outputs with a rare word, such"
                f" as {rare['word'].value_counts(sort=True)['word'][0]!r}."
            )


FINDINGS = (
    Finding(
        "writers",
        "Every mutant of a panel with its initial word of highest frequency, and whether it is rare.",
        writers,
        columns(
            outputs="outputs that start with the word",
            prompts="prompts of the panel",
            rare="whether the word is rare",
        ),
        Drawing("writers", "mutants with rare initial words (6a-c)", _charts),
        Section("writers", "Writers", _blocks, _sentences),
    ),
    Finding(
        "writers_by_cosine",
        "Mutants with common and with rare words over their cosine in the text assay.",
        rare_by_cosine,
        columns(
            low="lower end of the bin",
            high="upper end of the bin",
            common="mutants with a common word",
            rare="mutants with a rare word",
        ),
    ),
    Finding(
        "writers_by_locus",
        "Panelled mutants, and those with a rare word, by locus.",
        rare_by_locus,
        columns(
            panelled="mutants that were put on the panel",
            rare="mutants with a rare word",
            words="distinct rare words",
        ),
    ),
    Finding(
        "writer_words",
        "Every rare word with two mutants or more: how many rows and columns its mutants share; the last row sums up.",
        rare_words,
        columns(
            rows="distinct rows of the mutants",
            cols="distinct columns of the mutants",
            loci="distinct loci of the mutants",
            expected_rows="mean number of distinct rows when the rare sites of each locus are shuffled",
            expected_cols="mean number of distinct columns when the rare sites of each locus are shuffled",
            p_rows=chance("p-value: as few distinct rows by chance"),
            p_cols=chance("p-value: as few distinct columns by chance"),
            q_rows=chance("p_rows, adjusted for the words (Benjamini-Hochberg); of the sum: p_rows"),
            q_cols=chance("the same of the columns"),
        ),
    ),
    Finding(
        "writers_and_low_cosine",
        "Whether mutants of low cosine lie on the rows and columns of mutants with rare words.",
        rare_and_low,
        SETS,
    ),
    Finding(
        "writers_by_score",
        "Scores of the mutants with rare and with common words in the choice assay.",
        rare_by_score,
        columns(rare="mutants with a rare word", common="mutants with a common word"),
    ),
    Finding(
        "writers_by_genre",
        "How often the rare word of a mutant starts its literary and its factual outputs.",
        rare_by_genre,
        columns(
            literary="literary outputs that start with the word",
            factual="factual outputs that start with the word",
            literary_prompts="literary prompts",
            factual_prompts="factual prompts",
        ),
    ),
    Finding(
        "writer_genres",
        "Whether rare words start literary outputs more often than factual ones, over words.",
        genres,
        columns(
            words="distinct rare words",
            literary="mean share of literary outputs that a word starts",
            factual="mean share of factual outputs that a word starts",
            least_p=chance(
                "smallest p that so many differing words allow: from .0625 up, nothing can be significant"
            ),
        ),
    ),
    Finding(
        "writer_forms",
        "Share of poems, dialogues and first-person texts among the outputs of the wild type, and of mutants with rare"
        " and with common words.",
        forms,
        columns(
            who="wild type, or mutants with rare or with common words",
            outputs="number of outputs",
            poem="share of poems",
            dialogue="share of dialogues",
            first_person="share of first-person texts",
        ),
    ),
)
