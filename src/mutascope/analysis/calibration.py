"""How far predicted calls can be trusted: calibration against exact ones, and its scores.

A prediction ranks mutants by their *risk* (docs/reference/predictions.md). Exact calls of some mutants turn the rank
into the probability of an NSM: per kind, a logistic curve over the logarithm of the risk, which is monotone. The
curve of a kind is drawn towards that of all kinds by a ridge penalty, so that a few dozen calls of a kind are enough.
However far the risk, a call may *lapse*, be wrong for a reason that the risk does not know: no probability is nearer
to 0 or 1 than the share of lapses that the exact calls leave possible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
from scipy import optimize, special, stats

from mutascope.core.schema import LOCUS_KEY, SITE_KEY

FOLDS = 5
BINS = 10
RESAMPLES = 200
CONFIDENCE = 0.95
_SPAN = (-12.0, 8.0)
"""Logarithms of risks beyond are cut to it: there is nothing to learn there."""
_POOLED_RIDGE, _KIND_RIDGE = 0.01, 16.0
_PRIOR = np.array([0.0, 1.0])
"""Intercept and slope without any call: the probability is risk / (1 + risk)."""
_LAPSE = 0.005
"""Share of lapses that the fit of a curve expects: without, the worst of them flatten it
(docs/log/2026-11-predictions.md)."""
_SURE = 0.01
"""Chance to be wrong, by the curve, below which a wrong call is a lapse."""
_LAPSES, _SURE_CALLS = 0.5, 50
"""Lapses and sure calls that are assumed beforehand: one in a hundred."""


def fit_calibration(calls: pl.DataFrame) -> pl.DataFrame:
    """Return the calibration of every kind.

    Args:
        calls: exact calls with their prediction: columns kind, risk, silent.

    Returns:
        Columns kind, intercept, slope (of the log-odds over the logarithm of the risk), lapse (share of sure calls that
        are wrong beyond what the curves expect, one for all kinds); the row whose kind is null is that of all kinds and
        serves kinds without a call.
    """
    x, y = _log_risk(calls["risk"]), (~calls["silent"]).to_numpy().astype(float)
    kinds = calls["kind"].to_numpy()
    pooled = _logistic(x, y, _PRIOR, _POOLED_RIDGE)
    rows = [(None, *pooled)]
    for kind in calls["kind"].unique(maintain_order=True):
        own = kinds == kind
        rows.append((kind, *_logistic(x[own], y[own], pooled, _KIND_RIDGE)))
    schema = {"kind": pl.String, "intercept": pl.Float64, "slope": pl.Float64}
    curves = pl.DataFrame(rows, schema=schema, orient="row").with_columns(lapse=pl.lit(0.0))
    return curves.with_columns(lapse=pl.lit(_lapse(calibrated(calls, curves)["probability"].to_numpy(), y)))


def calibrated(predictions: pl.DataFrame, calibration: pl.DataFrame) -> pl.DataFrame:
    """Return predictions (columns kind, risk) with the column ``probability`` of an NSM, Float32."""
    if predictions.is_empty():
        return predictions.with_columns(probability=pl.lit(None, pl.Float32))
    curves = {kind: curve for kind, *curve in calibration.iter_rows()}
    kinds = predictions["kind"].unique().to_list()
    a, b, lapse = (
        predictions["kind"]
        .replace_strict(
            {kind: curves.get(kind, curves[None])[part] for kind in kinds}, return_dtype=pl.Float64
        )
        .to_numpy()
        for part in range(3)
    )
    curve = special.expit(a + b * _log_risk(predictions["risk"]))
    probability = lapse + (1 - 2 * lapse) * curve
    return predictions.with_columns(probability=pl.Series(probability, dtype=pl.Float32))


def folds_of(calls: pl.DataFrame, seed: int = 0) -> np.ndarray:
    """Return the fold of every call, int [calls]: all mutants of a site are in one."""
    sites = _sites(calls)
    return np.random.default_rng(seed).permutation(sites.max(initial=-1) + 1)[sites] % FOLDS


def cross_fitted(calls: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Return exact calls with the ``probability`` that a calibration gives which never saw their sites.

    Args:
        calls: columns layer, kind, row, col, risk, silent.
        seed: of the folds.
    """
    fold = folds_of(calls, seed)
    parts = []
    for index in range(FOLDS):
        own = pl.Series(fold == index)
        if own.any():
            curve = fit_calibration(calls.filter(~own))
            parts.append(calibrated(calls.with_row_index("_at").filter(own), curve))
    return pl.concat(parts).sort("_at").drop("_at") if parts else calibrated(calls, fit_calibration(calls))


