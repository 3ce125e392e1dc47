"""Signals that ask this process to stop.

What a handler raises may be lost: Python prints and forgets what a finalizer raises, and some libraries make an error
of their own of it. So the command line and its workers also keep what they hear, and runs look for it after every
mutant and wherever they wait.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mutascope.core.errors import Terminated

_heard: list[int] = []


def heard() -> tuple[int, ...]:
    """Return the numbers of the signals that :func:`hear` has got."""
    return tuple(_heard)


def check() -> None:
    """Raise where a signal has come: Terminated of SIGTERM, KeyboardInterrupt of an interrupt."""
    if _heard:
        raise _error(signal.SIGTERM if signal.SIGTERM in _heard else _heard[-1])


@contextmanager
def hearing(*numbers: int) -> Iterator[None]:
    """Keep signals that come meanwhile, and raise what :func:`check` does at each.

    A second SIGTERM is ignored: it would interrupt what is being stored. What the shell has ignored stays ignored. In
    another thread than the main one, where Python has no handlers, this does nothing.
    """
    here = threading.current_thread() is threading.main_thread()
    found = {number: signal.getsignal(number) for number in numbers if here}
    before = {number: handler for number, handler in found.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, hear)
        yield
    finally:
        try:
            for number, handler in before.items():
                signal.signal(number, handler)
        finally:
            _heard.clear()


def hear(number: int, frame: FrameType | None) -> None:
    """Handle a signal: keep it, and raise what :func:`check` does, but within finalizers, where it would be lost."""
    _heard.append(number)
    if number == signal.SIGTERM:
        signal.signal(number, signal.SIG_IGN)
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return
        frame = frame.f_back
    raise _error(number)


def _error(number: int) -> KeyboardInterrupt:
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
