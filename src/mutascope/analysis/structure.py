"""How much structure the map of a locus has, in numbers that real and null screens can be compared by."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.nulls import q_values
from mutascope.analysis.sites import in_order, site_frame
from mutascope.core.schema import LOCUS_KEY

AXES = ("row", "col")


def locus_structure(records: pl.DataFrame, copa: pl.DataFrame) -> pl.DataFrame:
    """Return the structure of every locus.

    Args:
        records: columns layer, kind, row, col, mutation, silent. Sites with both ``max`` and ``min`` count.
        copa: of :func:`~mutascope.analysis.copa.copa`.

    Returns:
        Columns layer, kind, measure, value (null where it is undefined): ``rate``, share of NSMs; ``lean``,
        |max NSMs - min NSMs| over the sites; ``spread_row`` and ``spread_col``, mean over the lines of the squared
        deviation of their NSMs from the locus's mean over its variance when the sites are shuffled, 1 by chance;
        ``strength_row``, ``strength_col``, ``mirror_row``, ``mirror_col``, less the mean of their nulls.
    """
    both = pl.all_horizontal(pl.col("max_nsm", "min_nsm").is_not_null())
    count = pl.sum_horizontal(pl.col("max_nsm", "min_nsm").cast(pl.Float64))
    sites = site_frame(records).filter(both).with_columns(count=count)
    way = pl.col("max_nsm").cast(pl.Float64) - pl.col("min_nsm").cast(pl.Float64)
    wide = sites.group_by(LOCUS_KEY, maintain_order=True).agg(
        rate=pl.col("count").mean() / 2, lean=way.mean().abs()
    )
    for axis in AXES:
        wide = wide.join(_spread(sites, axis), on=LOCUS_KEY, how="left", maintain_order="left")
        excess = {f"{name}_{axis}": pl.col(name) - pl.col(f"{name}_null") for name in ("strength", "mirror")}
        pattern = copa.filter(axis=axis).select(*LOCUS_KEY, **excess)
        wide = wide.join(pattern, on=LOCUS_KEY, how="left", maintain_order="left")
    return in_order(wide).unpivot(index=LOCUS_KEY, variable_name="measure", value_name="value")


def compare_structure(real: pl.DataFrame, null: pl.DataFrame) -> pl.DataFrame:
    """Return the mean structure of real and null loci, and whether they differ: Wilcoxon's signed-rank test of loci.

    Args:
        real, null: of :func:`locus_structure`; the loci that both have count.

    Returns:
        Columns measure, loci, value, value_shuffled (means over the loci), least_p (the smallest that so many loci can
        give), p (two-sided; null below two loci), q (over the measures).
    """
    pairs = real.join(
        null, on=[*LOCUS_KEY, "measure"], suffix="_shuffled", maintain_order="left"
    ).drop_nulls()
    rows = []
    for (measure,), group in pairs.group_by(["measure"], maintain_order=True):
        a, b = group["value"].to_numpy(), group["value_shuffled"].to_numpy()
        rows.append(
            (measure, len(group), a.mean(), b.mean(), min(1.0, 2 / 2 ** len(group)), _signed_rank(a, b))
        )
    names = ("value", "value_shuffled", "least_p", "p")
    schema = {"measure": pl.String, "loci": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    return q_values(pl.DataFrame(rows, schema=schema, orient="row"))


def _spread(sites: pl.DataFrame, axis: str) -> pl.DataFrame:
    """Return the spread of the lines of every locus; no row for a locus whose sites are all alike."""
    value = pl.col("count")
    known = sites.with_columns(
        mean=value.mean().over(LOCUS_KEY),
        variance=value.var(ddof=0).over(LOCUS_KEY),
        whole=pl.len().over(LOCUS_KEY),
    ).filter(pl.col("variance") > 0)
    lines = known.group_by(*LOCUS_KEY, axis, maintain_order=True).agg(
        n=pl.len(),
        total=value.sum(),
        mean=pl.first("mean"),
        variance=pl.first("variance"),
        whole=pl.first("whole"),
    )
    n, whole = pl.col("n"), pl.col("whole")
    chance = n * (whole - n) / (whole - 1) * pl.col("variance")
    squared = (pl.col("total") - n * pl.col("mean")) ** 2 / chance
    return (
        lines.filter(n < whole)
        .group_by(LOCUS_KEY, maintain_order=True)
        .agg(squared.mean().alias(f"spread_{axis}"))
    )


def _signed_rank(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < 2 or (a == b).all():
        return None
    found: Any = stats.wilcoxon(a, b)
    return float(found.pvalue)
