"""How evenly NSMs and distinct phenotypes are spread over the layers of a kind (the paper's Figure 1e)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl
from scipy import special, stats

from mutascope.analysis.crossed import crossed_mean
from mutascope.analysis.nulls import q_values
from mutascope.analysis.sites import in_order
from mutascope.core.schema import SITE_KEY

VALUES = ("nsm", "phenotypes")
_CONFIDENCE = 0.95


def gini(values: np.ndarray) -> np.ndarray:
    """Return Gini's coefficient of numbers [..., n] of at least 0: their mean difference over twice their mean.

    sum_ij |x_i - x_j| / (2 n (n - 1) mean(x)): 0 where all are equal, 1 where one number is all there is. NaN for fewer
    than two numbers, and where all are 0.
    """
    n = values.shape[-1]
    ordered = np.sort(values, axis=-1).astype(float)
    rank = 2 * np.arange(1, n + 1) - n - 1
    total = ordered.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (ordered @ rank) / (total * (n - 1))


def layer_evenness(counts: pl.DataFrame, records: pl.DataFrame) -> pl.DataFrame:
    """Return Gini's coefficient of the layers of every kind, and whether all layers could have one NSM rate.

    The interval of the coefficient takes layers for units: it is of the logit, by leaving out one layer at a time
    (jackknife, Student's t). The test of one rate takes sites for units, which depend on their row and on their column
    (:func:`~mutascope.analysis.crossed.crossed_mean`): the variance of the rates over their mean error, F-distributed.

    Args:
        counts: columns layer, kind, nsm, phenotypes (numbers; null where not known), a row per locus.
        records: columns layer, kind, row, col, silent.

    Returns:
        Columns kind, value (``nsm`` or ``phenotypes``), layers (of known number), total, gini, low, high (Float64,
        null where they are undefined), p (null of phenotypes, and below two layers), q (Benjamini-Hochberg over the
        kinds).
    """
    sites = records.group_by(SITE_KEY, maintain_order=True).agg(share=(~pl.col("silent")).mean())
    rows = []
    for (kind,), group in in_order(counts).group_by("kind", maintain_order=True):
        for value in VALUES:
            known = group[value].drop_nulls().to_numpy().astype(float)
            p = _unevenness(sites.filter(kind=kind)) if value == "nsm" else None
            rows.append((kind, value, len(known), float(known.sum()), *_with_interval(known), p))
    schema: dict[str, Any] = {"kind": pl.String, "value": pl.String, "layers": pl.Int64}
    schema |= dict.fromkeys(("total", "gini", "low", "high", "p"), pl.Float64)
    return q_values(pl.DataFrame(rows, schema=schema, orient="row"))


def evenness_contrasts(
    counts: pl.DataFrame, pairs: Collection[tuple[str, str]], paired: Collection[tuple[str, str]]
) -> pl.DataFrame:
    """Test whether one screen is spread more evenly over the layers of a kind than another.

    Student's t of the difference of the logits of Gini's coefficient, two-sided, with layers for units: a layer is left
    out of both screens at a time where they have the same ones (``paired``: screens of one model), else of one.

    Args:
        counts: columns assay, layer, kind, nsm, phenotypes.
        pairs: labels of screens.
        paired: those of them whose layers are the same ones.

    Returns:
        Columns assay_a, assay_b, kind, value, layers (of the first screen), gini_a, gini_b, p, q (Benjamini-Hochberg
        within the pair). No row where the logit of a coefficient is undefined.
    """
    rows = []
    for a, b in pairs:
        both = counts.filter(pl.col("assay").is_in([a, b]))
        for (kind,), group in in_order(both).group_by("kind", maintain_order=True):
            for value in VALUES:
                found = _contrast(group.drop_nulls(value), value, (a, b), (a, b) in paired)
                if found is not None:
                    rows.append((a, b, kind, value, *found))
    schema: dict[str, Any] = dict.fromkeys(("assay_a", "assay_b", "kind", "value"), pl.String)
    schema |= {"layers": pl.Int64, **dict.fromkeys(("gini_a", "gini_b", "p"), pl.Float64)}
    return q_values(pl.DataFrame(rows, schema=schema, orient="row"), ["assay_a", "assay_b"])


def _contrast(
    counts: pl.DataFrame, value: str, labels: tuple[str, str], paired: bool
) -> tuple[int, float, float, float] | None:
    """Layers of the first screen, both coefficients and p."""
    if paired:
        counts = counts.filter(pl.col("assay").n_unique().over("layer") == 2)
    values = [counts.filter(assay=label).sort("layer")[value].to_numpy().astype(float) for label in labels]
    first, second = (_left_out(part) for part in values)
    if first is None or second is None:
        return None
    layers, (gini_a, gini_b) = len(values[0]), (float(gini(part)) for part in values)
    difference = float(special.logit(gini_b) - special.logit(gini_a))
    apart = [first - second] if paired else [first, second]
    variances = [_jackknife(part) for part in apart]
    if sum(variances) == 0:
        return layers, gini_a, gini_b, 1.0 if difference == 0 else 0.0
    freedom = sum(variances) ** 2 / sum(
        variance**2 / (len(part) - 1) for variance, part in zip(variances, apart, strict=True)
    )
    p = 2 * stats.t.sf(abs(difference) / np.sqrt(sum(variances)), freedom)
    return layers, gini_a, gini_b, float(p)


def _left_out(values: np.ndarray) -> np.ndarray | None:
    """Logits [n] of the coefficient without one of the values each; None where one is undefined."""
    n = len(values)
    if n < 3:
        return None
    found = np.array([gini(values), *(gini(np.delete(values, i)) for i in range(n))])
    return special.logit(found[1:]) if ((found > 0) & (found < 1)).all() else None


def _jackknife(left_out: np.ndarray) -> float:
    """Variance of a statistic from its values without one unit each."""
    return float((len(left_out) - 1) * left_out.var())


def _with_interval(values: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """The coefficient and the ends of its interval; None where they are undefined."""
    found = float(gini(values)) if len(values) > 1 else np.nan
    if np.isnan(found):
        return None, None, None
    left_out = _left_out(values)
    if left_out is None:
        return found, None, None
    reach = stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1) * np.sqrt(_jackknife(left_out))
    low, high = special.expit(special.logit(found) + np.array([-reach, reach]))
    return found, float(low), float(high)


def _unevenness(sites: pl.DataFrame) -> float | None:
    """Return p of the layers of a kind having one rate; None below two layers.

    The variance of a rate is no less than half the binomial one, so that a silent layer has one.
    """
    groups = [group for _, group in sites.sort(SITE_KEY).group_by("layer", maintain_order=True)]
    if len(groups) < 2:
        return None
    layers = [crossed_mean(group, "share") for group in groups]
    mean, sizes = np.array([layer.mean for layer in layers]), np.array(list(map(len, groups)))
    rounded = (mean * sizes + 0.5) / (sizes + 1)
    variance = np.maximum([layer.variance for layer in layers], rounded * (1 - rounded) / sizes / 2)
    freedom = variance.sum() ** 2 / (variance**2 / [layer.freedom for layer in layers]).sum()
    return float(stats.f.sf(mean.var(ddof=1) / variance.mean(), len(layers) - 1, freedom))
