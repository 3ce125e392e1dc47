"""What one number of a mutant says about another, within loci, for other rows and other columns than those at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.regression import centred, fit_linear
from mutascope.core.schema import LOCUS_KEY


@dataclass(frozen=True)
class Slope:
    """A slope, the correlation within loci that goes with it, and its two-sided p; None where unknown."""

    slope: float | None = None
    r: float | None = None
    p: float | None = None


def slope_within_loci(mutants: pl.DataFrame, outcome: str, by: str) -> Slope:
    """Return the slope of one column on another over mutants, by least squares with an intercept per locus.

    Errors are clustered by row, by column, and by both (:func:`~mutascope.analysis.regression.fit_linear`), and the
    largest p counts: mutants of one word share a row, and then a few rows are all that there is to compare.

    Args:
        mutants: columns layer, kind, row, col, ``outcome`` and ``by``, numbers or Booleans; a null leaves a mutant out.
        outcome: what is explained.
        by: what explains it. Loci in which it does not vary say nothing.

    Returns:
        All None where it varies in no locus; p None where one row or column alone decides, or all of the outcome is
        explained.
    """
    x, y = pl.col(by).cast(pl.Float64), pl.col(outcome).cast(pl.Float64)
    known = mutants.select(*LOCUS_KEY, "row", "col", x=x, y=y).drop_nulls(["x", "y"])
    known = known.filter(pl.col("x").n_unique().over(LOCUS_KEY) > 1)
    if known.is_empty():
        return Slope()
    strata, rows, cols = (
        (known.select(pl.struct(keys).rank("dense")).to_series().to_numpy() - 1).astype(np.int64)
        for keys in (LOCUS_KEY, (*LOCUS_KEY, "row"), (*LOCUS_KEY, "col"))
    )
    columns, values = known["x"].to_numpy()[:, None], known["y"].to_numpy()
    (within_x,), (within_y,) = (centred(part, strata)[0].T for part in (columns, values[:, None]))
    if not np.ptp(within_y) > 0:
        return Slope(0.0, None, None)
    r = float(within_x @ within_y / np.sqrt((within_x**2).sum() * (within_y**2).sum()))
    fits = [fit_linear(values, columns, strata, ways) for ways in ([rows], [cols], [rows, cols])]
    slope, errors = float(fits[0].coefficients[0]), np.array([fit.errors[0] for fit in fits])
    if not (errors > 0).all():
        return Slope(slope, r, None)
    p = 2 * stats.t.sf(abs(slope) / errors, [fit.freedom[0] for fit in fits])
    return Slope(slope, r, float(p.max()))
