"""Null maps of the signs of a locus, for COPA (:mod:`~mutascope.analysis.copa`)."""

from __future__ import annotations

import numpy as np

_TRADES = 3
"""Times that a sign may be traded, on average, between two maps of the null that keeps the totals of lines."""
_SWEEPS = 24
"""Times that every row trades, at most."""
_OPPOSITE = 1 ^ -1
"""What the codes +1 and -1 differ by, bit by bit; no other two codes do."""


def shuffled_signs(signs: np.ndarray, shuffles: int, random: np.random.Generator) -> np.ndarray:
    """Return maps [shuffles, rows, cols] with the signs shuffled among the sites that have one.

    Args:
        signs: int8 [rows, cols] of +1, -1 and 0.
        shuffles: number of maps.
        random: shuffles them.
    """
    maps = np.zeros((shuffles, signs.size), dtype=np.int8)
    places = np.flatnonzero(signs)
    values = np.broadcast_to(signs.ravel()[places], (shuffles, len(places)))
    maps[:, places] = random.permuted(values, axis=1)
    return maps.reshape(shuffles, *signs.shape)


def traded_signs(signs: np.ndarray, maps: int, random: np.random.Generator) -> np.ndarray:
    """Return maps [maps, rows, cols] with the sites of the signs and the total of every row and column kept.

    All start at one map, some sweeps away from the observed one, and go as many: then the observed one is one of them
    under the null, however few the sweeps (Besag and Clifford 1989).

    Args:
        signs: int8 [rows, cols] of +1, -1 and 0.
        maps: how many.
        random: trades.
    """
    signed = signs.any(axis=1)
    rows = signs[signed]
    plus, minus = (rows > 0).sum(axis=0), (rows < 0).sum(axis=0)
    # The chance that another row has the opposite of a sign in its column.
    opposite = 2 * (plus * minus).sum() / max(len(rows) * (plus + minus).sum(), 1)
    sweeps = min(_SWEEPS, int(np.ceil(_TRADES / max(opposite, 1 / _SWEEPS))))
    chains = np.repeat(_sweeps(rows[None], sweeps, random), maps, axis=0)
    out = np.zeros((maps, *signs.shape), dtype=np.int8)
    out[:, signed] = _sweeps(chains, sweeps, random)
    return out


def _sweeps(maps: np.ndarray, sweeps: int, random: np.random.Generator) -> np.ndarray:
    """Trade signs between random pairs of rows of maps [maps, rows, cols], each row so often (Strona et al. 2014).

    Where two rows have opposite signs in a column, either may have the +1: so many columns of each sort as before.
    """
    maps, (number, height, _) = maps.copy(), maps.shape
    start, half = np.arange(number)[:, None] * height, height // 2
    for _ in range(sweeps if height > 1 else 0):
        order = start + random.permuted(np.tile(np.arange(height), (number, 1)), axis=1)
        first, second = order[:, :half].ravel(), order[:, half : 2 * half].ravel()
        keys = random.random((len(first), maps.shape[2]), dtype=np.float32)
        _trade(maps.reshape(-1, maps.shape[2]), first, second, keys)
    return maps


def _trade(lines: np.ndarray, first: np.ndarray, second: np.ndarray, keys: np.ndarray) -> None:
    """Trade signs between lines [lines, length] at two places [pairs]: the least keys [pairs, length] have the +1."""
    above, length = lines.take(first, axis=0), lines.shape[1]
    places = np.flatnonzero((above ^ lines.take(second, axis=0)) == _OPPOSITE)
    pair, column = np.divmod(places, length)
    opposite, key = above.ravel()[places], (keys.ravel()[places] * 2**24).astype(np.int64)
    # Ordered by pair, key (a multiple of 2^-24) and column, as one whole number each: three sorts in one.
    column = np.sort((pair * 2**24 + key) * length + column) % length
    number = np.bincount(pair, minlength=len(first))
    positive = np.bincount(pair[opposite > 0], minlength=len(first))
    sorts = np.stack([positive, number - positive], axis=1)
    signs = np.repeat(np.tile(np.array([1, -1], dtype=np.int8), len(first)), sorts.ravel())
    lines[first[pair], column], lines[second[pair], column] = signs, -signs
