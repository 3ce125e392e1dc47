"""Maps as pyramids: how many sites of each status lie in blocks of 1, 2, 4, ... sites, without a site lost."""

from __future__ import annotations

import numpy as np

from mutascope.analysis.status import Status

STATUSES = len(Status)


def status_counts(status: np.ndarray) -> np.ndarray:
    """Return the finest level of the pyramid of a status map: which status each site has.

    Args:
        status: int8 [rows, cols] of ``Status`` values.

    Returns:
        uint32 [rows, cols, statuses], one 1 per site, at the value of its ``Status``.
    """
    return (status[..., None] == np.arange(STATUSES)).astype(np.uint32)


def coarser(counts: np.ndarray) -> np.ndarray:
    """Return the next level: every cell holds the sum of two by two cells, of fewer at the lower and the right edge.

    Args:
        counts: [rows, cols, statuses].

    Returns:
        The same dtype, [ceil(rows / 2), ceil(cols / 2), statuses].
    """
    rows, cols, statuses = counts.shape
    padded = np.pad(counts, ((0, rows % 2), (0, cols % 2), (0, 0)))
    return padded.reshape(-(-rows // 2), 2, -(-cols // 2), 2, statuses).sum(axis=(1, 3), dtype=counts.dtype)


def pyramid(status: np.ndarray) -> list[np.ndarray]:
    """Return all levels (:func:`status_counts`, :func:`coarser`), from single sites to one cell for the locus."""
    levels = [status_counts(status)]
    while max(levels[-1].shape[:2]) > 1:
        levels.append(coarser(levels[-1]))
    return levels


def packed_levels(status: np.ndarray, side: int) -> dict[int, np.ndarray]:
    """Return the levels with at most ``side`` cells along both axes, in the smallest type that holds them.

    Level 0 is uint8 [rows, cols], the statuses themselves; the others are counts [rows, cols, statuses].
    """
    fitting = {n: counts for n, counts in enumerate(pyramid(status)) if max(counts.shape[:2]) <= side}
    return {
        n: counts.astype(np.min_scalar_type(int(counts.max()))) if n else status.astype(np.uint8)
        for n, counts in fitting.items()
    }
