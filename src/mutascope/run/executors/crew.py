"""Workers that share the units of a job by their leases, and a driver that replaces those that die."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol

from mutascope.core import stopping
from mutascope.core.errors import MutascopeError
from mutascope.core.words import counted
from mutascope.run.progress import ScreenProgress
from mutascope.run.work import Work

DEATHS = 5
"""Deaths of workers in a row, without a unit stored in between, after which it is no accident."""
PATIENCE = 60.0
"""Seconds that workers have to store what is done when they are told to stop."""
LOOK = 1.0
"""Seconds between two looks at what is stored."""


class Death(Exception):
    """A worker died; says of what."""


class Worker(Protocol):
    """A process somewhere that runs ``work.run_units``."""

    def ended(self) -> bool:
        """Return whether it has run its units.

        Raises:
            Death: when it is gone.
            MutascopeError: what it was refused.
        """
        ...

    def tell_to_stop(self) -> None:
        """Ask it to store what is done and to end."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, and kill it after some seconds."""
        ...


class Crew(ABC):
    """An executor of several workers.

    Each is given all units, and begins at another one; leases see to it that no two run the same. So a worker needs
    nothing from the driver, and what one leaves behind, the others run.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    @abstractmethod
    def start(self, work: Work, names: Sequence[str], place: int) -> Worker:
        """Start the worker of a place, from 0, on units."""

    def wait(self, workers: Sequence[Worker], seconds: float) -> None:
        """Let time pass, less where a worker ends."""
        time.sleep(seconds)

    def __call__(self, work: Work, names: Sequence[str], *, quiet: bool = False) -> int:
        """Run units with the progress of all workers in one line, and return how far that went.

        Raises:
            MutascopeError: what a worker was refused, or when workers die again and again.
        """
        if not names:
            return 0
        progress = work.progress(names, quiet=quiet)
        before = progress.done
        work.unload()
        with progress:
            self._run(work, names, _Tally(work, names, progress))
            return progress.done - before

    def _run(self, work: Work, names: Sequence[str], tally: _Tally) -> None:
        crew = {place: self._begin(work, names, place) for place in range(self._size(names))}
        try:
            self._watch(crew, work, names, tally)
            _await(crew.values())
        except BaseException:
            try:
                for worker in crew.values():
                    worker.tell_to_stop()
                _await(crew.values())
            except KeyboardInterrupt:  # one more: what workers have not stored by now is lost
                for worker in crew.values():
                    worker.wait(0)
            raise

    def _watch(self, crew: dict[int, Worker], work: Work, names: Sequence[str], tally: _Tally) -> None:
        """Replace workers that die, until all units are stored."""
        deaths = 0
        while crew and tally.open:
            self.wait(list(crew.values()), LOOK)
            stopping.check()
            if tally.look():
                deaths = 0
            for place, worker in list(crew.items()):
                try:
                    if worker.ended():
                        del crew[place]
                except Death as death:
                    deaths += 1
                    if deaths >= DEATHS:
                        raise MutascopeError(_told(deaths, death)) from None
                    crew[place] = self._begin(work, names, place)
        tally.look()

    def _size(self, names: Sequence[str]) -> int:
        return min(self.workers, len(names))

    def _begin(self, work: Work, names: Sequence[str], place: int) -> Worker:
        first = place * len(names) // self._size(names)
        return self.start(work, [*names[first:], *names[:first]], place)


class _Tally:
    """Tells a progress line of units that have been stored, by whomever.

    Attributes:
        open: units that have not.
    """

    def __init__(self, work: Work, names: Sequence[str], progress: ScreenProgress) -> None:
        self._work, self.open, self._progress = work, set(names), progress

    def look(self) -> int:
        """Count what is stored by now, and return the number of units that were not before."""
        fresh = self.open & self._work.stored()
        self._work.count(fresh, self._progress)
        self.open -= fresh
        return len(fresh)


def _await(workers: Iterable[Worker]) -> None:
    """Wait for workers to store what is done and to end."""
    end = time.monotonic() + PATIENCE
    for worker in workers:
        worker.wait(max(0.0, end - time.monotonic()))


def _told(deaths: int, death: Death) -> str:
    return (
        f"{counted(deaths, 'worker')} died one after the other and no unit was finished ({death}): try fewer --workers"
        " or a smaller --batch where memory is short; the same command goes on with what is missing"
    )
