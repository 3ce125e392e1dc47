"""A screen that is disturbed at random moments by real signals, and what it is like when nobody disturbs it."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from builders import tiny_model
from mutascope import Design, Screen, ScreenData, TextAssay
from mutascope.cli.stopping import resumable
from mutascope.core.errors import MutascopeError, Stopped
from mutascope.engine.reference import ReferenceSession
from mutascope.run.executors import crew
from mutascope.run.executors.choice import choose_executor
from mutascope.store import ScreenFolder, leases
from processes import Process, is_forked, server_address, share_server, start_function

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=3, temperature=0.7)
DESIGN = Design(kinds=("v", "down"), sample=64)
MUTANTS = 128


def hurry() -> None:
    """Look at leases and workers twenty times a second."""
    leases.POLL = leases.BEAT = crew.LOOK = 0.05


class SlowScreen(Screen):
    """A screen whose mutants take a while, in whatever process they are run."""

    def run_units(self, names: Sequence[str], *how: Any, **more: Any) -> int:
        hurry()
        if ReferenceSession.run is not _run_slowly:
            ReferenceSession.run = _run_slowly
        return super().run_units(names, *how, **more)


class JumpyScreen(SlowScreen):
    """A slow screen on machines whose clocks jump by years."""

    def run_units(self, names: Sequence[str], *how: Any, **more: Any) -> int:
        time.time = lambda: random.uniform(0, 4e9)
        return super().run_units(names, *how, **more)


class DeadlyScreen(Screen):
    """A screen whose workers are killed."""

    def run_units(self, names: Sequence[str], *how: Any, **more: Any) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0


class RefusedScreen(Screen):
    """A screen whose workers refuse."""

    def run_units(self, names: Sequence[str], *how: Any, **more: Any) -> int:
        raise MutascopeError("this worker cannot: it was told so")


_run = ReferenceSession.run


def _run_slowly(self, mutants):
    for outcome in _run(self, mutants):
        time.sleep(0.005)
        yield outcome


def drive(model: str, out: str, workers: int, server: str, stderr: str, kind: type[Screen]) -> None:
    """Run or go on with the screen, with workers from a fork server."""
    try:
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        share_server(server)
        hurry()
        screen = kind(model, TALE, DESIGN, tile=8, engine="reference")
        with resumable(screen):
            screen.run(out, quiet=True, executor=choose_executor(workers=workers))
        code = 0
    except Stopped as stop:
        code = stop.exit_code
    except KeyboardInterrupt:  # before there was anything to go on with
        code = 130
    except MutascopeError as error:
        print(error, file=sys.stderr, flush=True)
        code = error.exit_code
    os._exit(code)  # without multiprocessing, which would make a traceback of a signal that comes now


class Ground:
    """Where a screen is disturbed.

    Attributes:
        whole: the screen when nobody disturbs it.
    """

    def __init__(self, folder: Path) -> None:
        self.model, self.whole = str(tiny_model(folder / "model", "llama")), folder / "whole"
        Screen(self.model, TALE, DESIGN, tile=8, engine="reference").run(self.whole, quiet=True)
        self._stderr = folder / "stderr"
        self.shards = {path.name: path.read_bytes() for path in (self.whole / "records").iterdir()}

    def start(self, out: Path, workers: int, kind: type[Screen] = SlowScreen) -> Process:
        """Start a driver."""
        self._stderr.unlink(missing_ok=True)
        return start_function(drive, self.model, str(out), workers, server_address(), str(self._stderr), kind)

    @property
    def driven(self) -> bool:
        """Whether the last driver is beyond the start of its process."""
        return self._stderr.exists()

    @property
    def said(self) -> str:
        """What the last driver said on standard error."""
        return self._stderr.read_text()

    def check(self, out: Path) -> None:
        """Assert that the records are those of the undisturbed run: none missing, none twice; nothing is left over."""
        mine = ScreenData(out)
        assert mine.finished
        assert mine.records().equals(ScreenData(self.whole).records())
        shown = (out / "records").glob("[!.]*")  # a kill leaves scratch files
        assert {path.name: path.read_bytes() for path in shown} == self.shards
        assert [path for path in (out / "partial").rglob("[!.]*") if path.is_file()] == []

    def check_unfinished(self, out: Path) -> None:
        """Assert that what is there can be read, is of the screen, and is not called finished for want of any."""
        if not ScreenFolder(out).exists():
            return
        mine = ScreenData(out)
        assert len(mine.records()) == mine.done
        assert mine.finished <= (mine.done == MUTANTS)

    def disturb(self, folder: Path, faults: int, draw: random.Random, longest: float = 0.5) -> None:
        """Do harm to drivers and workers at random moments, with a new driver where one ends; then check.

        Args:
            folder: of the screens, a new one where one is finished before all faults were made.
            faults: how many.
            draw: which, and when.
            longest: seconds between two of them.
        """
        attempt, workers, driver, out = 0, 3, None, folder / "0"
        while faults:
            driver = driver or self.start(out, workers)
            time.sleep(draw.uniform(0, longest))
            faults -= self.driven and draw.choice(FAULTS)(driver, out, draw)
            if driver.running:
                continue
            code = driver.wait()
            assert code in (0, 2, -9, -15, 130, 143), (code, self.said)
            driver = None
            self.check_unfinished(out)
            if code == 0:
                self.check(out)
                attempt += 1
                out = folder / str(attempt)
        if driver is None or driver.wait() != 0:
            assert self.start(out, workers).wait() == 0
        self.check(out)


def holders(out: Path) -> list[int]:
    """Process ids of those who show signs of life in a folder."""
    found = []
    for path in (out / "leases" / "holders").glob("[!.]*"):
        try:
            found.append(int(path.read_text().split()[1]))
        except (FileNotFoundError, IndexError):
            continue
    return found


def to_worker(number: int) -> Callable[[Process, Path, random.Random], bool]:
    """Return what sends a signal to a worker, if there is one."""

    def harm(driver: Process, out: Path, draw: random.Random) -> bool:
        workers = [pid for pid in holders(out) if pid != driver.pid and is_forked(pid)]  # ids are used again
        if not workers:
            return False
        return signalled(draw.choice(workers), number)

    return harm


def to_driver(number: int) -> Callable[[Process, Path, random.Random], bool]:
    """Return what sends a signal to the driver."""

    def harm(driver: Process, out: Path, draw: random.Random) -> bool:
        return driver.running and signalled(driver.pid, number)  # not waited for, so that its id is its own

    return harm


def signalled(process: int, number: int) -> bool:
    """Send a signal to a process, by its id; return whether there was one."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


FAULTS = [
    *3 * [to_worker(signal.SIGKILL)],
    to_worker(signal.SIGTERM),
    to_driver(signal.SIGKILL),
    to_driver(signal.SIGTERM),
    to_driver(signal.SIGINT),
]
