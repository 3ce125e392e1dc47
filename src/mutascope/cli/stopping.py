"""What is said when a job is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mutascope.core.errors import Stopped, Terminated
from mutascope.run.job import Job


@contextmanager
def resumable(job: Job[Any]) -> Iterator[None]:
    """Turn an interrupt or SIGTERM of a job into a sentence: what is stored, and how to go on."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        # a library that was at work may have made a KeyboardInterrupt of it
        terminated = isinstance(stop, Terminated) or signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        code = 143 if terminated else 130
        if job.folder is None or not job.folder.exists():
            raise Stopped("interrupted", code) from None
        raise Stopped(f"stopped: {job.state()}; run the same command again to go on", code) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt what is being stored
    raise Terminated
