"""Engines: what does each mutant put out?"""

from __future__ import annotations

from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.genome import Tiling, check_name
from mutascope.models import Model
from mutascope.readout import Engine

ENGINES = ("fast", "reference")


def make_engine(name: str, model: Model, tiling: Tiling, batch: int | None = None) -> Engine:
    """Return the engine of that name (``batch``: mutants at a time, for engines that run several).

    Raises:
        MutascopeError: when there is none.
    """
    check_name("engine", name, list(ENGINES))
    return FastEngine(model, tiling, batch) if name == "fast" else ReferenceEngine(model, tiling)
