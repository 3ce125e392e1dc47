"""Run the units of a screen one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mutascope.design import Plan
from mutascope.phenotypes import PhenotypeReader
from mutascope.readout import Engine
from mutascope.store import ScreenFolder

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


def run_unit(
    unit: str,
    plan: Plan,
    units: Units,
    engine: Engine,
    reader: PhenotypeReader,
    folder: ScreenFolder,
    progress: Progress,
) -> None:
    """Run the mutants of one unit and store them in design order."""
    mutants = plan.mutants(*units.span(unit))
    outcomes = {}
    for outcome in engine.run(reader.assay.prompts, reader.assay.readout, mutants):
        outcomes[outcome.mutant] = outcome
        progress(reader.is_silent(outcome))
    folder.write_unit(unit, reader.shard([outcomes[mutant] for mutant in mutants]))


def run_units(
    pending: Sequence[str],
    plan: Plan,
    units: Units,
    engine: Engine,
    reader: PhenotypeReader,
    folder: ScreenFolder,
    progress: Progress,
) -> None:
    """Run units in order; an interrupt loses the unit in flight and nothing else."""
    for unit in pending:
        run_unit(unit, plan, units, engine, reader, folder, progress)
