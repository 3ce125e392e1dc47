"""Units: the slices of a plan that are run, stored and resumed as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from mutascope.assays.phenotype import PhenotypeReader
from mutascope.core.errors import Terminated
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Outcome, Session
from mutascope.core.schema import MUTANT_KEY, RECORD_SCHEMA
from mutascope.store import ScreenFolder, Shard
from mutascope.store.leases import Leases

Progress = Callable[[bool], None]
"""Called once per mutant, with whether it is silent."""
LOOK = 5.0
"""Seconds for which the list of finished units is good: a store may take long to answer for each unit."""


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

    Ten times as much at most: larger units leave many workers idle at the end (docs/guide/cluster.md, simulated).
    """
    return max(1, min(mutants, max(least, mutants // 1000), 10 * least))


def run_units(
    names: Sequence[str],
    mutants: Callable[[str], list[Mutant]],
    session: Session,
    reader: PhenotypeReader,
    folder: ScreenFolder,
    progress: Progress | None,
    stopped: Callable[[], bool],
) -> int:
    """Run units, storing each in design order as soon as its last mutant is done; return the number of mutants run.

    The session is fed across the borders of units, so that small units do not starve its batches. A unit that another
    process holds is left to it; at the end, it is waited for, or run here if its holder dies. What an interrupt finds
    done of units that are not is kept, and not run again.

    Args:
        names: of units.
        mutants: of a unit.
        session: runs the mutants.
        reader: of the assay.
        folder: gets the units.
        progress: is told of every mutant, those that others run included; None: of no interest.
        stopped: asked after every mutant; what is done is kept where it says so.
    """
    folder.parts.tidy()
    with Leases(folder.files) as leases:
        running = _Running(reader, folder, leases, progress, stopped)
        try:
            ran = 0
            while names:
                ran += sum(running.take(outcome) for outcome in session.run(running.feed(names, mutants)))
                names, running.elsewhere = running.elsewhere, []
                if names:
                    leases.wait()
            return ran
        except BaseException:
            running.keep()
            folder.parts.tidy()
            raise


class _Running:
    """The units whose mutants are being run.

    Attributes:
        elsewhere: names of units that other processes hold.
    """

    def __init__(
        self,
        reader: PhenotypeReader,
        folder: ScreenFolder,
        leases: Leases,
        progress: Progress | None,
        stopped: Callable[[], bool],
    ) -> None:
        self.reader, self.folder, self.leases, self.progress = reader, folder, leases, progress
        self.stopped = stopped
        self.finished, self.looked = set[str](), -LOOK
        self.elsewhere: list[str] = []
        self.open: list[_Unit] = []
        self.home: dict[Mutant, _Unit] = {}

    def feed(self, names: Sequence[str], mutants: Callable[[str], list[Mutant]]) -> Iterator[Mutant]:
        """Yield the mutants that are missing, opening units one by one."""
        for name in names:
            if self._was_finished(name):
                self._count_elsewhere(name)
                continue
            if not self.leases.take(name):
                self.elsewhere.append(name)
                continue
            if self.folder.is_finished(name):  # between the look and the lease
                self.leases.release(name)
                self._count_elsewhere(name)
                continue
            unit = _Unit(name, mutants(name), _usable(self.folder.parts.read(name), self.reader))
            self.open.append(unit)
            self._count(unit.known["silent"])
            if not unit.missing:
                self._close(unit)
            self.home.update(dict.fromkeys(unit.missing, unit))
            yield from unit.missing

    def take(self, outcome: Outcome) -> int:
        """Note an outcome, store its unit when it is the last one, and return 1."""
        unit = self.home.pop(outcome.mutant)
        unit.outcomes[outcome.mutant] = outcome
        if len(unit.outcomes) == len(unit.missing):
            self._close(unit)
        if self.progress is not None:
            self.progress(self.reader.is_silent(outcome))
        if self.stopped():
            raise Terminated
        return 1

    def keep(self) -> None:
        """Store what is done of units that are not."""
        for unit in self.open:
            if unit.outcomes and not self.folder.is_finished(unit.name):
                self.folder.parts.write(unit.name, unit.shard(self.reader))

    def _was_finished(self, name: str) -> bool:
        if name not in self.finished and time.monotonic() - self.looked >= LOOK:
            self.finished, self.looked = self.folder.finished_units(), time.monotonic()
        return name in self.finished

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
