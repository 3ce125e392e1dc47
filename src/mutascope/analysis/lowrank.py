"""Why maps have rows, columns and complementary signs (docs/reference/why-copa.md): a constant fill has low rank.

Writing a constant c over a tile (R, C) changes a margin by

    c sum_p (sum of the gradient over R)_p (sum of the input over C)_p - sum over the tile of G W

The first term is a product of something of the row of sites and something of the column, summed over positions, and
has opposite signs for max and min. So the *odd part* of a map, half the difference of the predicted margins under min
and max, should be near a matrix of low rank. The *even part*, the mean of both, tells how large the mutant is: with
many picks, some of them suffers whatever the sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from mutascope.analysis.sites import in_order
from mutascope.core.errors import MutascopeError
from mutascope.core.schema import LOCUS_KEY

RANKS = (1, 2, 3)
_BOUND = 5.0
"""Margins beyond this many medians of their magnitude are cut to it: a mutant cannot be more than lost."""


@dataclass(frozen=True)
class Parts:
    """The predicted margins of a locus, [site rows, site cols] each: even - odd under max, even + odd under min."""

    even: np.ndarray
    odd: np.ndarray


def parts_of(predictions: pl.DataFrame) -> Parts:
    """Return the parts of the margins of one locus.

    Args:
        predictions: of one locus, columns row, col, mutation, margin.

    Raises:
        MutascopeError: when max or min was not predicted for all sites.
    """
    rows, cols = int(predictions["row"].max() or 0) + 1, int(predictions["col"].max() or 0) + 1  # pyright: ignore
    grids = []
    for name in ("max", "min"):
        found = predictions.filter(mutation=name).sort("row", "col")
        if len(found) != rows * cols:
            raise MutascopeError(
                f"the low-rank form takes a complete prediction of max and min; {name} is not complete"
            )
        grids.append(found["margin"].to_numpy().astype(float).reshape(rows, cols))
    bound = _BOUND * float(np.median(np.abs(grids)))
    high, low = (np.clip(grid, -bound, bound) for grid in grids)
    return Parts((high + low) / 2, (low - high) / 2)


def low_rank_shares(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return, for every locus, how far its map is a low-rank matrix with opposite signs for max and min.

    Args:
        predictions: columns layer, kind, row, col, mutation, margin; complete for max and min.

    Returns:
        Columns layer, kind, odd_share (sum of squares of the odd part / that of the odd part and of the even part about
        its mean: 1 when max and min do exactly opposite things), share_1, share_2, share_3 (of the odd part's sum of
        squares that matrices of rank 1, 2, 3 explain), null_1 (what rank 1 explains when the odd part's values are
        shuffled among the sites).
    """
    rows = []
    for (layer, kind), group in _loci(predictions):
        parts = parts_of(group)
        even, odd = parts.even - parts.even.mean(), parts.odd
        shares = np.cumsum(np.square(np.linalg.svd(odd, compute_uv=False)))
        shuffled = np.random.default_rng(0).permutation(odd.ravel()).reshape(odd.shape)
        null = np.square(np.linalg.svd(shuffled, compute_uv=False))
        total = np.square(odd).sum()
        row = {"layer": layer, "kind": kind, "odd_share": total / (total + np.square(even).sum())}
        row |= {f"share_{rank}": shares[min(rank, len(shares)) - 1] / shares[-1] for rank in RANKS}
        rows.append({**row, "null_1": null[0] / null.sum()})
    return in_order(pl.DataFrame(rows, schema_overrides={"layer": pl.Int16}))


def factors(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the row and the column factor of every locus: the odd part is near their outer product.

    Args:
        predictions: as in :func:`low_rank_shares`.

    Returns:
        Columns layer, kind, axis (``row`` or ``col``), index, factor (square root of a margin; the sign is shared: the
        column factor's largest element is positive).
    """
    frames = []
    for (layer, kind), group in _loci(predictions):
        u, s, v = np.linalg.svd(parts_of(group).odd, full_matrices=False)
        sign = np.sign(v[0][np.abs(v[0]).argmax()]) * np.sqrt(s[0])
        for axis, factor in (("row", u[:, 0] * sign), ("col", v[0] * sign)):
            frames.append(
                pl.DataFrame({"index": np.arange(len(factor), dtype=np.int32), "factor": factor}).select(
                    pl.lit(layer, pl.Int16).alias("layer"),
                    pl.lit(kind).alias("kind"),
                    pl.lit(axis).alias("axis"),
                    "index",
                    "factor",
                )
            )
    return in_order(pl.concat(frames), "axis", "index")


def low_rank_calls(predictions: pl.DataFrame, rank: int = 1) -> pl.DataFrame:
    """Return the calls of max and min that the low-rank form alone would make, as records.

    Both parts are replaced by their best matrices of the given rank, so that nothing but row factors times column
    factors is left: the odd part's carry the sign of the effect, the even part's its size.

    Args:
        predictions: as in :func:`low_rank_shares`.
        rank: of both parts.

    Returns:
        Columns layer, kind, row, col, mutation, silent, which the analyses of records take.
    """
    frames = []
    for (layer, kind), group in _loci(predictions):
        parts = parts_of(group)
        odd, even = _approximate(parts.odd, rank), _approximate(parts.even, rank)
        row, col = (index.ravel().astype(np.int32) for index in np.indices(odd.shape))
        for name, margin in (("max", even - odd), ("min", even + odd)):
            frames.append(
                pl.DataFrame({"row": row, "col": col, "silent": margin.ravel() >= 0}).select(
                    pl.lit(layer, pl.Int16).alias("layer"),
                    pl.lit(kind).alias("kind"),
                    "row",
                    "col",
                    pl.lit(name).alias("mutation"),
                    "silent",
                )
            )
    return in_order(pl.concat(frames), "row", "col", "mutation")


def _approximate(matrix: np.ndarray, rank: int) -> np.ndarray:
    """Return the nearest matrix of a rank."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


def _loci(predictions: pl.DataFrame) -> Iterator[tuple[tuple[int, str], pl.DataFrame]]:
    for (layer, kind), group in predictions.group_by(LOCUS_KEY, maintain_order=True):
        yield (int(layer), str(kind)), group
