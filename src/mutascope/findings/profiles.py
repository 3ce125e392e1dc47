"""What mutants of a panel do elsewhere: how well they write, against what they answer and say there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.nulls import q_values
from mutascope.analysis.quality import QUALITIES, mutant_quality
from mutascope.analysis.slopes import slope_within_loci
from mutascope.core.schema import MUTANT_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.choice import wild_score
from mutascope.findings.columns import chance, columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.writers import PANEL, measured, of_panel

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_WHO = (("rare", pl.col("rare")), ("common", ~pl.col("rare")), ("all", pl.lit(True)))


@once
def quality(given: ScreenSet) -> pl.DataFrame:
    """Return the words of the panelled mutants, and how well they write."""
    need(given.panels, PANEL)

    def of(label: str) -> pl.DataFrame:
        told = mutant_quality(measured(given, label))
        return of_panel(given, label).join(told, on=MUTANT_KEY, how="left", maintain_order="left")

    return stack(given.panels, of)


def _of(given: ScreenSet, label: str) -> pl.DataFrame:
    return quality(given).filter(assay=label).drop("assay", "cosine")


@once
def profiles(given: ScreenSet) -> pl.DataFrame:
    """Return, for every panelled mutant, its quality, and beside it what it does in the other screens of its model."""
    need(given.panels, PANEL)

    def of(label: str) -> pl.DataFrame:
        found = _of(given, label).select(pl.lit(label).alias("assay"), pl.all())
        for other in given.beside(label, [*given.choice, *given.pooled, *given.text]):
            told = given.records[other] if other not in given.text else given.severe[other]
            value = "cosine" if other in given.text else "score"
            name = given.counterparts[other]
            free = name if name not in found.columns else f"{name} (assay)"
            told = told.select(*MUTANT_KEY, pl.col(value).alias(free))
            found = found.join(told, on=MUTANT_KEY, how="left", maintain_order="left")
        return found

    return pl.concat([of(label) for label in given.panels], how="diagonal_relaxed")


def _scored(given: ScreenSet) -> list[tuple[str, str, pl.DataFrame]]:
    """Panel, choice assay of its model, and the mutants of both, with quality, score and the wild type's score."""
    pairs = [
        (panel, choice)
        for panel in given.panels
        for choice in given.beside(panel, [*given.choice, *given.pooled])
    ]
    need(pairs, f"{PANEL} and a choice assay of its model")
    told = []
    for panel, choice in pairs:
        scores = given.records[choice].select(*MUTANT_KEY, "score").drop_nulls()
        both = _of(given, panel).join(scores, on=MUTANT_KEY, how="inner", maintain_order="left")
        told.append(
            (panel, choice, both.with_columns(wild_right=pl.lit(wild_score(given, choice), pl.Int64)))
        )
    return told


@once
def quality_by_score(given: ScreenSet) -> pl.DataFrame:
    """Return whether mutants that answer well write well."""
    rows = []
    for panel, choice, both in _scored(given):
        for who, chosen in _WHO:
            part = both.filter(chosen)
            for measure in QUALITIES:
                found = slope_within_loci(part, measure, "score")
                mean = part[measure].mean()
                rows.append((panel, choice, who, measure, len(part), mean, found.slope, found.r, found.p))
    texts, floats = ("assay", "choice_assay", "who", "measure"), ("mean", "slope", "r", "p")
    schema = {**dict.fromkeys(texts, pl.String), "mutants": pl.Int64, **dict.fromkeys(floats, pl.Float64)}
    return q_values(pl.DataFrame(rows, schema=schema, orient="row"), ["assay", "choice_assay"])


def _in_texts(given: ScreenSet) -> dict[tuple[str, str], pl.DataFrame]:
    """Rare and cosine of the panelled mutants that a text assay of their model screened, by panel and text assay."""
    found = {}
    for panel in given.panels:
        for text in given.beside(panel, given.text):
            told = given.severe[text].select(*MUTANT_KEY, "silent", "cosine")
            found[panel, text] = _of(given, panel).join(
                told, on=MUTANT_KEY, how="inner", maintain_order="left"
            )
    need(found, f"{PANEL} and a text assay of its model")
    return found


@once
def writers_on_texts(given: ScreenSet) -> pl.DataFrame:
    """Return how far mutants with rare and with common words are from the wild type in every text assay."""
    rows = []
    for (panel, text), both in _in_texts(given).items():
        rare, common = both.filter("rare"), both.filter(~pl.col("rare"))
        found = slope_within_loci(both, "cosine", "rare")
        numbers = [
            value
            for part in (rare, common)
            for value in (len(part), part["silent"].sum(), part["cosine"].mean())
        ]
        rows.append((panel, text, *numbers, found.slope, found.p))
    schema = {
        "assay": pl.String,
        "text_assay": pl.String,
        **{f"{who}{what}": kind for who in ("rare", "common") for what, kind in _PER_WHO.items()},
        "difference": pl.Float64,
        "p": pl.Float64,
    }
    return q_values(pl.DataFrame(rows, schema=schema, orient="row"), ["assay"])


