"""What is said of an interrupted job, whatever the library that was at work makes of the signal."""

from __future__ import annotations

import os
import signal
import time

import pytest

from mutascope import MutascopeError, Screen
from mutascope.cli.stopping import resumable
from mutascope.core.errors import Stopped


class Panic(BaseException):
    """What polars raises where an interrupt comes while it looks for numpy's functions."""


def interrupt(number: int, turned_into: BaseException) -> None:
    """Have a signal come in a library that raises something else then."""
    try:
        os.kill(os.getpid(), number)
        time.sleep(5)
    except KeyboardInterrupt:
        raise turned_into from None


@pytest.mark.parametrize("error", [Panic, RuntimeError, SystemError, OSError])
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stays_one_whatever_it_is_turned_into(number, code, error):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match=r"^interrupted$") as told, resumable(Screen("nobody", "drosophila")):
        interrupt(number, error())
    assert told.value.exit_code == code
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


@pytest.mark.parametrize("error", [Panic, MutascopeError, ZeroDivisionError])
def test_what_no_signal_has_caused_is_left_as_it_is(error):
    with pytest.raises(error), resumable(Screen("nobody", "drosophila")):
        raise error


def test_an_error_that_follows_a_signal_is_told():
    """The disk is full when what is done shall be stored."""
    with pytest.raises(MutascopeError, match="no space"), resumable(Screen("nobody", "drosophila")):
        interrupt(signal.SIGTERM, MutascopeError("no space"))


def test_an_interrupt_that_the_shell_has_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with resumable(Screen("nobody", "drosophila")):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
