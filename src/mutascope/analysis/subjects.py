"""Choice assays that pool several subjects, such as a complete MMLU: right answers by subject, and which one suffers.

The text of a phenotype is its answers, one per line (:mod:`mutascope.analysis.choice`), so scores by subject need no
column of the records.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mutascope.analysis.nulls import q_values
from mutascope.analysis.slopes import slope_within_loci
from mutascope.analysis.two_way import item_contrast, with_unit
from mutascope.core.errors import MutascopeError
from mutascope.core.schema import MUTANT_KEY

_SCORES = {"phenotype": pl.String, "subject": pl.String, "questions": pl.Int64, "score": pl.Int64}
_LOSSES = {
    "subject": pl.String,
    "questions": pl.Int64,
    "wild_right": pl.Int64,
    "nsm": pl.Int64,
    "mean_score": pl.Float64,
    "lowest": pl.Int64,
    "change": pl.Float64,
    "rest": pl.Float64,
    "p": pl.Float64,
}
_WRITERS = {
    "subject": pl.String,
    **dict.fromkeys(("questions", "wild_right", "rare", "common"), pl.Int64),
    **dict.fromkeys(("rare_score", "common_score", "difference", "p"), pl.Float64),
}


def right_answers(phenotypes: pl.DataFrame, keys: Sequence[str]) -> np.ndarray:
    """Return which questions every phenotype answers right, bool [phenotypes, questions].

    Args:
        phenotypes: columns phenotype, text (answers, one per line; null for a non-finite output, which has none right).
        keys: letter of the right choice of every question.

    Raises:
        MutascopeError: when a phenotype has another number of answers than there are questions.
    """
    key = np.array(keys, dtype=object)
    right = np.zeros((len(phenotypes), len(keys)), dtype=bool)
    for row, (phenotype, text) in enumerate(phenotypes.select("phenotype", "text").iter_rows()):
        answers = text.split("\n") if text is not None else [None] * len(keys)
        if len(answers) != len(keys):
            raise MutascopeError(
                f"phenotype {phenotype} has {len(answers)} answers to {len(keys)} questions: they are not of one assay"
            )
        right[row] = np.array(answers, dtype=object) == key
    return right


def subject_scores(phenotypes: pl.DataFrame, keys: Sequence[str], subjects: Sequence[str]) -> pl.DataFrame:
    """Return how many questions of every subject each phenotype answers right.

    Args:
        phenotypes: as of :func:`right_answers`.
        keys: letter of the right choice of every question.
        subjects: of every question, in the same order.

    Returns:
        A row per phenotype and subject, in the order of the phenotypes and of the first questions: phenotype,
        ``subject``; ``questions`` (of the subject), ``score`` (answers equal to the key), Int64.

    Raises:
        MutascopeError: as of :func:`right_answers`.
    """
    counts = [(subject, _questions(subjects, subject)) for subject in dict.fromkeys(subjects)]
    rows = [
        (phenotype, subject, int(of.sum()), int(answers[of].sum()))
        for phenotype, answers in zip(phenotypes["phenotype"], right_answers(phenotypes, keys), strict=True)
        for subject, of in counts
    ]
    return pl.DataFrame(rows, schema=_SCORES, orient="row")


def subject_losses(
    records: pl.DataFrame, phenotypes: pl.DataFrame, wild: str, keys: Sequence[str], subjects: Sequence[str]
) -> pl.DataFrame:
    """Return what NSMs do to the score of every subject, and whether it suffers otherwise than the others.

    What is tested is the mean change of the questions of a subject, against the wild type's answers, less that of all
    other questions, for other mutants and other questions (:func:`~mutascope.analysis.two_way.item_contrast`). Units
    are loci, or the lines of a single one; each has one vote.

    Args:
        records: columns layer, kind, row, col, mutation, silent, phenotype.
        phenotypes: columns phenotype, text, of the NSMs at least.
        wild: answers of the wild type, one per line.
        keys: letter of the right choice of every question.
        subjects: of every question.

    Returns:
        A row per subject, in the order of the questions: subject, ``questions``, ``wild_right`` (right answers of the
        wild type), ``nsm``; ``mean_score`` (right answers, mean over the NSMs), ``lowest`` (of any NSM), ``change``
        (right answers per question less the wild type's, mean over units), ``rest`` (the same of all other questions),
        ``p`` (null with fewer than two units, or two questions of the subject or of the others), ``q``
        (Benjamini-Hochberg over the subjects).
    """
    nsms = records.filter(~pl.col("silent"))
    told = phenotypes.join(nsms, on="phenotype", how="semi", maintain_order="left")
    place = {name: row for row, name in enumerate(told["phenotype"])}
    at = [place[name] for name in nsms["phenotype"]]
    right = right_answers(told, keys)[at]
    before = right_answers(pl.DataFrame({"phenotype": ["wild type"], "text": [wild]}), keys)[0]
    unit = with_unit(nsms)["unit"].to_numpy()
    table = np.array([right[unit == one].mean(axis=0) - before for one in np.unique(unit)])
    rows = []
    for subject in dict.fromkeys(subjects) if len(nsms) else ():
        of = _questions(subjects, subject)
        scores, tested = right[:, of].sum(axis=1), item_contrast(table, of)
        counts = (int(of.sum()), int(before[of].sum()), len(nsms), float(scores.mean()), int(scores.min()))
        rest = float(table[:, ~of].mean()) if (~of).any() else None
        rows.append((subject, *counts, float(table[:, of].mean()), rest, tested and tested.p))
    return q_values(pl.DataFrame(rows, schema=_LOSSES, orient="row"))


def writers_by_subject(writers: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Return how mutants with a rare word score in every subject beside the other mutants of a panel.

    Args:
        writers: columns layer, kind, row, col, mutation, rare.
        scores: columns layer, kind, row, col, mutation, subject, questions, score, wild_right.

    Returns:
        A row with a null subject for all questions, then one per subject: ``questions``, ``wild_right``; ``rare``,
        ``common`` (mutants), ``rare_score``, ``common_score`` (means); ``difference`` (rare less common within loci),
        ``p`` (:func:`~mutascope.analysis.slopes.slope_within_loci`), ``q`` (Benjamini-Hochberg over the rows).
    """
    rare = writers.select(*MUTANT_KEY, "rare")
    known = scores.join(rare, on=MUTANT_KEY, how="inner", maintain_order="left")
    numbers = pl.col("questions", "score", "wild_right").sum()
    whole = known.group_by(*MUTANT_KEY, "rare", maintain_order=True).agg(numbers)
    whole = whole.with_columns(subject=pl.lit(None, pl.String)).select(known.columns)
    rows = []
    for (subject,), part in pl.concat([whole, known]).group_by("subject", maintain_order=True):
        sides = [part.filter(rare=is_rare)["score"] for is_rare in (True, False)]
        found = slope_within_loci(part, "score", "rare")
        counts = (part["questions"][0], part["wild_right"][0], *map(len, sides))
        rows.append((subject, *counts, *(side.mean() for side in sides), found.slope, found.p))
    return q_values(pl.DataFrame(rows, schema=_WRITERS, orient="row"))


def _questions(subjects: Sequence[str], subject: str) -> np.ndarray:
    """Which questions are of a subject, bool [questions]."""
    return np.array([name == subject for name in subjects])
