"""mutascope: map what the parameters of a language model do, by mutating them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mutascope.errors import MutascopeError

if TYPE_CHECKING:
    from mutascope.assays import TextAssay, load_assay
    from mutascope.design import Design
    from mutascope.diff import word_diff
    from mutascope.genome import Genome, Locus, Mutant, Tiling
    from mutascope.models import Model, load_genome, load_model
    from mutascope.results import Results
    from mutascope.screen import Screen

__version__ = "0.1.0"
__format_version__ = 1

_HOMES = {
    "Design": "design",
    "Genome": "genome",
    "Locus": "genome",
    "Model": "models",
    "Mutant": "genome",
    "Results": "results",
    "Screen": "screen",
    "TextAssay": "assays",
    "Tiling": "genome",
    "load_assay": "assays",
    "load_genome": "models",
    "load_model": "models",
    "word_diff": "diff",
}
__all__ = [
    "Design",
    "Genome",
    "Locus",
    "Model",
    "Mutant",
    "MutascopeError",
    "Results",
    "Screen",
    "TextAssay",
    "Tiling",
    "load_assay",
    "load_genome",
    "load_model",
    "word_diff",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are asked for, so that reading results does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mutascope' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mutascope.{_HOMES[name]}"), name)
