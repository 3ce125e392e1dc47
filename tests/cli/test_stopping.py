"""What is said of an interrupted job, whatever the library that was at work makes of the signal."""

from __future__ import annotations

import gc
import os
import signal
import time
from contextlib import suppress

import pytest

from mutascope import MutascopeError, Screen
from mutascope.cli.stopping import resumable
from mutascope.core import stopping
from mutascope.core.errors import Stopped, Terminated
from mutascope.run.spec import ScreenSpec
from mutascope.store.files import Files
from mutascope.store.leases import Leases
from processes import run_command, start_function


class Panic(BaseException):
    """What polars raises where an interrupt comes while it looks for numpy's functions."""


def interrupt(number: int, turned_into: BaseException) -> None:
    """Have a signal come in a library that raises something else then."""
    try:
        os.kill(os.getpid(), number)
        time.sleep(5)
    except KeyboardInterrupt:
        raise turned_into from None


def lose(number: int) -> None:
    """Have a signal come in a library that goes on."""
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), number)
        time.sleep(5)


def lose_and_screen(said: str) -> None:
    """Be a command that gets an interrupt, and loses it, before it knows its job."""
    make = Screen.from_spec

    def made(spec: ScreenSpec) -> Screen:
        lose(signal.SIGINT)
        return make(spec)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Screen, "from_spec", made)
        run_command(["screen", "--model", "nobody", "--assay", "drosophila"], said)


@pytest.mark.parametrize("error", [Panic, RuntimeError, SystemError, OSError])
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stays_one_whatever_it_is_turned_into(number, code, error):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    said = rf"^interrupted \(on the way there was {error.__name__}: made of it\)$"
    with pytest.raises(Stopped, match=said) as told, resumable(Screen("nobody", "drosophila")):
        interrupt(number, error("made of it"))
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


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_was_lost_is_found_at_the_end(number, code):
    with pytest.raises(Stopped, match=r"^interrupted$") as told, resumable(Screen("nobody", "drosophila")):
        lose(number)
    assert told.value.exit_code == code
    stopping.check()  # nothing is left for another job


class Finalized:
    """Gets a signal when it is forgotten."""

    def __del__(self) -> None:
        self.kill()

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_what_a_finalizer_would_lose_is_kept_and_python_has_nothing_to_print():
    with stopping.hearing(signal.SIGINT):
        Finalized()  # pytest fails where a finalizer raises
        gc.collect()
        with pytest.raises(KeyboardInterrupt):
            stopping.check()


def test_what_was_lost_before_a_job_begins_stops_it():
    begun = False
    with stopping.hearing(signal.SIGINT):
        lose(signal.SIGINT)
        with pytest.raises(Stopped, match=r"^interrupted$"), resumable(Screen("nobody", "drosophila")):
            begun = True
    assert not begun


def test_an_interrupt_that_is_lost_while_modules_are_imported_stops_the_command(tmp_path):
    process = start_function(lose_and_screen, str(tmp_path / "said"))
    assert process.wait() == 130
    assert (tmp_path / "said").read_text().endswith("mutascope: interrupted\n")


def test_who_waits_for_others_stops_too(tmp_path):
    leases = Leases(Files(str(tmp_path)))
    with stopping.hearing(signal.SIGTERM):
        lose(signal.SIGTERM)
        with pytest.raises(Terminated):
            leases.wait()


def test_an_interrupt_that_the_shell_has_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with resumable(Screen("nobody", "drosophila")):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
