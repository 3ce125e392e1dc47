"""What a model is asked and how it is read."""

from mutascope.assays.choice import ChoiceAssay, ResolvedChoice
from mutascope.assays.loading import PRESETS, Assay, build_assay, load_assay, reopened
from mutascope.assays.panel import PanelAssay, ResolvedPanel
from mutascope.assays.text import Resolved, ResolvedAssay, TextAssay

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