def weighed(calls: pl.DataFrame, loci: pl.DataFrame) -> pl.DataFrame:
    """Return exact calls with the column ``weight``: the sites of its locus over those with a call, by which scores are
    those of all sites although a sample may hold few of a large locus.

    Args:
        calls: columns layer, kind, row, col.
        loci: columns layer, kind, site_rows, site_cols, region_sites (null where all sites were meant).
    """
    whole = loci.select(
        *LOCUS_KEY, whole=pl.coalesce("region_sites", pl.col("site_rows") * pl.col("site_cols"))
    )
    known = calls.join(whole, on=LOCUS_KEY, how="left", maintain_order="left")
    return known.with_columns(
        weight=pl.col("whole") / pl.struct("row", "col").n_unique().over(LOCUS_KEY)
    ).drop("whole")


def reliability(calls: pl.DataFrame, bins: int = BINS) -> pl.DataFrame:
    """Return the reliability curve: predicted against observed, in bins of equal width.

    Args:
        calls: columns layer, kind, row, col, probability, silent, weight (:func:`weighed`).

    Returns:
        Columns low, high (of the bin), mutants, predicted (mean probability), observed (share of NSMs), both weighted,
        observed_low, observed_high (Wilson interval with the effective number of sites, Kish 1965). Bins without a
        mutant have no row.
    """
    place = (pl.col("probability") * bins).floor().clip(0, bins - 1).cast(pl.Int32)
    weight = pl.col("weight")
    sites = (
        calls.with_columns(bin=place)
        .group_by("bin", *SITE_KEY, maintain_order=True)
        .agg(
            mutants=pl.len(),
            weight=weight.sum(),
            predicted=(weight * pl.col("probability")).sum(),
            nsm=weight.filter(~pl.col("silent")).sum(),
        )
    )
    table = (
        sites.group_by("bin", maintain_order=True)
        .agg(
            pl.col("mutants").sum(),
            predicted=pl.col("predicted").sum() / weight.sum(),
            observed=pl.col("nsm").sum() / weight.sum(),
            size=weight.sum() ** 2 / (weight**2).sum(),
        )
        .sort("bin")
    )
    ends = [_wilson(share, size) for share, size in table.select("observed", "size").iter_rows()]
    return table.select(
        low=pl.col("bin") / bins,
        high=(pl.col("bin") + 1) / bins,
        mutants=pl.col("mutants").cast(pl.UInt32),
        predicted="predicted",
        observed="observed",
        observed_low=pl.Series([low for low, _ in ends], dtype=pl.Float64),
        observed_high=pl.Series([high for _, high in ends], dtype=pl.Float64),
    )


