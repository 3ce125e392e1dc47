"""Units: the slices of a plan that are run, stored and resumed as one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from mutascope.assays.phenotype import PhenotypeReader
from mutascope.core import stopping
from mutascope.core.design import Plan
from mutascope.core.errors import Terminated
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Outcome, Session
from mutascope.core.schema import MUTANT_KEY, RECORD_SCHEMA
from mutascope.store import ScreenFolder, Shard
from mutascope.store.leases import Leases, holders

Progress = Callable[[bool], None]
"""Called once per mutant, with whether it is silent."""
LOOK = 5.0
"""Seconds for which a list of what is stored and held is good: a store may take long to answer for each unit."""


@dataclass(frozen=True)
class Units:
    """The units of a list of mutants.

    Attributes:
        mutants: how many there are.
        size: mutants per unit; the last unit may be smaller.
    """

    mutants: int
    size: int

    def sizes(self) -> dict[str, int]:
        """Return the number of mutants by unit name, in design order."""
        starts = range(0, self.mutants, self.size)
        return {f"{i:06d}": min(self.size, self.mutants - start) for i, start in enumerate(starts)}

    def span(self, unit: str) -> tuple[int, int]:
        """Return the first position of a unit in the design order, and the position after its last."""
        start = int(unit) * self.size
        return start, min(start + self.size, self.mutants)


def unit_size(mutants: int, least: int) -> int:
    """Return the mutants per unit: ``least`` (about a minute's work), more where there would be over 1,000 units.

    Ten times as much at most: larger units leave many workers idle at the end (docs/reference/clusters.md, simulated).
    """
    return max(1, min(mutants, max(least, mutants // 1000), 10 * least))


def run_units(
    names: Sequence[str],
    plan: Plan,
    units: Units,
    session: Session,
    reader: PhenotypeReader,
    folder: ScreenFolder,
    leases: Leases,
    progress: Progress | None,
    stopped: Callable[[], bool],
) -> int:
    """Run units, storing each in design order as soon as its last mutant is done; return the number of mutants run.

    The session is fed across the borders of units, so that small units do not starve its batches, and no more than this
    process' share of what nobody holds, so that its batches do not starve others. A unit that another process holds is
    left to it; at the end, it is waited for, or run here if its holder dies. What an interrupt finds done of units that
    are not is kept, and not run again.

    Args:
        names: of units.
        plan: the mutants of the folder.
        units: of these.
        session: runs the mutants.
        reader: of the assay.
        folder: gets the units.
        leases: of this process.
        progress: is told of every mutant, those that others run included; None: of no interest.
        stopped: asked after every mutant; what is done is kept where it says so.
    """
    folder.parts.tidy()
    running = _Running(plan, units, reader, folder, leases, progress, stopped)
    try:
        ran = 0
        while names:
            now = sum(running.take(outcome) for outcome in session.run(running.feed(names)))
            names, running.left = running.left, []
            if names and not now:
                leases.wait()
            ran += now
        return ran
    except BaseException:
        running.keep()
        folder.parts.tidy()
        raise


class _Running:
    """The units whose mutants are being run.

    Attributes:
        left: names of units that other processes hold, or are to have.
    """

    def __init__(
        self,
        plan: Plan,
        units: Units,
        reader: PhenotypeReader,
        folder: ScreenFolder,
        leases: Leases,
        progress: Progress | None,
        stopped: Callable[[], bool],
    ) -> None:
        self.plan, self.units, self.reader, self.folder = plan, units, reader, folder
        self.leases, self.progress, self.stopped = leases, progress, stopped
        self.finished, self.held, self.room, self.looked = set[str](), set[str](), 0.0, -LOOK
        self.left: list[str] = []
        self.open: list[_Unit] = []
        self.home: dict[Mutant, _Unit] = {}

    def feed(self, names: Sequence[str]) -> Iterator[Mutant]:
        """Yield the mutants that are missing, opening units one by one."""
        for place, name in enumerate(names):
            self._look()
            if name in self.finished:
                self._count_elsewhere(name)
                continue
            if self.room < 1 and name not in self.held:
                self.left += names[place:]
                self.looked = -LOOK
                return
            if not self.leases.take(name):
                self.left.append(name)
                continue
            if self.folder.is_finished(name):  # between the look and the lease
                self.leases.release(name)
                self._count_elsewhere(name)
                continue
            self.room -= name not in self.held  # what a dead process left is nobody's share
            yield from self._opened(name).missing

    def take(self, outcome: Outcome) -> int:
        """Note an outcome, store its unit when it is the last one, and return 1."""
        unit = self.home.pop(outcome.mutant)
        unit.outcomes[outcome.mutant] = outcome
        if len(unit.outcomes) == len(unit.missing):
            self._close(unit)
        if self.progress is not None:
            self.progress(self.reader.is_silent(outcome))
        stopping.check()
        if self.stopped():
            raise Terminated
        return 1

    def keep(self) -> None:
        """Store what is done of units that are not."""
        for unit in self.open:
            if unit.outcomes and not self.folder.is_finished(unit.name):
                self.folder.parts.write(unit.name, unit.shard(self.reader))

    def _look(self) -> None:
        """See now and then what is stored and held, and how many units this process may take until the next look."""
        if time.monotonic() - self.looked < LOOK:
            return
        self.finished, self.room, self.looked = self.folder.finished_units(), math.inf, time.monotonic()
        processes = holders(self.folder.files)
        if processes > 1:
            self.held = self.leases.names()
            free = self.units.sizes().keys() - self.finished - self.held
            self.room = math.ceil(len(free) / processes)

    def _opened(self, name: str) -> _Unit:
        mutants = self.plan.mutants(*self.units.span(name))
        unit = _Unit(name, mutants, _usable(self.folder.parts.read(name), self.reader))
        self.open.append(unit)
        self._count(unit.known["silent"])
        if not unit.missing:
            self._close(unit)
        self.home.update(dict.fromkeys(unit.missing, unit))
        return unit

    def _count_elsewhere(self, name: str) -> None:
        if self.progress is not None:
            self._count(self.folder.silent([name]))

    def _count(self, silent: pl.Series) -> None:
        if self.progress is not None:
            for each in silent:
                self.progress(each)

    def _close(self, unit: _Unit) -> None:
        self.folder.write_unit(unit.name, unit.shard(self.reader))
        self.open.remove(unit)
        self.leases.release(unit.name)


def _usable(part: Shard | None, reader: PhenotypeReader) -> Shard | None:
    """Return what an interrupted run has stored of a unit, if all of its tables are there."""
    return part if part and (part.outputs is not None) == reader.assay.keeps_outputs else None


class _Unit:
    """A unit that is being run.

    Attributes:
        known: records of an earlier run that was interrupted.
        missing: mutants that these lack.
        outcomes: of those that are done.
    """

    def __init__(self, name: str, mutants: Sequence[Mutant], part: Shard | None) -> None:
        self.name, self.mutants, self.part = name, mutants, part
        self.known = pl.DataFrame(schema=RECORD_SCHEMA) if part is None else part.records
        stored = {Mutant(*row) for row in self.known.select(MUTANT_KEY).iter_rows()}
        self.missing = [mutant for mutant in mutants if mutant not in stored]
        self.outcomes: dict[Mutant, Outcome] = {}

    def shard(self, reader: PhenotypeReader) -> Shard:
        """Return what is stored of all mutants that are done, in design order."""
        done = [self.outcomes[mutant] for mutant in self.missing if mutant in self.outcomes]
        if self.part is not None and not done:
            return self.part
        fresh = reader.shard(done)
        return fresh if self.part is None else self._joined(self.part, fresh)

    def _joined(self, part: Shard, fresh: Shard) -> Shard:
        order = pl.DataFrame(self.mutants).select(
            pl.col(name).cast(RECORD_SCHEMA[name]) for name in MUTANT_KEY
        )
        both = zip(part.tables(), fresh.tables(), strict=True)
        tables = {
            kind: pl.concat([older, newer], how="diagonal_relaxed") for (kind, older), (_, newer) in both
        }
        for kind in tables.keys() - {"phenotypes"}:
            tables[kind] = order.join(tables[kind], on=MUTANT_KEY, how="inner", maintain_order="left_right")
        tables["phenotypes"] = tables["phenotypes"].unique("phenotype", keep="first", maintain_order=True)
        return Shard(**tables)
