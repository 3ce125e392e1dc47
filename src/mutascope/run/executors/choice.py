"""Which executor options ask for."""

from __future__ import annotations

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import check_name
from mutascope.run.executors.local import run_local
from mutascope.run.executors.processes import Processes
from mutascope.run.executors.ray_cluster import RayActors
from mutascope.run.work import Executor

EXECUTORS = ("local", "ray")


def choose_executor(name: str = "local", workers: int | None = None, address: str | None = None) -> Executor:
    """Return an executor.

    Args:
        name: ``local`` or ``ray``.
        workers: how many; by default this process alone, or what the Ray cluster has room for.
        address: of a Ray cluster.

    Raises:
        MutascopeError: for an unknown name, an address without Ray, and where there is no such cluster.
    """
    check_name("executor", name, list(EXECUTORS))
    if name == "ray":
        return RayActors(workers, address)
    if address is not None:
        raise MutascopeError("--address is that of a Ray cluster: give --executor ray too")
    return run_local if workers in (None, 1) else Processes(workers)
