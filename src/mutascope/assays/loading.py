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


def reopened(model: Model, manifest: Mapping[str, Any]) -> AnyResolved:
    """Return the assay of a stored screen; the questions of a choice assay come from its manifest, not their source."""
    stated, prompts = manifest["assay"], manifest["prompts"]
    if "prompts" in stated:
        panel = PanelAssay.model_validate(stated)
        told = tuple(Prompt(prompt["text"], tuple(prompt["tokens"])) for prompt in prompts)
        readout = Generation(panel.seed, panel.arguments(), manifest["generation"])
        return ResolvedPanel(panel, told, readout, tuple(prompt.get("genre") for prompt in prompts))
    if "questions" not in stated:
        return TextAssay.model_validate(stated).resolve(model, measure=manifest.get("measure", False))
    assay = ChoiceAssay.model_validate(stated)
    columns = ("text", "tokens", "key", "question")
    texts, tokens, keys, numbers = zip(
        *(tuple(prompt[name] for name in columns) for prompt in prompts), strict=True
    )
    asked = tuple(Prompt(text, tuple(ids)) for text, ids in zip(texts, tokens, strict=True))
    readout = assay.readout(model, manifest["letters"], len(asked[0].tokens))
    return ResolvedChoice(assay, asked, readout, keys, numbers)
