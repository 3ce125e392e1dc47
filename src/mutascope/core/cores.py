"""How many processor cores, and how much memory, this process may use."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_sharers = 1


def share(processes: int) -> None:
    """Leave this process its part of the cores and the memory, which it shares with as many others like it."""
    global _sharers
    _sharers = processes


def available_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the cores that this process may run on, no more than a quota of its control group pays for, at least 1.

    Args:
        cgroup: folder of the control group, version 2, or of all controllers of version 1.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, int(cores if quota is None else min(cores, quota)) // _sharers)


@cache
def _quota(cgroup: Path) -> float | None:
    """Return the cores that a control group pays for, None where it has no limit; looked up once, as it is asked for
    before every call of a mutant.
    """
    try:
        words = (cgroup / "cpu.max").read_text().split()
    except OSError:
        try:
            words = [(cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")]
        except OSError:
            return None
    quota, period = words
    return None if quota == "max" or int(quota) <= 0 else int(quota) / int(period)


def available_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the main memory that this process can have without swapping, in bytes.

    No more than the control group has left.

    Args:
        cgroup: folder of the control group, version 2.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        whole = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    try:
        most, used, told = ((cgroup / f"memory.{name}").read_text() for name in ("max", "current", "stat"))
    except OSError:
        return whole // _sharers
    if most.strip() == "max":
        return whole // _sharers
    cached = dict(line.split() for line in told.splitlines()).get(
        "inactive_file", 0
    )  # given back when needed
    return max(0, min(whole, int(most) - int(used) + int(cached))) // _sharers
