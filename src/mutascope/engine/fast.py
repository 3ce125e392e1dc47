"""The fast engine: the reference engine's records, many mutants at a time.

Per prompt, in the order of the code below (docs/engine.md says why it is exact):

1. *Wild type.* Its tokens come from the reference engine; its hidden states at the input of every layer are kept.
2. *Verification.* Mutants are fed the wild type's own tokens, in parallel over positions, from their own layer upwards
   (below it they see what the wild type saw). The first position where a mutant picks another token is its divergence;
   without one it is silent.
3. *Following.* Divergent mutants are verified in the same way against texts that others have written.
4. *Decoding.* Those that leave all known texts go on token by token, all at the same position.

All of it has the bits of the reference engine, because no operation depends on what else is in its batch
(mutascope.numerics).

Where one token is read from many prompts, :mod:`mutascope.engine.choice_run` does all of this, and where texts are,
:mod:`mutascope.engine.panel_run`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mutascope.core.errors import Unsupported
from mutascope.core.genome import Mutant, Tiling
from mutascope.core.protocol import NextToken, Outcome, Output, Prompt, Readout
from mutascope.engine.choice_run import ChoiceRun
from mutascope.engine.panel_run import PanelRun
from mutascope.engine.prompt_run import PromptRun
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import Model
from mutascope.numerics.install import STOCK
from mutascope.numerics.sampling import unsupported_fields


@dataclass
class Account:
    """Where the time of a run went, in seconds."""

    measuring: float = 0.0
    verifying: float = 0.0
    decoding: float = 0.0

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, phase, getattr(self, phase) + time.perf_counter() - start)


class FastEngine:
    """Same records as the reference engine, for the cases that :meth:`refusal` does not name.

    Args:
        model: of a family in :data:`mutascope.engine.decoder.FAMILIES`, in float32 or bfloat16, on a CPU.
        tiling: of the screen.
        slots: mutants decoded at a time; by default as many as a quarter of the free memory holds, 576 at most.
    """

    name = "fast"
    unit_size = 64

    def __init__(self, model: Model, tiling: Tiling, slots: int | None = None) -> None:
        self.model = model
        self.slots = slots
        self.reference = ReferenceEngine(model, tiling)
        self.mutagen = self.reference.mutagen
        self.account = Account()
        self._asked: tuple[tuple[Prompt, ...], Readout] | None = None
        self._latest: PromptRun | ChoiceRun | PanelRun | None = None

    def wild_type(self, prompts: Sequence[Prompt], readout: Readout) -> tuple[Output, ...]:
        """Return the outputs of the unmodified model, one per prompt."""
        latest = self._latest
        if latest is None or self._asked != (tuple(prompts), readout):
            return self.reference.wild_type(prompts, readout)
        return (Output(latest.wild.tokens),) if isinstance(latest, PromptRun) else latest.wild

    @property
    def underway(self) -> float:
        """How much of the work on mutants that were not yielded yet is done, in mutants."""
        latest = self._latest
        return latest.underway if latest else 0.0

    def refusal(self, prompts: Sequence[Prompt], readout: Readout) -> str | None:
        """Return why this engine cannot promise the reference engine's records, None when it can."""
        if len(prompts) > 1 and readout.measure:
            return "it does not measure several prompts"
        fields = unsupported_fields(readout.resolved)
        if fields:
            return f"it does not implement {', '.join(fields)}"
        if self.reference.numerics == STOCK:
            return f"{self.reference.refused}, and torch's own kernels round otherwise in a batch"
        try:
            run = self._start(prompts, readout)
        except Unsupported as error:
            return str(error)
        return None if run.reproduces_wild_type() else "its wild type does not equal the reference engine's"

    def run(
        self, prompts: Sequence[Prompt], readout: Readout, mutants: Iterable[Mutant]
    ) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, once each, in order of completion."""
        run = self._start(prompts, readout)
        run.underway = 0.0
        if not isinstance(run, PromptRun):
            yield from run.outcomes(mutants)
        else:
            for row, output in run.outputs(mutants):
                yield Outcome(row.mutant, (output,))

    def arithmetic(self) -> int:
        """Return the floating-point operations done for the latest prompts."""
        return self._latest.decoder.flop if self._latest else 0

    def _start(self, prompts: Sequence[Prompt], readout: Readout) -> PromptRun | ChoiceRun | PanelRun:
        """Return what runs these prompts, which keeps its memory until others are asked for."""
        asked = (tuple(prompts), readout)
        if self._latest is None or self._asked != asked:
            self._latest = None  # frees its memory first
            settings = (self.slots, self.account.clock)
            if isinstance(readout, NextToken):
                self._latest = ChoiceRun(self.reference, prompts, readout, *settings)
            elif len(prompts) > 1:
                self._latest = PanelRun(self.reference, prompts, readout, *settings)
            else:
                self._latest = PromptRun(self.reference, prompts[0], readout, *settings)
            self._asked = asked
        return self._latest
