"""Progress of a screen: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mutascope.core.words import counted, duration

_PLAIN_INTERVAL = 10.0
"""Seconds between two lines when the output is not a terminal."""


class ScreenProgress:
    """Counts mutants and reports done, NSM rate, mutants per second and time left on standard error.

    Args:
        total: number of mutants.
        done: of them before.
        nsm: of these.
        underway: how much of the work on mutants that are not counted yet is done, in mutants: hundreds are run
            together, and end together.
        quiet: report nothing.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        nsm: int = 0,
        *,
        underway: Callable[[], float] = lambda: 0.0,
        quiet: bool = False,
    ) -> None:
        self.total, self.done, self.nsm, self.underway = total, done, nsm, underway
        self._resumed = done
        self._started = time.monotonic()
        self._console = Console(file=sys.stderr, quiet=quiet)
        self._live = (
            Live(console=self._console, refresh_per_second=4, get_renderable=lambda: Text(self.line()))
            if self._console.is_terminal
            else None
        )
        self._over = threading.Event()
        self._reporter = threading.Thread(target=self._report_regularly, daemon=True)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        else:
            self._reporter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        else:
            self._over.set()
            self._reporter.join()
            self._report()

    def __call__(self, silent: int) -> None:
        """Count one mutant, silent or not."""
        self.done += 1
        self.nsm += not silent

    def line(self) -> str:
        """Return the progress in words."""
        elapsed = time.monotonic() - self._started
        worked = self.done + self.underway()
        rate = (worked - self._resumed) / elapsed if elapsed > 0 else 0.0
        share = 100 * self.nsm / self.done if self.done else 0.0
        words = f"{self.done:,} of {counted(self.total, 'mutant')}, {share:.1f} % NSM, {rate:.2f} mutants/s"
        left = max(0.0, self.total - worked) / rate if rate else None
        return words + (f", {duration(left)} left" if left is not None and self.done < self.total else "")

    def _report_regularly(self) -> None:
        while not self._over.wait(_PLAIN_INTERVAL):
            self._report()

    def _report(self) -> None:
        self._console.print(Text(self.line()), soft_wrap=True)


class PredictionProgress(ScreenProgress):
    """Counts loci, and reports loci done, mutants predicted per second and time left on standard error."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self.mutants = 0
        super().__init__(total, quiet=quiet)

    def __call__(self, mutants: int) -> None:
        """Count one locus with its mutants."""
        self.mutants += mutants
        super().__call__(silent=True)

    def line(self) -> str:
        """Return the progress in words."""
        elapsed = time.monotonic() - self._started
        words = f"{self.done:,} of {counted(self.total, 'locus', 'loci')} predicted"
        if not self.done or elapsed <= 0:
            return words
        left = (self.total - self.done) * elapsed / self.done
        words += f", {self.mutants:,} mutants, {self.mutants / elapsed:,.0f} mutants/s"
        return words + (f", {duration(left)} left" if self.done < self.total else "")
