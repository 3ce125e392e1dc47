"""Panels: many prompts, each a text assay of its own (METHOD, Writer panel)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from mutascope.assays.assay import (
    Assay,
    Resolved,
    check_positions,
    resolve_generation,
    stored_prompts,
    tokenise,
)
from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest, PromptInfo
from mutascope.core.protocol import Generation, Probe, Prompt
from mutascope.model.loading import Model

WRITERS = "writers"
"""Name of the built-in panel of 151 prompts."""
_BUILT_IN = Path(__file__).parent / "data" / "writers.csv"


class PanelAssay(Assay):
    """A panel as the user states it.

    Attributes:
        prompts: a text file with a prompt per line, or ``writers``, which is built in.
        max_length: tokens, prompt included.
    """

    type: ClassVar[str] = "panel"
    stated_by: ClassVar[tuple[str, ...]] = ("prompts",)
    predictable: ClassVar[bool] = False
    prompts: str = WRITERS
    max_length: int = Field(default=150, ge=1)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``generate`` that the assay states."""
        return {"max_length": self.max_length, **self.sampling()}

    def resolve(
        self,
        model: Model,
        probe: Probe | None = None,
        *,
        measure: bool = False,
        asked: Sequence[PromptInfo] | None = None,
    ) -> ResolvedPanel:
        """Tokenise the prompts and resolve every sampling field.

        Raises:
            MutascopeError: when the prompts cannot be read, one leaves no room for a token, or the model has no
                position for the last one.
        """
        genres, texts = zip(*read_panel(self.prompts), strict=True)
        prompts = tuple(Prompt(text, tokenise(model, text)) for text in texts)
        for prompt in prompts:
            if not 0 < len(prompt.tokens) < self.max_length:
                raise MutascopeError(
                    f"the prompt {prompt.text[:60]!r} has {len(prompt.tokens)} tokens: it must have at least one, and"
                    f" leave room to generate within max_length {self.max_length}"
                )
        resolved = resolve_generation(model, self.arguments(), len(prompts[0].tokens))
        readout = Generation(self.seed, self.arguments(), resolved, measure)
        check_positions(model, self.name, max(readout.at(each).resolved["max_length"] for each in prompts))
        return ResolvedPanel(self, prompts, readout, genres)

    def reopen(self, model: Model, manifest: Manifest) -> ResolvedPanel:
        """Return the panel of a stored screen, with the prompts that it asked."""
        readout = Generation(self.seed, self.arguments(), manifest.generation, manifest.measure)
        genres = tuple(prompt.genre for prompt in manifest.prompts)
        return ResolvedPanel(self, stored_prompts(manifest), readout, genres)


@dataclass(frozen=True)
class ResolvedPanel(Resolved[PanelAssay, Generation]):
    """A panel that knows its model; ``genres``: of the prompts, None where not known."""

    genres: tuple[str | None, ...]

    @property
    def keeps_outputs(self) -> bool:
        """Whether the store gets a row per (mutant, prompt): always."""
        return True

    def described_prompts(self) -> list[dict[str, Any]]:
        """Return the prompts as plain JSON values, with their genre where it is known."""
        rows = zip(super().described_prompts(), self.genres, strict=True)
        return [row if genre is None else {**row, "genre": genre} for row, genre in rows]


def read_panel(source: str) -> list[tuple[str | None, str]]:
    """Return genre and text of every prompt of a panel.

    Raises:
        MutascopeError: when the file cannot be read or has no prompt.
    """
    try:
        if source == WRITERS:
            with _BUILT_IN.open(encoding="utf-8", newline="") as file:
                return [(row["genre"], row["prompt"]) for row in csv.DictReader(file)]
        lines = Path(source).read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise MutascopeError(f"the prompts {source} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MutascopeError(f"the prompts {source} are not UTF-8 text") from error
    prompts: list[tuple[str | None, str]] = [(None, line) for line in lines if line.strip()]
    if not prompts:
        raise MutascopeError(f"{source} has no prompt: write one per line")
    return prompts
