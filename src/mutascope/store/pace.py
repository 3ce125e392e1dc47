"""How fast a folder grows, by when its shards were stored, and what its processes use."""

from __future__ import annotations

from dataclasses import dataclass

from mutascope.store.folder import ScreenFolder
from mutascope.store.leases import BEAT, Sign, Usage, holders, signs

RECENT = 20
"""Units, or loci, that a pace is taken over."""


@dataclass(frozen=True)
class Pace:
    """How fast.

    Attributes:
        shards: the last ones, that it was taken over.
        per_second: mutants, or predicted loci, by all processes together.
        processes: that show signs of life, or have died lately.
        usage: the most memory of any of them, None where they do not say.
    """

    shards: int
    per_second: float
    processes: int
    usage: Usage | None

    @property
    def seconds_each(self) -> float:
        """Seconds of one process that a mutant, or a locus, takes; 0 where none is at work."""
        return self.processes / self.per_second


def pace_of(folder: ScreenFolder) -> Pace | None:
    """Return the pace of a screen in mutants, None where fewer than two moments are known at which a unit was stored.

    What was stored before the processes that are at work began does not count: nobody may have worked in between.
    """
    return _pace(folder, "records", folder.manifest().units.size)


def pace_of_loci(folder: ScreenFolder) -> Pace | None:
    """Return the pace of a prediction in loci, as :func:`pace_of`."""
    return _pace(folder, "predictions", 1)


def _pace(folder: ScreenFolder, kind: str, size: int) -> Pace | None:
    given, processes = signs(folder.files), holders(folder.files)
    begun = _begun(folder, given)
    moments = [at for at in sorted(folder.files.moments(kind).values())[-RECENT:] if at >= begun]
    if len(moments) < 2 or moments[-1] <= moments[0]:
        return None
    rate = size * (len(moments) - 1) / (moments[-1] - moments[0])
    return Pace(len(moments), rate, processes, _most([sign.usage for sign in given if sign.usage]))


def _begun(folder: ScreenFolder, given: list[Sign]) -> float:
    """Return when the first of the processes at work began, on the store's clock; 0 where there is none."""
    if not given:
        return 0.0
    last = max(folder.files.moments("leases/holders").values(), default=0.0)
    return last - BEAT * (1 + max(sign.count for sign in given))


def _most(used: list[Usage]) -> Usage | None:
    """Return the most main memory of any process, and the most of any card, with its name."""
    if not used:
        return None
    widest = max(used, key=lambda each: each.card_memory)
    return Usage(max(each.memory for each in used), widest.card_memory, widest.card)
