"""Run the units of a screen one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from mutascope.assays.phenotype import PhenotypeReader
from mutascope.core.design import MUTANT_COLUMNS, Plan
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Outcome, Session
from mutascope.core.schema import RECORD_SCHEMA
from mutascope.store import ScreenFolder, Shard

Progress = Callable[[bool], None]
"""Called once per mutant, with whether it is silent."""


@dataclass(frozen=True)
class Units:
    """The slices of a plan that are run, stored and resumed as one.

    Attributes:
        mutants: number of mutants of the plan.
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
    """Return the mutants per unit: ``least`` (about a minute's work), more where there would be over 1,000 units."""
    return max(1, min(mutants, max(least, mutants // 1000), 16 * least))


def run_units(
    pending: Sequence[str],
    plan: Plan,
    units: Units,
    session: Session,
    reader: PhenotypeReader,
    folder: ScreenFolder,
    progress: Progress,
) -> int:
    """Run units, storing each in design order as soon as its last mutant is done; return the number of mutants run.

    The session is fed across the borders of units, so that small units do not starve its batches. What an interrupt
    finds done of units that are not is kept, and not run again.
    """
    home: dict[Mutant, _Unit] = {}
    open_units: list[_Unit] = []
    count = 0
    folder.tidy_parts()

    def close(unit: _Unit) -> None:
        folder.write_unit(unit.name, unit.shard(reader))
        open_units.remove(unit)

    def feed() -> Iterator[Mutant]:
        for name in pending:
            unit = _Unit(name, plan.mutants(*units.span(name)), _usable(folder.part(name), reader))
            open_units.append(unit)
            for silent in unit.known["silent"]:
                progress(silent)
            if not unit.missing:
                close(unit)
            home.update(dict.fromkeys(unit.missing, unit))
            yield from unit.missing

    try:
        for outcome in session.run(feed()):
            unit = home.pop(outcome.mutant)
            unit.outcomes[outcome.mutant] = outcome
            count += 1
            if len(unit.outcomes) == len(unit.missing):
                close(unit)
            progress(reader.is_silent(outcome))
    except BaseException:
        for unit in open_units:
            if unit.outcomes and unit.name not in folder.finished_units():
                folder.write_part(unit.name, unit.shard(reader))
        folder.tidy_parts()
        raise
    return count


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
        stored = {Mutant(*row) for row in self.known.select(MUTANT_COLUMNS).iter_rows()}
        self.missing = [mutant for mutant in mutants if mutant not in stored]
        self.outcomes: dict[Mutant, Outcome] = {}

    def shard(self, reader: PhenotypeReader) -> Shard:
        """Return what is stored of all mutants that are done, in design order."""
        done = [self.outcomes[mutant] for mutant in self.missing if mutant in self.outcomes]
        if self.part is not None and not done:
            return self.part
        fresh = reader.shard(done)
        if self.part is None:
            return fresh
        order = pl.DataFrame(self.mutants).select(
            pl.col(name).cast(RECORD_SCHEMA[name]) for name in MUTANT_COLUMNS
        )
        both = zip(self.part.tables(), fresh.tables(), strict=True)
        tables = {
            kind: pl.concat([older, newer], how="diagonal_relaxed") for (kind, older), (_, newer) in both
        }
        for kind in tables.keys() - {"phenotypes"}:
            tables[kind] = order.join(
                tables[kind], on=MUTANT_COLUMNS, how="inner", maintain_order="left_right"
            )
        tables["phenotypes"] = tables["phenotypes"].unique("phenotype", keep="first", maintain_order=True)
        return Shard(**tables)
