"""Loci that are more sensitive to ``max`` than to ``min``, or the other way (METHOD, Statistics: Bias of a locus)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.crossed import crossed_mean
from mutascope.analysis.nulls import q_values
from mutascope.analysis.sites import in_order, site_frame
from mutascope.analysis.status import Status
from mutascope.core.schema import LOCUS_KEY

SCORE_THRESHOLD = 0.2
"""A biased locus has a score above this."""
ONE_SIDED_THRESHOLD = 0.1
"""In a biased locus, more than this share of the sites is *max only* or *min only*."""
LEANS = ("max", "min", "none")


def locus_bias(records: pl.DataFrame) -> pl.DataFrame:
    """Return the bias of every locus.

    score = |#max NSM - #min NSM| / max(#max only, #min only). A locus leans to ``max`` (``min``) when it has more max
    (min) NSMs, the score is above 20 %, and the *max only* and *min only* sites together exceed 10 % of the sites
    (METHOD, Statistics; the paper's Methods, "Determining Matrix Bias").

    Args:
        records: columns layer, kind, row, col, mutation, silent.

    Returns:
        Columns layer, kind, sites (with both ``max`` and ``min``; others say nothing of a preference), max_nsm,
        min_nsm, max_only, min_only, score (null where no site is one-sided), one_sided (share of the sites), lean
        (``max``, ``min`` or ``none``). No row for a locus without such a site.
    """
    screened = pl.all_horizontal(pl.col("max_nsm", "min_nsm").is_not_null())
    counts = (
        site_frame(records)
        .filter(screened)
        .group_by(LOCUS_KEY, maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("sites"),
            pl.col("max_nsm", "min_nsm").sum().cast(pl.Int64),
            (pl.col("status") == Status.MAX_ONLY).sum().cast(pl.Int64).alias("max_only"),
            (pl.col("status") == Status.MIN_ONLY).sum().cast(pl.Int64).alias("min_only"),
        )
    )
    larger = pl.max_horizontal("max_only", "min_only")
    difference = pl.col("max_nsm") - pl.col("min_nsm")
    scored = counts.with_columns(
        score=pl.when(larger > 0).then(difference.abs() / larger),
        one_sided=(pl.col("max_only") + pl.col("min_only")) / pl.col("sites"),
    )
    biased = (pl.col("score") > SCORE_THRESHOLD) & (pl.col("one_sided") > ONE_SIDED_THRESHOLD)
    lean = pl.when(biased & (difference > 0)).then(pl.lit("max")).when(biased).then(pl.lit("min"))
    return scored.with_columns(lean=lean.otherwise(pl.lit("none")))


def bias_tests(records: pl.DataFrame) -> pl.DataFrame:
    """Return whether more ``max`` than ``min`` mutants are NSMs, or fewer, beyond what lines let expect.

    The mean difference over the sites is tested by Student's t with errors clustered by row and by column, because the
    sites of a line lean together (:func:`~mutascope.analysis.crossed.crossed_mean`); p is no less than that of a
    binomial with 1/2 of the one-sided sites.

    Args:
        records: as of :func:`locus_bias`.

    Returns:
        Columns layer, kind, p, q (Benjamini-Hochberg over the loci), a row for every row of :func:`locus_bias`.
    """
    sites = site_frame(records).filter(pl.all_horizontal(pl.col("max_nsm", "min_nsm").is_not_null()))
    signs = sites.with_columns(sign=pl.col("max_nsm").cast(pl.Int8) - pl.col("min_nsm").cast(pl.Int8))
    rows = []
    for key, group in signs.group_by(LOCUS_KEY, maintain_order=True):
        more, fewer = int((group["sign"] > 0).sum()), int((group["sign"] < 0).sum())
        exact = float(stats.binomtest(more, more + fewer).pvalue) if more + fewer else 1.0
        rows.append((*key, max(exact, crossed_mean(group, "sign").p)))
    schema = {name: records.schema[name] for name in LOCUS_KEY} | {"p": pl.Float64}
    return q_values(pl.DataFrame(rows, schema=schema, orient="row"))


def bias_shares(bias: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return how many loci are biased, and which way.

    Args:
        bias: of :func:`locus_bias`, perhaps of several assays (column assay).
        by: among assay, layer, kind; none for all rows.

    Returns:
        Columns of ``by``, then loci, biased_max, biased_min (numbers), share_max, share_min (of the loci; null
        without a locus).
    """
    numbers = [pl.len().cast(pl.Int64).alias("loci")] + [
        (pl.col("lean") == lean).sum().cast(pl.Int64).alias(f"biased_{lean}") for lean in ("max", "min")
    ]
    grouped = bias.group_by(list(by), maintain_order=True).agg(numbers) if by else bias.select(numbers)
    shares = grouped.with_columns(
        pl.when(pl.col("loci") > 0).then(pl.col(f"biased_{lean}") / pl.col("loci")).alias(f"share_{lean}")
        for lean in ("max", "min")
    )
    return shares if "assay" in by else in_order(shares)


def bias_agreement(screens: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return how far the biases of every pair of screens agree.

    The paper takes the bias for a property of the model and not of the input: then two assays agree.

    Args:
        screens: records by label, columns layer, kind, row, col, mutation, silent.

    Returns:
        Columns assay_a, assay_b (every pair once, in the order given), loci (in both), biased_both, same_lean (of
        these, the ones that lean the same way), share_same (same_lean / biased_both, null if none), kappa (Cohen's,
        over max, min and none: 1 is agreement, 0 what chance gives; null where both give all loci one same label).
    """
    bias = {label: locus_bias(records).select(*LOCUS_KEY, "lean") for label, records in screens.items()}
    labels = list(bias)
    rows = []
    for i, a in enumerate(labels):
        for b in labels[i + 1 :]:
            table = _label_table(
                bias[a].join(bias[b], on=LOCUS_KEY, how="inner", suffix="_b", maintain_order="left")
            )
            biased, same = int(table[:2, :2].sum()), int(table[0, 0] + table[1, 1])
            share = same / biased if biased else None
            rows.append((a, b, int(table.sum()), biased, same, share, cohens_kappa(table)))
    names = {"loci": pl.Int64, "biased_both": pl.Int64, "same_lean": pl.Int64}
    schema = {
        "assay_a": pl.String,
        "assay_b": pl.String,
        **names,
        "share_same": pl.Float64,
        "kappa": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def cohens_kappa(table: np.ndarray) -> float | None:
    """Return Cohen's kappa of a square table of label counts, (agreement - chance) / (1 - chance).

    None where chance alone agrees always: all counts in one cell of the diagonal, or no count.
    """
    total = table.sum()
    if total == 0:
        return None
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / float(total) ** 2
    return None if chance == 1 else (float(np.trace(table)) / float(total) - chance) / (1 - chance)


def _label_table(pairs: pl.DataFrame) -> np.ndarray:
    """Counts [3, 3] of (lean, lean_b), in the order of ``LEANS``."""
    table = np.zeros((len(LEANS), len(LEANS)), dtype=np.int64)
    for a, b, count in pairs.group_by("lean", "lean_b", maintain_order=True).len().iter_rows():
        table[LEANS.index(a), LEANS.index(b)] = count
    return table
