"""Null models and multiple testing that several analyses share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy import stats


def q_values(frame: pl.DataFrame, family: Sequence[str] = ()) -> pl.DataFrame:
    """Return the frame with a column q: Benjamini-Hochberg adjusted column p, within each group of ``family``.

    Args:
        frame: column p, probabilities; null where there was nothing to test, which makes q null and no test.
        family: columns whose groups are corrected each on its own; none for one family.
    """
    rank = pl.int_range(pl.len()).alias("_position")
    parts = []
    whole = frame.with_columns(rank)
    groups = [group for _, group in whole.group_by(list(family), maintain_order=True)] if family else [whole]
    for group in groups:
        p = group["p"].to_numpy()
        tested = np.flatnonzero(~np.isnan(p))
        q = np.full(len(p), np.nan)
        if len(tested):
            q[tested] = stats.false_discovery_control(p[tested])
        parts.append(group.with_columns(q=pl.Series(q, dtype=pl.Float64).fill_nan(None)))
    if not parts:
        return frame.with_columns(q=pl.lit(None, pl.Float64))
    return pl.concat(parts).sort("_position").drop("_position")


def poisson_binomial_tail(hits: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Return P(X >= hits), where X counts the successes of independent trials of unequal chances.

    The exact Poisson-binomial upper tail, one per line, by adding the trials one at a time to the distribution of
    the count. All terms are positive, so that small tails keep their relative precision.

    Args:
        hits: int [lines], observed successes.
        chances: float [lines, trials], the chance of every trial; 0 where a line has fewer trials.

    Returns:
        float64 [lines].
    """
    lines, trials = chances.shape
    counts = np.zeros((lines, trials + 1))
    counts[:, 0] = 1
    for trial in range(trials):
        chance = chances[:, trial, None]
        head = counts[:, : trial + 1] * chance
        counts[:, : trial + 1] *= 1 - chance
        counts[:, 1 : trial + 2] += head
    reached = np.arange(trials + 1) >= np.asarray(hits)[:, None]
    return np.minimum((counts * reached).sum(axis=1), 1.0)


def padded(lists: pl.Series) -> np.ndarray:
    """Return lists of numbers as a float64 array [lists, longest], shorter ones filled up with 0."""
    lengths = lists.list.len().to_numpy()
    filled = np.zeros((len(lists), lengths.max(initial=0)))
    if filled.size:
        filled[np.arange(filled.shape[1]) < lengths[:, None]] = lists.explode().to_numpy()
    return filled
