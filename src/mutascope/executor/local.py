"""Run the units of a screen one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mutascope.design import Plan
from mutascope.genome import Mutant
from mutascope.phenotypes import PhenotypeReader
from mutascope.readout import Engine, Outcome
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


def unit_size(mutants: int, least: int) -> int:
    """Return the mutants per unit: ``least`` (about a minute's work), more where there would be over 1,000 units."""
    return max(1, min(mutants, max(least, mutants // 1000), 16 * least))


def run_units(
    pending: Sequence[str],
    plan: Plan,
    units: Units,
    engine: Engine,
    reader: PhenotypeReader,
    folder: ScreenFolder,
    progress: Progress,
) -> None:
    """Run units, storing each in design order as soon as its last mutant is done.

    The engine is fed across the borders of units, so that small units do not starve its batches; an interrupt loses
    the units in flight and nothing else.
    """
    home: dict[Mutant, str] = {}
    members: dict[str, list[Mutant]] = {}
    outcomes: dict[str, dict[Mutant, Outcome]] = {}

    def feed() -> Iterator[Mutant]:
        for unit in pending:
            members[unit], outcomes[unit] = plan.mutants(*units.span(unit)), {}
            home.update(dict.fromkeys(members[unit], unit))
            yield from members[unit]

    for outcome in engine.run(reader.assay.prompts, reader.assay.readout, feed()):
        unit = home.pop(outcome.mutant)
        outcomes[unit][outcome.mutant] = outcome
        if len(outcomes[unit]) == len(members[unit]):
            done, order = outcomes.pop(unit), members.pop(unit)
            folder.write_unit(unit, reader.shard([done[mutant] for mutant in order]))
        progress(reader.is_silent(outcome))
