"""Assays by name, or from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mutascope.assays.choice import ChoiceAssay, ResolvedChoice
from mutascope.assays.panel import WRITERS, PanelAssay, ResolvedPanel
from mutascope.assays.questions import GENERAL
from mutascope.assays.text import TEXT_PRESETS, ResolvedAssay, TextAssay
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import check_name
from mutascope.core.manifest import Manifest
from mutascope.core.protocol import Generation, Prompt
from mutascope.core.yamlfile import load_yaml, validate
from mutascope.model.loading import Model

Assay = TextAssay | ChoiceAssay | PanelAssay
AnyResolved = ResolvedAssay | ResolvedChoice | ResolvedPanel

PRESETS: dict[str, Assay] = {
    **TEXT_PRESETS,
    "mmlu21": ChoiceAssay(name="mmlu21", questions="cais/mmlu", subject="international_law"),
    "general21": ChoiceAssay(name="general21", questions=GENERAL),
    WRITERS: PanelAssay(name=WRITERS, temperature=0.7),
}
"""The assays of the paper (METHOD), and two whose questions or prompts are built in: ``general21`` and ``writers``."""


def load_assay(name: str, **overrides: Any) -> Assay:
    """Return a preset by name, or the assay in a YAML file, with fields replaced by ``overrides``.

    Raises:
        MutascopeError: for an unknown preset, an unreadable file, a misspelt key or an impossible value.
    """
    if name.endswith((".yaml", ".yml")):
        return build_assay({"name": Path(name).stem, **load_yaml(Path(name)), **overrides}, where=name)
    check_name("assay", name, [*PRESETS])
    preset = PRESETS[name]
    fields = {**preset.model_dump(exclude_none=True), **overrides}
    _check_questions(fields, name)
    return validate(type(preset), fields, where=name)


def build_assay(fields: dict[str, Any], *, where: str) -> Assay:
    """Return the assay that the fields state: a choice assay has ``questions``, a panel has ``prompts``.

    Raises:
        MutascopeError: for a misspelt key or an impossible value; ``where`` says whose.
    """
    _check_questions(fields, where)
    kind = ChoiceAssay if "questions" in fields else PanelAssay if "prompts" in fields else TextAssay
    return validate(kind, fields, where=where)


def _check_questions(fields: Mapping[str, Any], where: str) -> None:
    kinds = {"prompt": "text assay", "messages": "text assay", "prompts": "panel"}
    kind = next((kind for name, kind in kinds.items() if name in fields), None)
    if kind is not None and "questions" in fields:
        raise MutascopeError(f"{where} is a {kind}, which takes no questions")


def reopened(model: Model, manifest: Manifest) -> AnyResolved:
    """Return the assay of a stored screen; the questions of a choice assay come from its manifest, not their source."""
    stated, prompts = manifest.assay.stated, manifest.prompts
    asked = tuple(Prompt(prompt.text, tuple(prompt.tokens)) for prompt in prompts)
    match manifest.assay.type:
        case "text":
            return TextAssay.model_validate(stated).resolve(model, measure=manifest.measure)
        case "panel":
            panel = PanelAssay.model_validate(stated)
            readout = Generation(panel.seed, panel.arguments(), manifest.generation)
            return ResolvedPanel(panel, asked, readout, tuple(prompt.genre for prompt in prompts))
        case "choice":
            choice = ChoiceAssay.model_validate(stated)
            readout = choice.readout(model, manifest.letters or [], len(asked[0].tokens))
            keys = tuple(prompt.key or "" for prompt in prompts)
            return ResolvedChoice(choice, asked, readout, keys, tuple(prompt.question for prompt in prompts))
