"""Whether rearranged maps of one kind are more asymmetric than those of the other kinds (the paper sees it in Gate)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from mutascope.analysis.nulls import q_values
from mutascope.analysis.sites import in_order


def asymmetry_by_kind(copa: pl.DataFrame) -> pl.DataFrame:
    """Test whether the asymmetry of a kind stands out among the kinds of its layers.

    Maps with few signs, or of another shape, have another asymmetry by chance alone. So loci are compared by p of
    their asymmetry, which is as good as any other number where nothing but chance is at work. In every layer, kinds are
    ranked by it; were they alike, a kind could have any rank, and its sum of ranks over the layers is that of throws
    of dice with as many sides as kinds (an exact distribution). Two-sided, with half the chance of the observed sum
    (mid-p).

    Args:
        copa: of :func:`~mutascope.analysis.copa.copa`, perhaps of several assays (column assay): columns layer, kind,
            axis, asymmetry, asymmetry_p.

    Returns:
        Columns assay (if given), axis, kind, layers (with other kinds), asymmetry, other_kinds (mean asymmetry of the
        kind, and of the other kinds of these layers), above (mean share of the other kinds that are less asymmetric,
        by p; .5 by chance), p, q (Benjamini-Hochberg over the kinds of an assay and axis).
    """
    family = [name for name in ("assay", "axis") if name in copa.columns]
    within = [*family, "layer"]
    ranked = (
        copa.filter(pl.col("asymmetry_p").is_not_null())
        .with_columns(kinds=pl.len().over(within))
        .filter(pl.col("kinds") > 1)
        .with_columns(
            rank=pl.col("asymmetry_p").rank("average", descending=True).over(within),
            rest=(pl.col("asymmetry").sum().over(within) - pl.col("asymmetry")) / (pl.col("kinds") - 1),
        )
    )
    rows = []
    for key, group in in_order(ranked, "axis").group_by([*family, "kind"], maintain_order=True):
        sides, rank = group["kinds"].to_numpy(), group["rank"].to_numpy()
        numbers = (group["asymmetry"].mean(), group["rest"].mean(), float(np.mean((rank - 1) / (sides - 1))))
        rows.append((*key, len(group), *numbers, _of_dice(float(rank.sum()), sides)))
    schema: dict[str, Any] = dict.fromkeys((*family, "kind"), pl.String) | {"layers": pl.Int64}
    schema |= dict.fromkeys(("asymmetry", "other_kinds", "above", "p"), pl.Float64)
    return q_values(pl.DataFrame(rows, schema=schema, orient="row"), family)


def _of_dice(total: float, sides: np.ndarray) -> float:
    """Two-sided mid-p of the sum of throws of dice with these numbers of sides, numbered from 1."""
    chances = np.ones(1)
    for number in sides:
        chances = np.convolve(chances, np.full(int(number), 1 / number))
    values = np.arange(len(chances)) + len(sides)
    above, below = (chances[side].sum() for side in (values > total, values < total))
    return float(min(2 * (min(above, below) + chances[values == total].sum() / 2), 1.0))
