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
"""

from __future__ import annotations

from collections.abc import Sequence

from mutascope.core.errors import Unsupported
from mutascope.core.genome import Tiling
from mutascope.core.manifest import STOCK
from mutascope.core.protocol import Prompt, Readout
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.session import FastSession
from mutascope.model.generation import unsupported_fields
from mutascope.model.loading import Model


class FastEngine:
    """Same records as the reference engine, for the cases that it supports.

    Args:
        model: of a known family (:mod:`mutascope.model.families`), in float32 or bfloat16, on a CPU or an NVIDIA card.
        tiling: of the screen.
        max_batch: mutants decoded at a time; by default as many as a quarter of the free memory holds, 576 at most.
        reference: of this model and tiling, where there is one already.
    """

    name = "fast"
    unit_size = 64

    def __init__(
        self,
        model: Model,
        tiling: Tiling,
        max_batch: int | None = None,
        reference: ReferenceEngine | None = None,
    ) -> None:
        self.model, self.max_batch = model, max_batch
        self.reference = reference or ReferenceEngine(model, tiling)
        self.mutagen = self.reference.mutagen

    def prepare(self, prompts: Sequence[Prompt], readout: Readout) -> FastSession:
        """Return what runs mutants on these prompts.

        Raises:
            Unsupported: when the records would not be the reference engine's: for sampling fields and architectures
                that are not implemented, and for a wild type that does not come out equal.
        """
        fields = unsupported_fields(readout.resolved)
        if fields:
            raise Unsupported(f"it does not implement {', '.join(fields)}")
        if self.reference.numerics == STOCK:
            raise Unsupported(f"{self.reference.refused}, and torch's own kernels round otherwise in a batch")
        return FastSession(self, prompts, readout)
