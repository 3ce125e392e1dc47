"""What a model is asked and how it is read."""

from mutascope.assays.text import PRESETS, ResolvedAssay, TextAssay, load_assay

__all__ = ["PRESETS", "ResolvedAssay", "TextAssay", "load_assay"]
