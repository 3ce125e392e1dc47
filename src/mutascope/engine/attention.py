"""One-token attention over many rows, each with keys and values of its own.

On a CPU the products are too small for a matrix library: three queries against a hundred keys, thousands of times. A
compiled loop that reads keys and values once takes a third of the time of ``matmul``, softmax and ``matmul``.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor


def attend(queries: Tensor, keys: Tensor, values: Tensor, begin: int, end: int) -> Tensor:
    """Return what the queries read, in the shape of the queries.

    Args:
        queries: scaled, [rows, key/value heads, queries per head, width].
        keys: contiguous, [rows, key/value heads, positions, width].
        values: of the same shape.
        begin: first position that is seen.
        end: one after the last.
    """
    if queries.device.type != "cpu":
        keys, values = keys[:, :, begin:end], values[:, :, begin:end]
        return queries.matmul(keys.transpose(2, 3)).softmax(-1).matmul(values)
    mixed = torch.empty_like(queries)
    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
    _attend(queries.numpy(), keys.numpy(), values.numpy(), mixed.numpy(), begin, end)
    return mixed


# sums may be reordered, but NaN and inf must come through: they are a phenotype
@numba.njit(parallel=True, cache=True, fastmath={"reassoc", "contract", "arcp", "nsz"})
def _attend(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray, mixed: np.ndarray, begin: int, end: int
) -> None:
    rows, heads, count, width = queries.shape
    for place in numba.prange(rows * heads):  # pyright: ignore[reportGeneralTypeIssues]
        row, head = place // heads, place % heads
        weights = np.empty((count, end - begin), queries.dtype)
        for at in range(begin, end):
            for query in range(count):
                score = queries[row, head, query, 0] * keys[row, head, at, 0]
                for w in range(1, width):
                    score += queries[row, head, query, w] * keys[row, head, at, w]
                weights[query, at - begin] = score
        for query in range(count):
            weights[query] = np.exp(weights[query] - weights[query].max())
            weights[query] /= weights[query].sum()
            mixed[row, head, query] = 0
        for at in range(begin, end):
            for query in range(count):
                weight = weights[query, at - begin]
                for w in range(width):
                    mixed[row, head, query, w] += weight * values[row, head, at, w]
