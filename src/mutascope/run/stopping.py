"""Signals that ask this process to stop.

What a handler raises may be lost: in a finalizer Python prints it and goes on, and some libraries take it for an error
of their own. So a signal that came is kept here, too, and runs look for it after every mutant.
"""

from __future__ import annotations

from mutascope.core.errors import Terminated

HEARD: list[int] = []
"""Signals that came since the job of this process began."""


def check() -> None:
    """Raise Terminated where a signal has asked this process to stop."""
    if HEARD:
        raise Terminated
