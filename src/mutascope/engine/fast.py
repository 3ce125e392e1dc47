"""The fast engine: the reference engine's records, many mutants at a time.

Per prompt, in the order of the code below (docs/engine.md says why it is exact):

1. *Wild type.* Its tokens come from the reference engine; its hidden states at the input of every layer are kept.
2. *Verification.* Mutants are fed the wild type's own tokens, in parallel over positions, from their own layer upwards
   (below it they see what the wild type saw). The first position where a mutant picks another token is its divergence;
   without one it is silent.
3. *Decoding.* Divergent mutants go on token by token, in slots that are refilled as rows end.
4. *Settling.* A pick whose margin is within the numerical noise is made by the reference engine, which generates up to
   that token; a mutant with a non-finite logit is left to it altogether.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from mutascope.engine.prompt_run import PromptRun
from mutascope.engine.reference import ReferenceEngine
from mutascope.genome import Mutant, Tiling
from mutascope.models import Model
from mutascope.readout import Generation, Outcome, Output, Prompt
from mutascope.sampling import unsupported_fields


@dataclass
class Account:
    """Where the time of a run went, in seconds; settling is the reference engine's part."""

    measuring: float = 0.0
    verifying: float = 0.0
    decoding: float = 0.0
    settling: float = 0.0

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
        model: of a family in :data:`mutascope.engine.decoder.FAMILIES`, in float32 or float64.
        tiling: of the screen.
        slots: mutants decoded at a time; by default as many as a quarter of the free memory holds, 512 at most.
    """

    name = "fast"
    unit_size = 64

    def __init__(self, model: Model, tiling: Tiling, slots: int | None = None) -> None:
        self.model = model
        self.slots = slots
        self.reference = ReferenceEngine(model, tiling)
        self.mutagen = self.reference.mutagen
        self.account = Account()
        self._latest: PromptRun | None = None

    def wild_type(self, prompts: Sequence[Prompt], readout: Generation) -> tuple[Output, ...]:
        """Return the outputs of the unmodified model, one per prompt, from the reference engine."""
        return self.reference.wild_type(prompts, readout)

    def refusal(self, prompts: Sequence[Prompt], readout: Generation) -> str | None:
        """Return why this engine cannot promise the reference engine's records, None when it can."""
        fields = unsupported_fields(readout.resolved)
        if fields:
            return f"it does not implement {', '.join(fields)}"
        if self.model.network.dtype not in (torch.float32, torch.float64):
            return f"{self.model.dtype} has no truth that does not depend on the batch"
        try:
            run = self._prompt_run(prompts[0], readout)
        except ValueError as error:
            return str(error)
        return None if run.reproduces_wild_type() else "its wild type does not equal the reference engine's"

    def run(
        self, prompts: Sequence[Prompt], readout: Generation, mutants: Iterable[Mutant]
    ) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, once each, in order of completion."""
        if len(prompts) == 1:
            for row, output in self._prompt_run(prompts[0], readout).outputs(mutants):
                yield Outcome(row.mutant, (output,), row.replayed)
            return
        mutants = list(mutants)
        parts: dict[Mutant, list[Output]] = {mutant: [] for mutant in mutants}
        replayed = set()
        for prompt in prompts:
            for row, output in self._prompt_run(prompt, readout).outputs(mutants):
                parts[row.mutant].append(output)
                if row.replayed:
                    replayed.add(row.mutant)
        for mutant, outputs in parts.items():
            yield Outcome(mutant, tuple(outputs), mutant in replayed)

    def arithmetic(self) -> int:
        """Return the floating-point operations done for the latest prompt, the reference engine's excluded."""
        return self._latest.decoder.flop if self._latest else 0

    def _prompt_run(self, prompt: Prompt, readout: Generation) -> PromptRun:
        if self._latest is None or (self._latest.prompt, self._latest.readout) != (prompt, readout):
            self._latest = None  # frees its memory first
            self._latest = PromptRun(self.reference, prompt, readout, self.slots, self.account.clock)
        return self._latest
