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
    """Where the time of a session went, in seconds."""

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
    """Same records as the reference engine, for the cases that it supports.

    Args:
        model: of a family in :data:`mutascope.engine.decoder.FAMILIES`, in float32 or bfloat16, on a CPU.
        tiling: of the screen.
        max_batch: mutants decoded at a time; by default as many as a quarter of the free memory holds, 576 at most.
    """

    name = "fast"
    unit_size = 64

    def __init__(self, model: Model, tiling: Tiling, max_batch: int | None = None) -> None:
        self.model, self.max_batch = model, max_batch
        self.reference = ReferenceEngine(model, tiling)
        self.mutagen = self.reference.mutagen

    def prepare(self, prompts: Sequence[Prompt], readout: Readout) -> FastSession:
        """Return what runs mutants on these prompts.

        Raises:
            Unsupported: when the records would not be the reference engine's: for sampling fields and architectures
                that are not implemented, and for a wild type that does not come out equal.
        """
        if len(prompts) > 1 and readout.measure:
            raise Unsupported("it does not measure several prompts")
        fields = unsupported_fields(readout.resolved)
        if fields:
            raise Unsupported(f"it does not implement {', '.join(fields)}")
        if self.reference.numerics == STOCK:
            raise Unsupported(f"{self.reference.refused}, and torch's own kernels round otherwise in a batch")
        return FastSession(self, prompts, readout)


class FastSession:
    """Runs mutants on some prompts, many at a time.

    Attributes:
        engine: that prepared it.
        account: where the time went.
    """

    def __init__(self, engine: FastEngine, prompts: Sequence[Prompt], readout: Readout) -> None:
        self.engine, self.account = engine, Account()
        settings = (engine.max_batch, self.account.clock)
        if isinstance(readout, NextToken):
            self._run = ChoiceRun(engine.reference, prompts, readout, *settings)
        elif len(prompts) > 1:
            self._run = PanelRun(engine.reference, prompts, readout, *settings)
        else:
            self._run = PromptRun(engine.reference, prompts[0], readout, *settings)
        if not self._run.reproduces_wild_type():
            raise Unsupported("its wild type does not equal the reference engine's")

    @property
    def wild_type(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model, one per prompt."""
        run = self._run
        return (Output(run.wild.tokens),) if isinstance(run, PromptRun) else run.wild

    @property
    def underway(self) -> float:
        """How much of the work on mutants that were not yielded yet is done, in mutants."""
        return self._run.underway

    @property
    def flop(self) -> int:
        """Floating-point operations done so far."""
        return self._run.decoder.flop

    def run(self, mutants: Iterable[Mutant]) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, once each, in order of completion."""
        self._run.underway = 0.0
        if not isinstance(self._run, PromptRun):
            yield from self._run.outcomes(mutants)
        else:
            for row, output in self._run.outputs(mutants):
                yield Outcome(row.mutant, (output,))
