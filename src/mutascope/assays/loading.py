"""Assays by name, or from a YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mutascope.assays.assay import Assay, Resolved
from mutascope.assays.choice import ALL, ChoiceAssay
from mutascope.assays.panel import WRITERS, PanelAssay
from mutascope.assays.questions import GENERAL
from mutascope.assays.text import TEXT_PRESETS, TextAssay
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import check_name
from mutascope.core.manifest import Manifest
from mutascope.core.yamlfile import load_yaml, validate
from mutascope.model.loading import Model

ASSAYS: tuple[type[Assay], ...] = (TextAssay, PanelAssay, ChoiceAssay)
"""All types of assays; what states none of them is taken for the first."""
PRESETS: dict[str, Assay] = {
    **TEXT_PRESETS,
    "mmlu21": ChoiceAssay(name="mmlu21", questions="cais/mmlu", subject="international_law"),
    "general21": ChoiceAssay(name="general21", questions=GENERAL),
    WRITERS: PanelAssay(name=WRITERS, temperature=0.7),
}
"""The assays of the paper (METHOD), and two whose questions or prompts are built in: ``general21`` and ``writers``."""


def load_assay(name: str, **overrides: Any) -> Assay:
    """Return a preset by name, the assay in a YAML file, or a choice assay of all questions of a folder.

    ``overrides`` replace its fields.

    Raises:
        MutascopeError: for an unknown preset, an unreadable file, a misspelt key or an impossible value.
    """
    if name.endswith((".yaml", ".yml")):
        return build_assay({"name": Path(name).stem, **load_yaml(Path(name)), **overrides}, where=name)
    if name not in PRESETS and os.path.isdir(name):
        called = os.path.basename(os.path.abspath(name))
        every = {"name": called, "questions": name, "right": ALL, "wrong": ALL}
        return build_assay({**every, **overrides}, where=name)
    check_name("assay", name, [*PRESETS])
    preset = PRESETS[name]
    fields = {**preset.model_dump(exclude_none=True), **overrides}
    return validate(_type_of(fields, name), fields, where=name)


def build_assay(fields: dict[str, Any], *, where: str) -> Assay:
    """Return the assay that the fields state; what is its own says of which type it is (:attr:`Assay.stated_by`).

    Raises:
        MutascopeError: for a misspelt key or an impossible value; ``where`` says whose.
    """
    return validate(_type_of(fields, where), fields, where=where)


def reopened(model: Model, manifest: Manifest) -> Resolved:
    """Return the assay of a stored screen, as its model meets it.

    Raises:
        MutascopeError: when its type is not known here.
    """
    known = {kind.type: kind for kind in ASSAYS}
    check_name("type of assay", manifest.assay.type, [*known])
    where = f"the assay {manifest.assay.name} of the folder"
    return validate(known[manifest.assay.type], manifest.assay.stated, where=where).reopen(model, manifest)


def _type_of(fields: Mapping[str, Any], where: str) -> type[Assay]:
    stated = [(kind, name) for kind in ASSAYS for name in kind.stated_by if name in fields]
    kind = stated[0][0] if stated else ASSAYS[0]
    foreign = [name for other, name in stated if other is not kind]
    if foreign:
        raise MutascopeError(f"{where} is a {kind.type} assay, which takes no {foreign[0]}")
    return kind
