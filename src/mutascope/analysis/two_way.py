"""Contrasts of two sorts of items that many units have all seen: prompts and mutants, questions and mutants.

A difference between literary and factual prompts is to hold for other prompts and for other mutants, so both are taken
at random. A test with mutants alone for units finds a difference whenever the prompts at hand happen to differ (Clark
1973).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from mutascope.analysis.crossed import Mean
from mutascope.core.schema import LOCUS_KEY


def item_contrast(table: np.ndarray, first: np.ndarray) -> Mean | None:
    """Return the mean difference between two sorts of items, with an error for units and items at random.

    The variance of the difference is that of the units' own differences over their number, plus that of the items'
    means within their sorts over their numbers, less what is left of the cells, which is in both; and no less than
    either (Clark's quasi-F). Degrees of freedom are Satterthwaite's.

    Args:
        table: float64 [units, items].
        first: bool [items], which are of the first sort.

    Returns:
        The mean of the first sort less that of the second; None with fewer than two units, or items of a sort.
    """
    units, sorts = len(table), [table[:, first], table[:, ~first]]
    if units < 2 or min(part.shape[1] for part in sorts) < 2:
        return None
    difference = sorts[0].mean(axis=1) - sorts[1].mean(axis=1)
    parts = [(float(difference.var(ddof=1)) / units, units - 1)]
    cells = 0.0
    for part in sorts:
        items = part.shape[1]
        means = part.mean(axis=0)
        parts.append((float(means.var(ddof=1)) / items, items - 1))
        rest = part - means - part.mean(axis=1, keepdims=True) + part.mean()
        cells += float((rest**2).sum()) / ((units - 1) * (items - 1)) / (units * items)
    own, *others = (variance for variance, _ in parts)
    variance = max(own + sum(others) - cells, own, sum(others))
    weight = sum(part**2 / freedom for part, freedom in parts)
    freedom = variance**2 / weight if weight > 0 else 1.0
    return Mean(float(difference.mean()), variance, max(freedom, 1.0))


def with_unit(mutants: pl.DataFrame) -> pl.DataFrame:
    """Return mutants with ``unit`` (UInt32): what may be taken for independent of each other.

    It is the locus; in a single locus, the row or the column, of whichever there are fewer but at least two.

    Args:
        mutants: columns layer, kind, row, col.
    """
    keys: list[str] = list(LOCUS_KEY)
    if mutants.select(pl.struct(LOCUS_KEY).n_unique()).item() < 2:
        lines = {axis: mutants[axis].n_unique() for axis in ("row", "col")}
        keys = [min(lines, key=lambda axis: lines[axis] if lines[axis] > 1 else np.inf)]
    return mutants.with_columns(unit=pl.struct(keys).rank("dense").cast(pl.UInt32))


def unit_means(values: pl.DataFrame, item: str, value: str) -> np.ndarray:
    """Return the means of a value, float64 [units, items], items in ascending order.

    Args:
        values: columns unit, ``item``, ``value``: every unit has every item.
        item: the column.
        value: the column, a number.
    """
    means = (
        values.group_by("unit", item, maintain_order=True)
        .agg(pl.col(value).cast(pl.Float64).mean())
        .sort("unit", item)
    )
    return means[value].to_numpy().reshape(values["unit"].n_unique(), -1)
