"""Run the units of a job in several processes on this machine: one per GPU, or sharing the cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from types import FrameType

import torch

from mutascope.core import cores, stopping
from mutascope.core.errors import MutascopeError
from mutascope.run.executors.crew import Crew, Death, Worker
from mutascope.run.work import Work

_CONTEXT = multiprocessing.get_context("forkserver")  # a fork of a process with threads or CUDA may hang
_CONTEXT.set_forkserver_preload(["mutascope.run.screen", "mutascope.run.prediction"])


class Processes(Crew):
    """Workers on this machine, each on a GPU; without any, they share the cores."""

    def start(self, work: Work, names: Sequence[str], place: int) -> _Process:
        """Start the process of a place."""
        return _Process(work, names, _gpu(place, work.spec.device), self.workers)

    def wait(self, workers: Sequence[Worker], seconds: float) -> None:
        """Wait for the first process to end."""
        wait([worker.process.sentinel for worker in workers if isinstance(worker, _Process)], seconds)


class _Process:
    """A worker process."""

    def __init__(self, work: Work, names: Sequence[str], gpu: str | None, of: int) -> None:
        self._said, said = _CONTEXT.Pipe(duplex=False)
        arguments = (work, names, gpu, of, said)
        self.process = _CONTEXT.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        said.close()

    def ended(self) -> bool:
        """Whether it has run its units; raises Death, or MutascopeError for what it said."""
        code = self.process.exitcode
        if code is None:
            return False
        if code == MutascopeError.exit_code and self._said.poll():
            raise MutascopeError(self._said.recv_bytes().decode())
        if code:
            raise Death(f"the last one of {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")
        return True

    def tell_to_stop(self) -> None:
        """Send SIGTERM."""
        self.process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end, and kill it after some seconds."""
        self.process.join(seconds)
        self.process.kill()
        self.process.join()


def _work(work: Work, names: Sequence[str], gpu: str | None, of: int, say: Connection) -> None:
    """Be a worker: run units, and say why that is refused where it is."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)
        threading.Thread(target=_stop_with_driver, daemon=True).start()
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        else:
            cores.share(of)
            torch.set_num_threads(min(torch.get_num_threads(), cores.available_cores()))
        work.run_units(names)
    except MutascopeError as error:
        if stopping.heard():  # which may have become this; it would end all workers
            sys.exit(143)
        say.send_bytes(str(error).encode())
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(143)


def _stop(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):  # another one would interrupt what is being stored
        signal.signal(each, signal.SIG_IGN)
    stopping.hear(number, frame)


def _stop_with_driver() -> None:
    """Stop this process when the driver has died."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _gpu(place: int, device: str | None) -> str | None:
    """Return what CUDA_VISIBLE_DEVICES is for a place, None where workers have no GPU each."""
    count = torch.cuda.device_count()
    if not count or device not in (None, "cuda"):
        return None
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = stated.split(",") if stated else [str(number) for number in range(count)]
    return names[place % count]
