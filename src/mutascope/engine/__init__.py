"""Engines: what does each mutant put out?"""

from __future__ import annotations

from mutascope.core.protocol import Engine
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine

ENGINES = ("fast", "reference")
NUMERICS = ("own", "stock")
"""mutascope's own, or torch's kernels, which only the reference engine runs."""


def make_engine(name: str, reference: ReferenceEngine, max_batch: int | None = None) -> Engine:
    """Return the engine of that name; torch's own kernels run in the reference engine alone.

    Args:
        name: one of :data:`ENGINES`.
        reference: the engine whose records all others have.
        max_batch: mutants at a time, for engines that run several.
    """
    if name == "reference" or reference.stock:
        return reference
    return FastEngine(reference.model, reference.mutagen.tiling, max_batch, reference)
