"""Severity of text phenotypes: how far a text is from the wild type's (METHOD, Statistics).

Severity belongs to a phenotype, not to a mutant: it is computed once per distinct text (:func:`severity_frame`) and
joined to the records (:func:`with_severity`). Only NSMs are severe: a silent mutant never is, whatever its values.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from mutascope.analysis.chrf import chrf_scores
from mutascope.analysis.sites import MAP_MUTATIONS, kinds_of, site_frame, site_number
from mutascope.core.errors import MutascopeError
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY, SITE_KEY

COSINE_THRESHOLDS = (0.1, 0.2, 0.5, 0.6, 0.7)
"""Thresholds of the cosine maps that the paper shows."""

MEASURES = ("cosine", "chrf", "edit")
"""Columns of :func:`severity_frame`."""

_SEPARATORS = re.compile(r"[.,?!\n ]+")
_BRACKETS = "()[]{}"


def tokenise(continuation: str) -> list[str]:
    """Return the words of a continuation, in order.

    The lower-cased text is split on full stop, comma, question mark, exclamation mark, newline and space; brackets
    around a word are stripped; words of digits alone and empty ones are dropped (METHOD, Bag-of-words cosine).
    """
    words = (word.strip(_BRACKETS) for word in _SEPARATORS.split(continuation.lower()))
    return [word for word in words if word and not word.isdigit()]


def bag_of_words_cosine(continuations: Sequence[str], wild_type: str) -> np.ndarray:
    """Return the cosine between the word counts of every continuation and of the wild type's, float64 [texts].

    cos(a, b) = sum_w a_w b_w / sqrt(sum_w a_w^2 sum_w b_w^2), from 0 to 1; 0 where a text has no word.
    """
    wild = Counter(tokenise(wild_type))
    wild_square = sum(count * count for count in wild.values())
    cosines = np.zeros(len(continuations))
    for index, continuation in enumerate(continuations):
        counts = Counter(tokenise(continuation))
        square = sum(count * count for count in counts.values())
        if square and wild_square:
            shared = sum(count * wild[word] for word, count in counts.items() if word in wild)
            cosines[index] = shared / math.sqrt(square * wild_square)
    return cosines


def severity_frame(phenotypes: pl.DataFrame, wild_type: str) -> pl.DataFrame:
    """Return the severity of every phenotype of a text assay.

    Args:
        phenotypes: columns phenotype, text, continuation, a row per distinct phenotype.
        wild_type: continuation of the wild type, without special tokens.

    Returns:
        Columns phenotype; ``cosine`` (bag-of-words cosine, 0 to 1, METHOD); ``chrf`` (0 to 100, sacrebleu's
        defaults); ``edit`` (Levenshtein distance in characters over the length of the longer text, 0 to 1). All
        Float64. A non-finite output has no word in common with anything: 0, 0 and 1. Null for the phenotype of
        several prompts, which has a text and no continuation.
    """
    several = phenotypes["continuation"].is_null() & phenotypes["text"].is_not_null()
    one = phenotypes.filter(~several)
    texts = one["continuation"].fill_null("").to_list()
    finite = one["continuation"].is_not_null().to_numpy()
    edit = np.zeros(0)
    if texts:
        distance = Levenshtein.normalized_distance
        edit = process.cdist(texts, [wild_type], scorer=distance, dtype=np.float64, workers=-1)[:, 0]
    measured = pl.DataFrame(
        {
            "phenotype": one["phenotype"],
            "cosine": bag_of_words_cosine(texts, wild_type),
            "chrf": chrf_scores(texts, wild_type),
            "edit": np.where(finite, edit, 1.0),
        },
        schema={"phenotype": pl.String, **dict.fromkeys(MEASURES, pl.Float64)},
    )
    return phenotypes.select("phenotype").join(measured, on="phenotype", how="left", maintain_order="left")


def with_severity(records: pl.DataFrame, severity: pl.DataFrame) -> pl.DataFrame:
    """Return the records with the columns of ``severity`` (a row per phenotype) beside them, in their order.

    Raises:
        MutascopeError: when a phenotype of the records has no severity.
    """
    missing = records.join(severity, on="phenotype", how="anti")
    if len(missing):
        raise MutascopeError(
            f"{len(missing)} records have a phenotype without a severity, {missing['phenotype'][0]!r} for one: compute"
            " it from the phenotypes of the same screen"
        )
    return records.join(severity, on="phenotype", how="left", maintain_order="left")


def marked_sites(records: pl.DataFrame, marked: pl.Expr) -> pl.DataFrame:
    """Return the map of the NSMs for which ``marked`` is true: all others are taken as silent.

    Args:
        records: columns layer, kind, row, col, mutation, silent and those of ``marked``.
        marked: a boolean expression over the records; null counts as false.

    Returns:
        The sites with at least one marked NSM, in the columns of :func:`~mutascope.analysis.sites.site_frame`, where
        NSM now means marked NSM. Every other screened site is silent in this map and has no row.
    """
    flagged = records.with_columns(silent=~(~pl.col("silent") & marked.fill_null(False)))
    sites = flagged.filter(~pl.col("silent")).select(SITE_KEY).unique()
    return site_frame(flagged.join(sites, on=SITE_KEY, how="semi"))


def low_sites(records: pl.DataFrame, measure: str, limit: float) -> pl.DataFrame:
    """Return the sites with an NSM below a limit, from which the map at every lower threshold follows.

    Args:
        records: columns layer, kind, row, col, mutation, silent and ``measure``.
        measure: column in which small is severe, such as ``cosine``.
        limit: exclusive bound.

    Returns:
        Columns layer, kind, row, col, then MEASURE_max, MEASURE_min and MEASURE_zero (Float64): those of the NSMs of
        the site, null where the mutant is silent or was not screened. By layer, kind, row and col.
    """
    values = {
        f"{measure}_{mutation}": pl.when(mutation=mutation).then(measure)
        for mutation in (*MAP_MUTATIONS, "zero")
    }
    nsms = records.filter(~pl.col("silent"))
    return (
        nsms.select(*SITE_KEY, site=site_number(kinds_of(nsms["kind"])), **values)
        .group_by("site", maintain_order=True)
        .agg(pl.col(SITE_KEY).first(), pl.col(*values).min())
        .filter(pl.any_horizontal(pl.col(*values) < limit))
        .sort("site")
        .drop("site")
    )


def strangest(
    records: pl.DataFrame, severity: pl.DataFrame, phenotypes: pl.DataFrame, count: int = 20
) -> pl.DataFrame:
    """Return the phenotypes of NSMs that are farthest from the wild type and have a text.

    Args:
        records: columns layer, kind, row, col, mutation, silent, phenotype.
        severity: what :func:`severity_frame` returns.
        phenotypes: columns phenotype, continuation.
        count: how many.

    Returns:
        A row per phenotype, smallest cosine first (ties: largest edit distance, then most mutants). Columns
        phenotype, cosine, chrf, edit; ``mutants`` and ``loci`` (UInt32) that show it; layer, kind, row, col,
        mutation of the first of them; continuation.
    """
    spoken = phenotypes.select("phenotype", "continuation").drop_nulls("continuation")
    shown = (
        records.filter(~pl.col("silent"))
        .group_by("phenotype", maintain_order=True)
        .agg(
            mutants=pl.len().cast(pl.UInt32),
            loci=pl.struct(LOCUS_KEY).n_unique().cast(pl.UInt32),
            **{name: pl.col(name).first() for name in MUTANT_KEY},
        )
    )
    ranked = (
        shown.join(severity, on="phenotype", how="inner", maintain_order="left")
        .join(spoken, on="phenotype", how="inner", maintain_order="left")
        .sort("cosine", "edit", "mutants", descending=[False, True, True], maintain_order=True)
        .head(count)
    )
    return ranked.select("phenotype", *MEASURES, "mutants", "loci", *SITE_KEY, "mutation", "continuation")
