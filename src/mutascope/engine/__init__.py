"""Engines: what does each mutant put out?"""

from __future__ import annotations

from mutascope.core.genome import Tiling, check_name
from mutascope.core.protocol import Engine
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import Model

ENGINES = ("fast", "reference")


NUMERICS = ("own", "stock")
"""mutascope's own, or torch's kernels, which only the reference engine runs."""


def make_engine(
    name: str, model: Model, tiling: Tiling, max_batch: int | None = None, numerics: str = "own"
) -> Engine:
    """Return the engine of that name.

    Args:
        name: one of :data:`ENGINES`.
        model: that it runs.
        tiling: of the screen.
        max_batch: mutants at a time, for engines that run several.
        numerics: one of :data:`NUMERICS`.

    Raises:
        MutascopeError: when there is none.
    """
    check_name("engine", name, list(ENGINES))
    check_name("numerics", numerics, list(NUMERICS))
    if name == "fast" and numerics == "own":
        return FastEngine(model, tiling, max_batch)
    return ReferenceEngine(model, tiling, stock=numerics == "stock")
