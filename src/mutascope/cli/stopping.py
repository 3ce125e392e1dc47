"""What is said when a job is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from mutascope.core import stopping
from mutascope.core.errors import MutascopeError, Stopped
from mutascope.run.job import Job


@contextmanager
def resumable(job: Job[Any]) -> Iterator[None]:
    """Turn an interrupt or SIGTERM of a job into a sentence: what is stored, and how to go on.

    A library that was at work may make an error of its own of the signal (polars a panic): the sentence names it, as it
    may be another.
    """
    with stopping.hearing(signal.SIGINT, signal.SIGTERM):
        try:
            stopping.check()  # what was lost before
            yield
            stopping.check()
        except BaseException as error:
            interrupted, heard = isinstance(error, KeyboardInterrupt), stopping.heard()
            if isinstance(error, MutascopeError) or not (heard or interrupted):
                raise
            code = 143 if signal.SIGTERM in heard else 130
            what = f"{type(error).__name__}: {shorten(str(error), 80, placeholder=' …')}"
            met = "" if interrupted else f" (on the way there was {what})"
            if job.folder is None or not job.folder.exists():
                raise Stopped(f"interrupted{met}", code) from error
            told = f"stopped: {job.state()}; run the same command again to go on{met}"
            raise Stopped(told, code) from error
