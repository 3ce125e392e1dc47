"""What a column of a table means and how its numbers are shown; here are those that findings share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["number", "share", "chance"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        meaning: a phrase.
        format: of its numbers on a page: shares in per cent, small chances as powers of ten.
    """

    meaning: str
    format: Format = "number"


def share(meaning: str) -> Column:
    """Return a column that is shown in per cent."""
    return Column(meaning, "share")


def chance(meaning: str) -> Column:
    """Return a column of p-values or q-values."""
    return Column(meaning, "chance")


def columns(**stated: str | Column) -> dict[str, Column]:
    """Return columns by name; a phrase alone is that of a plain number or text."""
    return {name: Column(told) if isinstance(told, str) else told for name, told in stated.items()}


SHARED = columns(
    # what and where
    model="name of the model; of a pair, that of the first screen",
    model_b="name of the model of the second screen",
    assay="label of the screen",
    assays="labels of the screens that were compared",
    assay_a="label of the first screen of the pair",
    assay_b="label of the second screen of the pair",
    layer="decoder layer, from 0",
    kind="kind of the weight matrix: q k v o gate up down, or another name",
    row="tile coordinate along the output features",
    col="tile coordinate along the input features",
    mutation="what was written over the tile",
    axis="row or col",
    index="tile coordinate of the row or column",
    group="kind, or all",
    # how many
    loci="number of loci",
    layers="number of layers",
    sites="number of sites",
    mutants="number of mutants",
    nsm="number of NSMs, mutants whose output differs from the wild type's",
    phenotypes="distinct outputs of the NSMs",
    silent="number that are silent: same output as the wild type",
    max_only="sites where max is an NSM and min is not",
    min_only="sites where min is an NSM and max is not",
    both="number with both properties",
    shared="number that is shared",
    lines="lines that hold a mutant of the first set",
    all_lines="lines that hold an NSM",
    cumulative="share of this and all larger ones",
    rank="from 1, within the axis",
    share=share("share of the whole"),
    # statistics
    low="lower end of the 95 % interval; null where no probability sample was drawn",
    high="upper end of the 95 % interval; null where no probability sample was drawn",
    expected="what chance alone would give",
    p=chance("p-value of the test"),
    q=chance("p-value adjusted for the number of tests (Benjamini-Hochberg)"),
    r="Pearson's correlation; null where it is undefined",
    r_squared="square of r",
    fold="hits / expected",
    hits="NSM sites: any of their max and min mutants is an NSM",
    enriched="q is 0.05 or less; where lines are pooled: number of enriched ones",
    # what was put out
    phenotype="content hash of the output, or non-finite",
    continuation="generated text, without special tokens",
    cosine="bag-of-words cosine of the continuation with the wild type's, 0 to 1",
    chrf="chrF of the continuation against the wild type's, 0 to 100",
    edit="edit distance to the wild type in characters, over the length of the longer text, 0 to 1",
    first_divergence="smallest index of a first token that differs",
    score="answers equal to the key",
    destructive="whether some answer is none of A, B, C, D",
    word="initial word of highest frequency; null: all others together, or the sum of the rows above",
)
SETS = columns(
    first="mutants of the first set, which mark lines",
    second="mutants of the second set, not in the first",
)
"""Columns of two sets of mutants. Not all tables share them, so a screen may be called first, as in the tutorial."""
