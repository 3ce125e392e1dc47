"""Which mutants of a prediction are run next, and when it is enough."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

_UNIT = 64
"""Mutants of a unit at most: what an interruption may cost."""
_ROUND = 0.5
"""Share of the mutants that are still to be run that a round runs: the next one chooses with a better calibration."""


@dataclass(frozen=True)
class Target:
    """When to stop running mutants: at an expected share of wrong calls, or at a time (monotonic, seconds)."""

    error: float | None
    deadline: float | None

    @property
    def set(self) -> bool:
        """Whether there is one."""
        return self.error is not None or self.deadline is not None

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline


def choose(probability: np.ndarray, known: np.ndarray, error: float, unit: int) -> tuple[np.ndarray, float]:
    """Return which mutants to run next, and the expected share of wrong calls now.

    A call of probability p is wrong with min(p, 1 - p). The most uncertain mutants come first; a round is a share of as
    many as it takes for the rest to stay below the target, and no more than were run before, in whole units.

    Args:
        probability: of being an NSM, of all mutants.
        known: places of those that were run.
        error: target.
        unit: mutants per unit.
    """
    doubt = np.minimum(probability, 1 - probability).astype(float)
    doubt[known] = 0
    expected = doubt.sum() / len(doubt)
    if expected <= error:
        return np.empty(0, dtype=np.int64), expected
    open_calls = np.flatnonzero(np.bincount(known, minlength=len(doubt)) == 0)
    order = open_calls[np.argsort(-doubt[open_calls], kind="stable")]
    left = doubt.sum() - np.cumsum(doubt[order])
    needed = min(int((left > error * len(doubt)).sum()) + 1, len(order))
    size = -(-max(1, min(int(_ROUND * needed), len(known))) // unit) * unit
    return order[: min(size, len(order))], expected


def sample_unit(mutants: int, per_site: int) -> int:
    """Return the mutants per unit, a divisor of the sample, so that what is chosen later starts a unit."""
    return max((size for size in range(per_site, _UNIT + 1) if mutants % size == 0), default=max(1, mutants))
