"""Engines: what does each mutant put out?"""

from __future__ import annotations

from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.genome import Tiling, check_name
from mutascope.models import Model
from mutascope.readout import Engine

ENGINES = {"fast": FastEngine, "reference": ReferenceEngine}


def make_engine(name: str, model: Model, tiling: Tiling) -> Engine:
    """Return the engine of that name.

    Raises:
        MutascopeError: when there is none.
    """
    check_name("engine", name, list(ENGINES))
    return ENGINES[name](model, tiling)
