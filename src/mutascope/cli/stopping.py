"""What is said when a job is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mutascope.core.errors import Stopped
from mutascope.run.job import Job


@contextmanager
def resumable(job: Job[Any]) -> Iterator[None]:
    """Turn an interrupt of a job that has begun its folder into a sentence: what is stored, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if job.folder is None or not job.folder.exists():
            raise
        raise Stopped(f"stopped: {job.state()}; run the same command again to go on") from None
