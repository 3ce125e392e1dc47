"""Run units one after the other in this process."""

from __future__ import annotations

from collections.abc import Sequence

from mutascope.run.work import Work


def run_local(work: Work, names: Sequence[str], *, quiet: bool = False) -> int:
    """Run units with progress on standard error, and return the number run."""
    with work.progress(names, quiet=quiet, here=True) as progress:
        return work.run_units(names, progress)
