"""Run the units of a job on a Ray cluster (extra ``ray``): an actor per GPU, or per some cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import torch

from mutascope.core import cores
from mutascope.core.errors import MutascopeError, Terminated
from mutascope.run.executors.crew import Crew, Death, Worker
from mutascope.run.work import Work


class RayActors(Crew):
    """Actors on the nodes of a Ray cluster, which all must see the folder. Each holds the model.

    Args:
        workers: how many; by default one per GPU of the cluster, one per node where it has none.
        address: of the cluster, as of ``ray.init``; by default the one that this machine belongs to, or a new one here.

    Raises:
        MutascopeError: when Ray is not installed, or the cluster is out of reach.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self.ray = _connect(address)
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        gpus = sum(int(node.get("GPU", 0)) for node in nodes)
        super().__init__(workers or gpus or len(nodes))
        widest = int(min(node.get("CPU", 1) for node in nodes))
        share = int(sum(node.get("CPU", 1) for node in nodes)) // self.workers
        per_gpu = min(1.0, gpus / self.workers)
        self._room = {"num_gpus": per_gpu} if gpus else {"num_cpus": max(1, min(widest, share))}

    def start(self, work: Work, names: Sequence[str], place: int) -> _Remote:
        """Start an actor, as soon as there is room for it."""
        return _Remote(self.ray, work, names, self._room)

    def wait(self, workers: Sequence[Worker], seconds: float) -> None:
        """Wait for the first actor to end."""
        self.ray.wait([worker.ran for worker in workers if isinstance(worker, _Remote)], timeout=seconds)


class _Remote:
    """An actor, seen from the driver."""

    def __init__(self, ray: Any, work: Work, names: Sequence[str], room: dict[str, Any]) -> None:
        self._ray = ray
        options = {"max_restarts": 0, "max_concurrency": 2, **room}
        self._actor = ray.remote(_Actor).options(**options).remote(os.getcwd(), room.get("num_cpus"))
        self._is_up = self._actor.is_up.remote()
        self.ran = self._actor.run.remote(work, names)

    def ended(self) -> bool:
        """Whether it has run its units; raises Death, or MutascopeError for what it said."""
        if not self._ray.wait([self.ran], timeout=0)[0]:
            return False
        try:
            said = self._ray.get(self.ran)
        except self._ray.exceptions.RayError as error:
            raise Death(str(error).strip().partition("\n")[0]) from None
        if said is not None:
            raise MutascopeError(said)
        return True

    def tell_to_stop(self) -> None:
        """Have it stop at its next mutant."""
        self._actor.stop.remote()

    def wait(self, seconds: float) -> None:
        """Wait for the end, and kill it after some seconds, at once where it has not begun."""
        if self._ray.wait([self._is_up], timeout=0)[0]:
            self._ray.wait([self.ran], timeout=seconds)
        self._ray.kill(self._actor)


class _Actor:
    """Runs units on a node, in one thread, and is told to stop in another."""

    def __init__(self, folder: str, cpus: int | None) -> None:
        with suppress(OSError):  # on another machine, where relative paths are none of the driver's
            os.chdir(folder)
        if cpus is not None:
            cores.share(max(1, cores.available_cores() // cpus))
            torch.set_num_threads(cpus)
        self._stopped = False

    def is_up(self) -> bool:
        """Whether it has begun."""
        return True

    def run(self, work: Work, names: Sequence[str]) -> str | None:
        """Run units, and return why that is refused, None where it is not."""
        try:
            work.run_units(names, stopped=lambda: self._stopped)
        except MutascopeError as error:
            return str(error)
        except Terminated:
            pass
        return None

    def stop(self) -> None:
        """Stop at the next mutant, and keep what is done."""
        self._stopped = True


def _connect(address: str | None) -> Any:
    """Return Ray, connected, with usage reporting off and the handler of SIGTERM as it was."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray = import_module("ray")
    except ImportError:
        raise MutascopeError(
            "--executor ray needs the extra ray: pip install 'mutascope[ray]', on every node"
        ) from None
    if not ray.is_initialized():
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise MutascopeError(f"the Ray cluster {address or ''} is out of reach: {reason}") from error
        _restore(handler)
    return ray


def _restore(handler: Any) -> None:
    with suppress(ValueError):  # not the main thread, where no handler can have changed
        signal.signal(signal.SIGTERM, handler)