def _wilson(share: float, size: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of ``size`` trials, which need not be a whole number."""
    z = stats.norm.ppf((1 + CONFIDENCE) / 2)
    middle = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    return min(share, max(0.0, float(middle - half))), max(share, min(1.0, float(middle + half)))


def calibration_scores(
    calls: pl.DataFrame, by: str | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> pl.DataFrame:
    """Return how well probabilities tell NSMs from silent mutants, with intervals from a bootstrap of sites in loci.

    Args:
        calls: exact calls with cross-fitted probabilities: columns layer, kind, row, col, silent, probability, weight
            (:func:`weighed`).
        by: a column whose groups are scored apart.
        resamples: of the sites of every locus, with replacement; loci with one site are taken together by kind.
        seed: of the resamples.

    Returns:
        Columns group (``all`` without ``by``), mutants, nsm, and with ``_low`` and ``_high`` (95 %) each: auc (null
        where all calls are alike), accuracy, recall, precision (called NSM from a probability of 0.5 on; null where
        undefined), brier, ece (expected calibration error, ten bins of equal width), all weighted; silence_r2
        (:func:`silence_r2`).
    """
    groups = (
        [("all", calls)]
        if by is None
        else [(str(key), part) for (key,), part in calls.group_by([by], maintain_order=True)]
    )
    rows = []
    for name, part in groups:
        p, y = part["probability"].to_numpy().astype(float), (~part["silent"]).to_numpy()
        w = part["weight"].to_numpy().astype(float)
        row = {"group": name, "mutants": len(part), "nsm": int(y.sum()), "silence_r2": silence_r2(part)}
        draws = {measure: [] for measure in _MEASURES}
        for chosen in resampled(part, resamples, np.random.default_rng(seed)):
            for measure, function in _MEASURES.items():
                draws[measure].append(function(p[chosen], y[chosen], w[chosen]))
        for measure, function in _MEASURES.items():
            low, high = _limits(np.array(draws[measure]))
            row |= {measure: function(p, y, w), f"{measure}_low": low, f"{measure}_high": high}
        rows.append(row)
    return pl.DataFrame(rows, schema_overrides={"silence_r2": pl.Float64}).with_columns(
        pl.selectors.float().fill_nan(None)
    )


def silence_r2(calls: pl.DataFrame) -> float | None:
    """Return r squared of the predicted chances of silence, 1 - residual / total sum of squares, weighted.

    Args:
        calls: columns weight and, where they were measured and predicted, silence and predicted_silence.

    Returns:
        None without them, and where the measured ones are alike.
    """
    if not {"silence", "predicted_silence"} <= set(calls.columns):
        return None
    known = calls.select("weight", "silence", "predicted_silence").drop_nulls()
    w, truth, told = (known[name].to_numpy().astype(float) for name in known.columns)
    if not len(known) or not np.ptp(truth):
        return None
    spread = w @ np.square(truth - np.average(truth, weights=w))
    return float(1 - w @ np.square(truth - told) / spread)


def resampled(calls: pl.DataFrame, resamples: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield rows of the calls: as many sites of every stratum, drawn with replacement, with all of their rows."""
    site = _sites(calls)
    members = np.split(np.argsort(site, kind="stable"), np.cumsum(np.bincount(site))[:-1])
    sites = calls.with_columns(site=pl.Series(site)).unique("site").sort("site")
    alone = pl.len().over(LOCUS_KEY) == 1
    stratum = (
        sites.select(pl.struct("kind", pl.when(~alone).then("layer")).rank("dense") - 1)
        .to_series()
        .to_numpy()
    )
    order = np.argsort(stratum, kind="stable")
    sizes = np.bincount(stratum.astype(np.int64))
    first, size = np.repeat(np.cumsum(sizes) - sizes, sizes), np.repeat(sizes, sizes)
    for _ in range(resamples):
        drawn = order[first + (random.random(len(order)) * size).astype(np.int64)]
        yield np.concatenate([members[at] for at in drawn])


def _limits(draws: np.ndarray) -> tuple[float, float]:
    """Lower and upper limit of resampled scores; NaN where none is defined."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def auc(score: np.ndarray, hit: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the area under the ROC curve: the (weighted) chance that a hit scores above a miss, ties half.

    NaN without both.
    """
    weight = np.ones(len(score)) if weight is None else weight
    _, rank = np.unique(score, return_inverse=True)
    hits, misses = (np.bincount(rank, weight * part, rank.max(initial=0) + 1) for part in (hit, ~hit))
    whole = hits.sum() * misses.sum()
    below = np.cumsum(misses) - misses / 2
    return float((hits * below).sum() / whole) if whole else np.nan


def expected_calibration_error(p: np.ndarray, y: np.ndarray, w: np.ndarray, bins: int = BINS) -> float:
    """Return sum over bins of |predicted - observed hits| / all, in bins of equal width, by weights w."""
    place = np.clip((p * bins).astype(int), 0, bins - 1)
    gap = np.bincount(place, w * p, bins) - np.bincount(place, w * y, bins)
    return float(np.abs(gap).sum() / w.sum())


def _sites(calls: pl.DataFrame) -> np.ndarray:
    """Number of the site of every call, from 0."""
    return calls.select(pl.struct(SITE_KEY).rank("dense")).to_series().to_numpy().astype(np.int64) - 1


def _share(of: np.ndarray, whole: np.ndarray, weight: np.ndarray) -> float:
    return float(weight[of].sum() / weight[whole].sum()) if whole.any() else np.nan


_MEASURES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "auc": auc,
    "accuracy": lambda p, y, w: float(np.average((p >= 0.5) == y, weights=w)),
    "recall": lambda p, y, w: _share((p >= 0.5) & y, y, w),
    "precision": lambda p, y, w: _share((p >= 0.5) & y, p >= 0.5, w),
    "brier": lambda p, y, w: float(np.average(np.square(p - y), weights=w)),
    "ece": expected_calibration_error,
}


def _log_risk(risk: pl.Series) -> np.ndarray:
    low, high = _SPAN
    return np.log(np.clip(risk.to_numpy().astype(float), np.exp(low), np.exp(high)))


def _lapse(p: np.ndarray, y: np.ndarray) -> float:
    """Return the share of sure calls, by probabilities p of hits y, that are wrong beyond what p expects."""
    doubt = np.minimum(p, 1 - p)
    sure = doubt < _SURE
    lapses = max(0.0, ((p >= 0.5) != y)[sure].sum() - doubt[sure].sum())
    return float((lapses + _LAPSES) / (sure.sum() + _SURE_CALLS))


def _logistic(x: np.ndarray, y: np.ndarray, centre: np.ndarray, ridge: float) -> np.ndarray:
    """Return intercept and slope of a logistic regression with a share of lapses in its outcomes y, and with a ridge
    penalty around ``centre``; slope >= 0.
    """

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        curve, away = special.expit(beta[0] + beta[1] * x), beta - centre
        p = _LAPSE + (1 - 2 * _LAPSE) * curve
        value = -np.log(np.where(y, p, 1 - p)).sum() + ridge * away @ away
        residual = (1 - 2 * _LAPSE) * curve * (1 - curve) * (p - y) / (p * (1 - p))
        return float(value), np.array([residual.sum(), residual @ x]) + 2 * ridge * away

    return optimize.minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None)]).x
