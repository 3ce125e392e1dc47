"""Shards: the share of a job that one of several processes runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mutascope.core.errors import MutascopeError

_SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
_SKYPILOT = ("SKYPILOT_JOB_RANK", "SKYPILOT_NUM_JOBS")


@dataclass(frozen=True)
class Shard:
    """Every ``of``-th unit and locus, from the ``number``-th on (from 1): early and late layers are in all shards."""

    number: int
    of: int

    def holds(self, index: int) -> bool:
        """Whether the unit or locus at a place, from 0, belongs to this shard."""
        return index % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def read_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """Return the shard of ``3/64``, or for ``auto`` that of the Slurm array or SkyPilot job that this process is in.

    Raises:
        MutascopeError: for another text, and for ``auto`` where the environment does not say which shard of how many.

    >>> read_shard("auto", {"SKYPILOT_JOB_RANK": "2", "SKYPILOT_NUM_JOBS": "64"})
    Shard(number=3, of=64)
    """
    if text == "auto":
        return _from_environment(environment)
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if match is None:
        raise MutascopeError(
            f"--shard {text} is no shard: write 3/64, or auto in a Slurm array or SkyPilot job"
        )
    return _checked(int(match[1]), int(match[2]), f"--shard {text}")


def _from_environment(environment: Mapping[str, str]) -> Shard:
    for pair in (_SLURM, _SKYPILOT):
        known = [name for name in pair if name in environment]
        if len(known) == 1:
            missing = next(name for name in pair if name not in known)
            raise MutascopeError(f"--shard auto: {known[0]} is set, but not {missing}")
        if known:
            place, of = (_number(environment, name) for name in pair)
            if pair is _SLURM:  # an array may start anywhere, and go in steps
                first = _number(environment, "SLURM_ARRAY_TASK_MIN", 0)
                place = (place - first) // max(1, _number(environment, "SLURM_ARRAY_TASK_STEP", 1))
            return _checked(place + 1, of, f"--shard auto ({', '.join(pair)})")
    raise MutascopeError("--shard auto: this is neither a task of a Slurm array nor a SkyPilot job")


def _number(environment: Mapping[str, str], name: str, default: int = 0) -> int:
    try:
        return int(environment.get(name, default))
    except ValueError:
        raise MutascopeError(f"--shard auto: {name} is no number: {environment[name]}") from None


def _checked(number: int, of: int, where: str) -> Shard:
    if not 1 <= number <= of:
        raise MutascopeError(f"{where}: there is no shard {number} of {of}; they are numbered from 1")
    return Shard(number, of)
