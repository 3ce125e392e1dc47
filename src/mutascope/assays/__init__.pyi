from .assay import Assay, Resolved
from .choice import ChoiceAssay, ResolvedChoice
from .loading import PRESETS, build_assay, load_assay, reopened
from .panel import PanelAssay, ResolvedPanel
from .text import ResolvedAssay, TextAssay

__all__ = [
    "PRESETS",
    "Assay",
    "ChoiceAssay",
    "PanelAssay",
    "Resolved",
    "ResolvedAssay",
    "ResolvedChoice",
    "ResolvedPanel",
    "TextAssay",
    "build_assay",
    "load_assay",
    "reopened",
]
