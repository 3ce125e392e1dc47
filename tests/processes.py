"""Run ``mutascope`` in processes of their own that can be killed, without importing torch anew in each.

A fork server imports mutascope once; every process is forked from it, so that it starts in milliseconds and is as
mortal as any other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import mutascope.run.executors.processes  # noqa: F401 - names what it wants preloaded, in place of what was named before

_PRELOAD = [
    "mutascope.run.screen",
    "mutascope.cli.main",
    "transformers.models.llama.modeling_llama",
    "processes",
]
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(_PRELOAD)


def server_address() -> str:
    """Return where the fork server listens."""
    server: Any = forkserver._forkserver
    server.ensure_running()
    return server._forkserver_address


def is_forked(process: int) -> bool:
    """Whether a process, by its id, is one that the fork server has started, and lives."""
    server: Any = forkserver._forkserver
    try:
        rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(rest[1]) == server._forkserver_pid and rest[0] != "Z"


def share_server(address: str) -> None:
    """Have the processes that this one starts forked from a server that runs already; else it would start its own."""
    server: Any = forkserver._forkserver
    server._forkserver_address, server.ensure_running = address, lambda: None


def run_command(arguments: list[str], stderr: str) -> None:
    """Be ``mutascope ARGUMENTS``, with standard error in a file and no other output."""
    from mutascope.cli.main import main

    descriptor = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.argv = ["mutascope", *arguments]
    main()


class Process:
    """A running ``mutascope`` command, or a running function."""

    def __init__(self, process: BaseProcess, stderr: Path | None = None) -> None:
        self._process, self._stderr = process, stderr
        process.start()
        self.started = time.monotonic()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text() if self._stderr else ""

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 120) -> int:
        """Return the exit code, -9 after SIGKILL."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"still running after {timeout} seconds: {self.stderr}")
        return self._process.exitcode

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def wait_until(self, condition: Callable[[], bool], timeout: float = 120) -> None:
        """Wait for a condition that the running process brings about."""
        end = time.monotonic() + timeout
        while not condition():
            assert self.running, f"ended before the condition held: {self.stderr}"
            assert time.monotonic() < end, "the condition never held"
            time.sleep(0.005)


def start_command(*arguments: object, stderr: Path) -> Process:
    """Start ``mutascope ARGUMENTS`` with its standard error in a file."""
    return Process(_CONTEXT.Process(target=run_command, args=([*map(str, arguments)], str(stderr))), stderr)


def start_function(function: Callable[..., None], *arguments: object) -> Process:
    """Start an importable function."""
    return Process(_CONTEXT.Process(target=function, args=arguments))
