"""mutascope: map what the parameters of a language model do, by mutating them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mutascope.errors import MutascopeError

if TYPE_CHECKING:
    from mutascope.assays import TextAssay, load_assay
    from mutascope.atlas import Atlas
    from mutascope.design import Design
    from mutascope.diff import word_diff
    from mutascope.figures.registry import draw_figure
    from mutascope.figures.writing import write_figures
    from mutascope.findings import Screens, build_table, write_tables
    from mutascope.genome import Genome, Locus, Mutant, Tiling
    from mutascope.models import Model, load_genome, load_model
    from mutascope.report import write_report
    from mutascope.results import Results
    from mutascope.screen import Screen

__version__ = "0.1.0"
__format_version__ = 2

_HOMES = {
    "Atlas": "atlas",
    "Design": "design",
    "Genome": "genome",
    "Locus": "genome",
    "Model": "models",
    "Mutant": "genome",
    "Results": "results",
    "Screen": "screen",
    "Screens": "findings",
    "TextAssay": "assays",
    "Tiling": "genome",
    "build_table": "findings",
    "draw_figure": "figures.registry",
    "load_assay": "assays",
    "load_genome": "models",
    "load_model": "models",
    "word_diff": "diff",
    "write_figures": "figures.writing",
    "write_report": "report",
    "write_tables": "findings",
}
__all__ = [
    "Atlas",
    "Design",
    "Genome",
    "Locus",
    "Model",
    "Mutant",
    "MutascopeError",
    "Results",
    "Screen",
    "Screens",
    "TextAssay",
    "Tiling",
    "build_table",
    "draw_figure",
    "load_assay",
    "load_genome",
    "load_model",
    "word_diff",
    "write_figures",
    "write_report",
    "write_tables",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are asked for, so that reading results does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mutascope' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mutascope.{_HOMES[name]}"), name)
