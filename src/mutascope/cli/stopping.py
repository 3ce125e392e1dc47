"""What is said when a job is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mutascope.core.errors import MutascopeError, Stopped, Terminated
from mutascope.run.job import Job
from mutascope.run.stopping import HEARD


@contextmanager
def resumable(job: Job[Any]) -> Iterator[None]:
    """Turn an interrupt or SIGTERM of a job into a sentence: what is stored, and how to go on."""

    def stop(number: int, frame: FrameType | None) -> None:
        HEARD.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_IGN)  # a second one would interrupt what is being stored
        raise Terminated

    heard = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may have it ignored
        heard.append(signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    except BaseException as error:
        # a library that was at work may have made an error of its own of the signal; polars makes a panic of it
        if isinstance(error, MutascopeError) or not (HEARD or isinstance(error, KeyboardInterrupt)):
            raise
        code = 143 if signal.SIGTERM in HEARD else 130
        if job.folder is None or not job.folder.exists():
            raise Stopped("interrupted", code) from None
        raise Stopped(f"stopped: {job.state()}; run the same command again to go on", code) from None
    finally:
        HEARD.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
