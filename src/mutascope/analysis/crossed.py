"""Means of sites whose rows and columns depend on each other: the sites of a line are no independent observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from mutascope.core.schema import LOCUS_KEY


@dataclass(frozen=True)
class Mean:
    """A mean over sites, its variance under random effects of rows and columns, and the degrees of freedom of it."""

    mean: float
    variance: float
    freedom: float

    @property
    def p(self) -> float:
        """Two-sided p of a mean of 0; where nothing varies, 1 for a mean of 0, and 0 otherwise."""
        if self.variance <= 0:
            return float(self.mean == 0)
        return float(2 * stats.t.sf(abs(self.mean) / np.sqrt(self.variance), self.freedom))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, by Student's t."""
        reach = float(stats.t.ppf(0.975, self.freedom) * np.sqrt(self.variance))
        return self.mean - reach, self.mean + reach


def crossed_mean(sites: pl.DataFrame, value: str) -> Mean:
    """Return the mean of a column over the sites of some loci, with errors clustered by row and by column.

    The variance is that of rows plus that of columns less that of sites (Cameron, Gelbach and Miller 2011), each with
    the correction for its number of clusters, and no less than the larger of the two. Degrees of freedom are
    Satterthwaite's.

    Args:
        sites: columns layer, kind, row, col and ``value`` (a number), a row per site; at least one.
        value: the column.
    """
    total = sites[value].cast(pl.Float64).mean()
    assert isinstance(total, float)
    mean = float(total)
    centred = sites.select(
        *LOCUS_KEY, "row", "col", rest=pl.col(value).cast(pl.Float64) - pl.col(value).mean().over(LOCUS_KEY)
    )
    parts = [_part(centred, axis) for axis in ("row", "col")]
    alone = float((centred["rest"].to_numpy() ** 2).sum())
    variance = max(parts[0][0] + parts[1][0] - alone, parts[0][0], parts[1][0])
    weight = sum(part**2 / freedom for part, freedom in parts if part > 0)
    freedom = max((parts[0][0] + parts[1][0]) ** 2 / weight, 1.0) if weight > 0 else 1.0
    return Mean(mean, variance / len(sites) ** 2, freedom)


def _part(centred: pl.DataFrame, axis: str) -> tuple[float, float]:
    """Sum of squares of the sums of the lines of an axis, corrected for their number, and its degrees of freedom."""
    # in the order of the sites: sums of floats depend on it
    lines = centred.group_by(*LOCUS_KEY, axis, maintain_order=True).agg(pl.col("rest").sum())
    loci = lines.group_by(LOCUS_KEY, maintain_order=True).agg(
        squares=(pl.col("rest") ** 2).sum(), lines=pl.len()
    )
    squares, number = loci["squares"].to_numpy(), loci["lines"].to_numpy()
    corrected = squares * number / np.maximum(number - 1, 1)
    weight = (corrected**2 / np.maximum(number - 1, 1)).sum()
    return float(corrected.sum()), float(corrected.sum() ** 2 / weight) if weight > 0 else 1.0
