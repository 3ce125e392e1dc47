"""How fast a folder grows, by when its shards were stored."""

from __future__ import annotations

from dataclasses import dataclass

from mutascope.store.folder import ScreenFolder
from mutascope.store.leases import holders

RECENT = 20
"""Units that a pace is taken over."""


@dataclass(frozen=True)
class Pace:
    """How fast.

    Attributes:
        units: the last ones, that it was taken over.
        mutants_per_second: by all processes together.
        processes: that show signs of life, or have died lately.
    """

    units: int
    mutants_per_second: float
    processes: int


def pace_of(folder: ScreenFolder) -> Pace | None:
    """Return the pace of a folder, None where fewer than two moments are known at which a unit was stored."""
    moments = sorted(folder.files.moments("records"))[-RECENT:]
    if len(moments) < 2 or moments[-1] <= moments[0]:
        return None
    size = folder.manifest().units.size
    rate = size * (len(moments) - 1) / (moments[-1] - moments[0])
    return Pace(len(moments), rate, holders(folder.files))
