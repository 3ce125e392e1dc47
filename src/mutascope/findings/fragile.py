"""Fragile tokens: how much of a map is which word of the wild type's text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.fragile import FRAGILE, within_tokens
from mutascope.analysis.fragile import fragile_tokens as tokens_of
from mutascope.analysis.silence import silence_by_kind
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import columns, share
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.screens import ScreenSet, once, stack

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_NAMED = 4
"""Tokens that a sentence names."""


def with_divergence(given: ScreenSet) -> list[str]:
    """Return the labels of the text assays with NSMs whose first divergence is known."""
    left = ~pl.col("silent") & pl.col("first_divergence").is_not_null()
    labels = [
        label
        for label in given.text
        if given.maps[label]["first_divergence"].count() and given.mapped(label).select(left.any()).item()
    ]
    need(labels, "it takes a text assay with an NSM whose first divergence is known")
    return labels


@once
def fragile_tokens(given: ScreenSet) -> pl.DataFrame:
    """Return margins, and the NSMs that leave, of every token of every text."""

    def of(label: str) -> pl.DataFrame:
        wild = given.results[label].manifest.wild_type[0]
        unknown = [None] * len(wild.tokens)
        return tokens_of(given.mapped(label), wild.pieces or unknown, wild.margins or unknown)

    return stack(with_divergence(given), of)


@once
def structure_within_tokens(given: ScreenSet) -> pl.DataFrame:
    """Return the structure of the maps of fragile tokens alone."""
    return stack(with_divergence(given), lambda label: within_tokens(given.mapped(label), given.loci[label]))


@once
def silence(given: ScreenSet) -> pl.DataFrame:
    """Return the NSMs of measured screens beside the chance of silence."""
    labels = [
        label
        for label in given.text
        if "silence" in given.records[label].columns and given.records[label]["silence"].count()
    ]
    need(labels, "it takes a text assay that was screened with --measure, and sampled")
    return stack(labels, lambda label: silence_by_kind(given.records[label]))


def _figure(given: ScreenSet, palette: Palette) -> Pictures:
    yield "", figures.fragile_tokens_figure(fragile_tokens(given), palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield where NSMs leave the wild type, and whether the maps of single tokens have the structure of the whole."""
    fragile_tokens(given)
    yield Prose(
        "One seed drew the noise of the text. Where it left a pick a small margin, nearly any mutation flips it: such a"
        " token is fragile, and the NSMs that leave there say more about this word than about the matrix."
    )
    yield Figures("fragile_tokens", "Margin of every token, and the share of the NSMs that leave there.")
    yield Rows(
        "fragile_tokens",
        "Tokens at which most NSMs leave",
        "assay token piece margin nsm share max_nsm min_nsm",
        lambda frame: frame.filter(pl.col("nsm") > 0).sort("share", descending=True, maintain_order=True),
    )
    yield Rows(
        "within_tokens",
        f"Maps of single tokens, where at least {100 * FRAGILE:.0f} % of the NSMs leave, beside the whole map",
        "assay token nsm share sites rows rows_of_map cols cols_of_map max_nsm min_nsm biased copa_rows copa_cols",
        rows=24,
    )
    yield Rows(
        "silence",
        "NSMs beside the chance of silence over the noise",
        "assay kind mutants nsm expected silence undecided luck",
        rows=24,
    )


def _sentences(given: ScreenSet) -> Iterator[str]:
    tokens = fragile_tokens(given)
    for label in tokens["assay"].unique(maintain_order=True):
        own = tokens.filter(pl.col("nsm") > 0, assay=label)
        most = own.sort("share", descending=True, maintain_order=True).head(_NAMED)
        told = [_named(*row) for row in most.select("token", "piece", "share").iter_rows()]
        yield (
            f"Which words a map is of: of the NSMs of {label},"
            f" {100 * most['share'].sum():.0f} % leave the wild type at"
            f" {'one token' if len(told) == 1 else f'{len(told)} of its {len(tokens.filter(assay=label)):,} tokens'},"
            f" {', '.join(told)}."
        )


def _named(token: int, piece: str | None, part: float) -> str:
    word = "" if piece is None else f" {piece!r}"
    return f"{100 * part:.0f} % at number {token}{word}"


_TOKEN = "index of the token in the continuation, from 0"
_COLUMNS = columns(
    token=_TOKEN,
    piece="text of the token; null where the screen does not store it",
    margin="margin of the wild type's pick under the recorded noise, in units of logit / temperature: the smallest"
    " change that makes it another one; null where the screen does not store it",
    nsm="NSMs that leave the wild type at the token",
    share=share("share of the NSMs whose first divergence is known"),
    max_nsm="those of max",
    min_nsm="those of min",
)

FINDINGS = (
    Finding(
        "fragile_tokens",
        "Tokens of the wild type's text: how firm each pick was, and how many NSMs leave there first.",
        fragile_tokens,
        _COLUMNS,
        Drawing("fragile_tokens", "margin of every token, and share of NSMs by first divergence", _figure),
        Section("fragile", "Fragile tokens: how much of the map is which word", _blocks, _sentences),
    ),
    Finding(
        "within_tokens",
        "Enriched lines, bias and COPA of the maps of single fragile tokens, beside those of the whole map.",
        structure_within_tokens,
        {
            **_COLUMNS,
            **columns(
                token=f"{_TOKEN}; null: the whole map",
                nsm="NSMs that leave the wild type at the token",
                share=share("share of all NSMs"),
                sites="sites with such an NSM",
                rows="enriched rows",
                cols="enriched columns",
                rows_of_map="of these, rows that are enriched in the whole map too",
                cols_of_map="of these, columns that are enriched in the whole map too",
                biased="loci that lean to max or to min",
                copa_rows="loci with a complementary pattern of rows that is stronger than chance",
                copa_cols="loci with one of columns",
            ),
        },
    ),
    Finding(
        "silence",
        "NSMs beside the chance of silence: how much of a map was the luck of its noise. Of all mutations.",
        silence,
        columns(
            kind="kind of the weight matrix; null: all together",
            mutants="mutants whose silence was measured",
            expected="NSMs to expect over the noise",
            silence="mean chance, over the noise, of writing the wild type's text",
            undecided=share("share of the mutants with a chance between 0.1 and 0.9"),
            luck=share("share of the variance of the map that the chance of silence leaves to the noise"),
        ),
    ),
)
