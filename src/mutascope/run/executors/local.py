"""Run the units of a job one after the other in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mutascope.run.progress import ScreenProgress

if TYPE_CHECKING:
    from mutascope.run.job import Job


def run_local(job: Job, names: Sequence[str], *, quiet: bool = False) -> int:
    """Run units with progress on standard error, and return the number of mutants run."""
    silent = job.home.silent(job.home.finished_units().difference(names))
    session = job.session
    with ScreenProgress(
        len(job.listed), len(silent), int((~silent).sum()), underway=lambda: session.underway, quiet=quiet
    ) as progress:
        return job.run_units(names, progress)
