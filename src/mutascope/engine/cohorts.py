"""Which mutants are verified next, and in which prompt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from mutascope.core.genome import Mutant
from mutascope.engine.edits import Edit
from mutascope.engine.rows import Asked

_AHEAD = 1024
"""Outputs that are looked ahead, to verify mutants of neighbouring layers together."""


class Cohorts:
    """Deals mutants by the cohort; each cohort goes through all prompts.

    Args:
        mutants: to be run.
        edit: returns what a mutant computes otherwise; a cohort shares it among its prompts.
        asked: the prompts.
        size: mutants of a cohort at most.
        least: mutants for which there must be room to begin one, should they all diverge.
    """

    def __init__(
        self,
        mutants: Iterable[Mutant],
        edit: Callable[[Mutant], Edit],
        asked: Sequence[Asked],
        size: int,
        least: int,
    ) -> None:
        self.mutants, self.edit = iter(mutants), edit
        self.asked, self.size, self.least = asked, size, least
        self._waiting: deque[Mutant] = deque()
        self._cohort: list[tuple[Mutant, Edit]] = []
        self._left: deque[Asked] = deque()

    def next(self, room: int) -> tuple[Asked, list[tuple[Mutant, Edit]]] | None:
        """Return a prompt and the mutants to verify in it, by layer, with their edits.

        None when there is no room for them, or all are done.
        """
        if not self._left and room >= self.least:
            if len(self._waiting) < self.size:
                more = islice(self.mutants, max(self.size, _AHEAD // len(self.asked)))
                self._waiting = deque(sorted([*self._waiting, *more], key=lambda mutant: mutant.layer))
            size = min(self.size, len(self._waiting), room)
            some = [self._waiting.popleft() for _ in range(size)]
            self._cohort = [(mutant, self.edit(mutant)) for mutant in some]
            self._left = deque(self.asked if size else ())
        if not self._left or len(self._cohort) > room:
            return None
        return self._left.popleft(), self._cohort