_PER_WHO = {"": pl.Int64, "_silent": pl.Int64, "_cosine": pl.Float64}


def _scatter(given: ScreenSet, palette: Palette) -> Pictures:
    drawn = [(f"{panel}, {choice}", both) for panel, choice, both in _scored(given) if len(both)]
    need(drawn, "no mutant of a panel was screened by a choice assay of its model")
    yield "", figures.quality_figure(drawn, palette)


def _strips(given: ScreenSet, palette: Palette) -> Pictures:
    both = _in_texts(given)
    drawn = []
    for panel in dict.fromkeys(panel for panel, _ in both):
        parts = [
            part.select(pl.lit(text).alias("text_assay"), "rare", "cosine")
            for (name, text), part in both.items()
            if name == panel and len(part)
        ]
        drawn += [(panel, pl.concat(parts))] if parts else []
    need(drawn, "no mutant of a panel was screened by a text assay of its model")
    yield "", figures.texts_figure(drawn, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield how well mutants write, against what they answer and say elsewhere."""
    need(given.panels, PANEL)
    yield Prose(
        "An output is coherent when it has eight words or more, hardly repeats itself, and at least half of its words"
        " are familiar: of a prompt, or written by others on the panel too."
    )
    yield Figures("writer_quality", "Coherent outputs against the score.")
    yield Rows(
        "quality_by_score",
        "Do mutants that answer well write well?",
        "assay choice_assay who measure mutants mean slope r p q",
        choose=lambda frame: frame.filter(measure="coherent"),
    )
    yield Figures("writers_on_texts", "The same mutants in the text assays.")
    yield Rows(
        "writers_on_texts",
        "Mutants with rare and with common words in the text assays",
        "assay text_assay rare rare_silent rare_cosine common common_silent common_cosine difference p q",
    )


_QUALITY = {
    "coherent": "share of outputs that are coherent: eight words or more, most of them familiar, hardly a repetition",
    "distinct": "distinct runs of three words over all of an output, mean over its outputs",
    "familiar": "share of words that a prompt has, or that others on the panel write too, mean over its outputs",
}
_CHOICE = columns(choice_assay="label of the choice assay", text_assay="label of the text assay")

FINDINGS = (
    Finding(
        "writer_profiles",
        "Every mutant of a panel: how well it writes, and what it does in the other screens of its model.",
        profiles,
        columns(
            outputs="outputs that start with the word",
            prompts="prompts of the panel",
            rare="whether the word is rare",
            **_QUALITY,
            **{
                "*": "of the screen, or with several models the assay, of this name: score of the mutant in a choice"
                " assay, its cosine in a text assay; null where it was not screened"
            },
        ),
        section=Section("writer_profiles", "Writers elsewhere", _blocks),
    ),
    Finding(
        "quality_by_score",
        "Whether mutants of a panel with a higher score in a choice assay write better, within loci.",
        quality_by_score,
        _CHOICE
        | columns(
            who="mutants with rare words, with common words, or all",
            measure="what is measured of a mutant's outputs: "
            + "; ".join(f"{k}, {v}" for k, v in _QUALITY.items()),
            mean="mean of the measure over the mutants",
            slope="change of the measure per right answer, within loci; null where no locus has two scores",
            r="correlation of measure and score within loci",
            p=chance("p-value of the slope; null where one row or column alone decides"),
        ),
        Drawing("writer_quality", "coherent outputs of panelled mutants by score", _scatter),
    ),
    Finding(
        "writers_on_texts",
        "How far mutants with rare and with common words are from the wild type in the text assays of their model, such"
        " as python0 and java.",
        writers_on_texts,
        _CHOICE
        | columns(
            rare="mutants with a rare word that both screened",
            rare_silent="of these, silent in the text assay",
            rare_cosine="their mean cosine, 1 where silent",
            common="mutants with a common word that both screened",
            common_silent="of these, silent in the text assay",
            common_cosine="their mean cosine, 1 where silent",
            difference="cosine of rare less common words within loci; null where no locus has both",
            p=chance("p-value of the difference; null where one row or column alone decides"),
        ),
        Drawing("writers_on_texts", "panelled mutants in the text assays, by cosine", _strips),
    ),
)
