"""Severity of choice phenotypes, and malignant mutants (METHOD, Statistics: Severity).

The records of a choice assay have two columns more than those of a text assay:

- ``score`` (Int16): answers equal to the key;
- ``destructive`` (Boolean): at least one answer is not A, B, C or D.

The text of a phenotype is the answers in the order of the questions, one per line, each with its white space stripped
and without a line break inside; an answer of white space alone is an empty line. A non-finite output has no text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl

from mutascope.analysis.sites import by_assay, in_order
from mutascope.core.errors import MutascopeError
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY

LETTERS = ("A", "B", "C", "D")
UNDERPERFORMING = 10
"""A mutant that scores less than this underperforms (METHOD, Multiple-choice assay)."""

SCORE_THRESHOLDS = (2, 5, 8)
"""Thresholds of the score maps that the paper shows; a mutant is severe at or below them."""

MALIGNANT_COSINE = 0.5
MALIGNANT_SCORE = 8
Destruction = Literal["none", "partly", "wholly"]
DESTRUCTIONS: tuple[Destruction, ...] = ("none", "partly", "wholly")

_CHOICE = {
    "phenotype": pl.String,
    "letters": pl.Int32,
    "agreeing": pl.Int32,
    "changed": pl.Int32,
    "destruction": pl.Enum(DESTRUCTIONS),
}


def choice_frame(
    phenotypes: pl.DataFrame, wild_type: Sequence[str], offered: Sequence[Sequence[str]] = ()
) -> pl.DataFrame:
    """Return what every phenotype of a choice assay does to the answers.

    Args:
        phenotypes: columns phenotype, text (answers, one per line; null for a non-finite output).
        wild_type: answers of the wild type, in the same order.
        offered: letters of the choices of every question; A to D where none are given.

    Returns:
        Columns phenotype; ``letters`` (answers among the letters), ``agreeing`` (of these, equal to the wild type's
        answer to the same question), ``changed`` (answers that differ from the wild type's), all Int32;
        ``destruction`` (Enum): ``none`` when every answer is a letter, ``wholly`` when none is, else ``partly``. A
        non-finite output has no letter and changes every answer.

    Raises:
        MutascopeError: when a phenotype has another number of answers than the wild type.
    """
    if not wild_type:
        raise MutascopeError("the wild type has no answers: give one per question")
    wild = np.array(wild_type, dtype=object)
    letters = offered or [LETTERS] * len(wild)
    rows = []
    for name, text in phenotypes.select("phenotype", "text").iter_rows():
        answers = np.array(text.split("\n") if text is not None else [None] * len(wild), dtype=object)
        if len(answers) != len(wild):
            raise MutascopeError(
                f"phenotype {name} has {len(answers)} answers and the wild type {len(wild)}: they are not of one assay"
            )
        is_letter = np.array([answer in some for answer, some in zip(answers, letters, strict=True)])
        same = answers == wild
        lettered = int(is_letter.sum())
        destruction = "none" if lettered == len(wild) else "partly" if lettered else "wholly"
        rows.append((name, lettered, int((is_letter & same).sum()), int((~same).sum()), destruction))
    return pl.DataFrame(rows, schema=_CHOICE, orient="row")


def destruction_counts(records: pl.DataFrame, choice: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Count underperforming and destructive NSMs, and how far the letters left by these agree with the wild type.

    Args:
        records: columns layer, kind, row, col, mutation, silent, score, phenotype.
        choice: what :func:`choice_frame` returns for their phenotypes.
        by: columns of the records that make the groups, among layer, kind, mutation, score.

    Returns:
        Columns of ``by``; ``nsm``, ``underperforming`` (score below 10), ``destructive``, ``wholly``, ``partly`` and
        ``both`` (underperforming and destructive), UInt32 numbers of mutants; ``letters`` (answers of destructive
        mutants that are letters), ``agreeing`` (of these, equal to the wild type's), Int64; ``agreement`` =
        agreeing / letters (Float64, null without a letter).
    """
    joined = records.filter(~pl.col("silent")).join(choice, on="phenotype", how="left", maintain_order="left")
    underperforming, destructive = pl.col("score") < UNDERPERFORMING, pl.col("destruction") != "none"
    sums = {
        "underperforming": underperforming,
        "destructive": destructive,
        "wholly": pl.col("destruction") == "wholly",
        "partly": pl.col("destruction") == "partly",
        "both": underperforming & destructive,
    }
    remaining = {
        name: pl.col(name).filter(destructive).cast(pl.Int64).sum() for name in ("letters", "agreeing")
    }
    counts = {"nsm": pl.len(), **{name: expression.sum() for name, expression in sums.items()}}
    aggregates = {name: count.cast(pl.UInt32) for name, count in counts.items()} | remaining
    grouped = (
        in_order(joined.group_by(by, maintain_order=True).agg(**aggregates), *by)
        if by
        else joined.select(**aggregates)
    )
    agreement = pl.when(pl.col("letters") > 0).then(pl.col("agreeing") / pl.col("letters"))
    return grouped.with_columns(agreement=agreement)


def malignant(
    choice_records: pl.DataFrame,
    text_records: pl.DataFrame,
    *,
    max_cosine: float = MALIGNANT_COSINE,
    max_score: int = MALIGNANT_SCORE,
) -> pl.DataFrame:
    """Return the mutants that are severe in a choice assay and in a text assay (METHOD, Severity: malignant).

    A mutant, of whatever mutation, is malignant when it is an NSM of both, scores ``max_score`` or less in the one
    and has a cosine below ``max_cosine`` in the other. Mutants that only one of the two screened do not count.

    Args:
        choice_records: columns layer, kind, row, col, mutation, silent, score.
        text_records: columns layer, kind, row, col, mutation, silent, cosine (null: unknown, not severe).
        max_cosine: exclusive bound.
        max_score: inclusive bound.

    Returns:
        Columns layer, kind, row, col, mutation, score, cosine, in the order of loci and sites.
    """
    low = choice_records.filter(~pl.col("silent") & (pl.col("score") <= max_score)).select(
        *MUTANT_KEY, "score"
    )
    far = text_records.filter(~pl.col("silent") & (pl.col("cosine") < max_cosine)).select(
        *MUTANT_KEY, "cosine"
    )
    return in_order(
        low.join(far, on=MUTANT_KEY, how="inner", maintain_order="left"), "row", "col", "mutation"
    )


def malignant_against(
    choice_records: pl.DataFrame,
    text_screens: Mapping[str, pl.DataFrame],
    *,
    max_cosine: float = MALIGNANT_COSINE,
    max_score: int = MALIGNANT_SCORE,
) -> pl.DataFrame:
    """Return the malignant mutants of a choice assay against every text assay.

    Args:
        choice_records: as in :func:`malignant`.
        text_screens: records with cosines by label of the text assay.
        max_cosine: as in :func:`malignant`.
        max_score: as in :func:`malignant`.

    Returns:
        Column assay (label of the text assay), then those of :func:`malignant`.

    Raises:
        MutascopeError: when there is no text assay.
    """

    def against(text_records: pl.DataFrame) -> pl.DataFrame:
        return malignant(choice_records, text_records, max_cosine=max_cosine, max_score=max_score)

    return by_assay(text_screens, against)


def shared_sets(
    low: pl.DataFrame, first: pl.DataFrame, second: pl.DataFrame
) -> dict[str, int | float | None]:
    """Return how many mutants two malignant sets of one choice assay share, against chance.

    Args:
        low: mutants that score low, and that the text assay of the second set screened.
        first: malignant mutants of the one text assay.
        second: those of the other; all have columns layer, kind, row, col, mutation.

    Returns:
        ``malignant_a`` (of the first set, those in ``low``), ``malignant_b``, ``both``, ``share`` (both / malignant_a,
        None without one), ``expected`` (both, if the second set were any of ``low`` in every locus).
    """
    first = first.join(low, on=MUTANT_KEY, how="semi")
    counts = low.group_by(LOCUS_KEY, maintain_order=True).len("low")
    for name, chosen in (("a", first), ("b", second)):
        counts = counts.join(
            chosen.group_by(LOCUS_KEY, maintain_order=True).len(name),
            on=LOCUS_KEY,
            how="left",
            maintain_order="left",
        )
    both = len(first.join(second, on=MUTANT_KEY, how="semi"))
    filled = counts.with_columns(pl.col("a", "b").fill_null(0))
    expected = (filled["a"] * filled["b"] / filled["low"]).to_numpy().sum()
    share = both / len(first) if len(first) else None
    return {
        "malignant_a": len(first),
        "malignant_b": len(second),
        "both": both,
        "share": share,
        "expected": float(expected),
    }


def mutants_by_locus(mutants: pl.DataFrame) -> pl.DataFrame:
    """Return the number of mutants in every locus that has one, most first.

    Args:
        mutants: columns layer, kind, a row per mutant.

    Returns:
        Columns layer, kind, ``mutants`` (UInt32), ``share`` of all (Float64); ties in the order of loci.
    """
    counts = in_order(mutants.group_by(LOCUS_KEY, maintain_order=True).agg(mutants=pl.len().cast(pl.UInt32)))
    share = pl.col("mutants") / pl.col("mutants").sum()
    return counts.sort("mutants", descending=True, maintain_order=True).with_columns(share=share)
