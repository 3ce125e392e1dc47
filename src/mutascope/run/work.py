"""What executors run, and what an executor is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from mutascope.run.progress import ScreenProgress
from mutascope.run.spec import JobSpec


class Work(Protocol):
    """Named units whose results are stored in a folder. It can be sent to any process, and runs there."""

    @property
    def spec(self) -> JobSpec:
        """What was asked for."""
        ...

    def stored(self) -> set[str]:
        """Return the names of the units that are stored, by whomever."""
        ...

    def progress(self, names: Sequence[str], *, quiet: bool = False, here: bool = False) -> ScreenProgress:
        """Return the progress of a run of units, to be told of what is stored.

        Args:
            names: of the units that are to be run.
            quiet: report nothing.
            here: whether this process runs them.
        """
        ...

    def count(self, names: Collection[str], progress: Callable[[int], None]) -> None:
        """Tell a progress of stored units."""
        ...

    def run_units(
        self,
        names: Sequence[str],
        progress: Callable[[int], None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> int:
        """Run units in this process, those that no other process holds or has stored, and return the number run."""
        ...

    def unload(self) -> None:
        """Give back the memory of what is loaded."""
        ...


class Executor(Protocol):
    """Runs units somewhere (:mod:`mutascope.run.executors`)."""

    def __call__(self, work: Work, names: Sequence[str], /, *, quiet: bool = False) -> int:
        """Run units, and return how many mutants, or loci, were done meanwhile."""
        ...
