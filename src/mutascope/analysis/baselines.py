"""What a prediction must beat: simpler scores of the same mutants, calibrated in the same way."""

from __future__ import annotations

import numpy as np
import polars as pl

from mutascope.analysis.calibration import (
    CONFIDENCE,
    RESAMPLES,
    auc,
    cross_fitted,
    resampled,
)
from mutascope.core.schema import SITE_KEY

PREDICTION = "prediction"
BASELINES = ("change", "wanda", "gradient_change", "gradient_weight")
"""Frobenius norm of the change; sum over the tile of |change| x norm of the input feature, after Wanda (Sun et al.
2024, arXiv:2306.11695); |sum of gradient x change|; |sum of gradient x weight| (Molchanov et al. 2019,
arXiv:1906.10771), which is that of ``zero`` for every mutation."""


def with_baselines(calls: pl.DataFrame, sites: pl.DataFrame) -> pl.DataFrame:
    """Return mutants with their :data:`BASELINES`; those of other mutations than max, min and zero are null.

    Args:
        calls: columns layer, kind, row, col, mutation.
        sites: columns layer, kind, row, col and, with the endings max, min and zero, ``change_``, ``wanda_`` and
            ``gradient_``.
    """
    known = calls.join(sites, on=SITE_KEY, how="left", maintain_order="left")

    def of_mutation(name: str) -> pl.Expr:
        return pl.coalesce(pl.when(mutation=way).then(f"{name}_{way}") for way in ("max", "min", "zero"))

    return known.select(
        *calls.columns,
        change=of_mutation("change"),
        wanda=of_mutation("wanda"),
        gradient_change=of_mutation("gradient").abs(),
        gradient_weight=pl.col("gradient_zero").abs(),
    )


def baseline_scores(calls: pl.DataFrame, resamples: int = RESAMPLES, seed: int = 0) -> pl.DataFrame:
    """Return the AUC of the prediction and of every baseline, and how much the prediction is better.

    Every baseline gets what the prediction gets: a logistic curve per kind over its logarithm, fitted on other sites
    (:func:`~mutascope.analysis.calibration.cross_fitted`). Mutants without one of the baselines are left out of all.

    Args:
        calls: exact calls, columns layer, kind, row, col, mutation, silent, probability, weight, and
            :data:`BASELINES`.
        resamples: of the sites of every locus, with replacement, the same ones for all.
        seed: of the resamples.

    Returns:
        Columns score (``prediction`` or a baseline), mutants, nsm, auc, auc_low, auc_high, gain (AUC of the prediction
        less this one), gain_low, gain_high (95 %).
    """
    known = calls.drop_nulls(BASELINES)
    hit, weight = (~known["silent"]).to_numpy(), known["weight"].to_numpy().astype(float)
    scores = {PREDICTION: known["probability"].to_numpy().astype(float)}
    scores |= {name: _probability(known, name) for name in BASELINES}
    rows = [np.arange(len(known)), *resampled(known, resamples, np.random.default_rng(seed))]
    found = {
        name: np.array([auc(score[chosen], hit[chosen], weight[chosen]) for chosen in rows])
        for name, score in scores.items()
    }
    table = []
    for name, areas in found.items():
        gains = found[PREDICTION] - areas
        table.append((name, len(known), int(hit.sum()), *_interval(areas), *_interval(gains)))
    names = ("auc", "auc_low", "auc_high", "gain", "gain_low", "gain_high")
    schema = {"score": pl.String, "mutants": pl.Int64, "nsm": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(table, schema=schema, orient="row").with_columns(pl.selectors.float().fill_nan(None))


def _probability(calls: pl.DataFrame, name: str) -> np.ndarray:
    """Return the cross-fitted probability of an NSM that a baseline gives."""
    scale = calls.select(pl.col(name).filter(pl.col(name) > 0).median()).item() or 1.0
    fitted = cross_fitted(calls.drop("probability").with_columns(risk=pl.col(name) / scale))
    return fitted["probability"].to_numpy().astype(float)


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the first value, and the quantiles of the others, which are of resamples."""
    value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
    if not len(drawn):
        return value, np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return value, float(low), float(high)
