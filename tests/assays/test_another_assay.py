"""An assay of another type is one class and its place in the list: every verb that reads and checks takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mutascope import ScreenData
from mutascope.assays import loading
from mutascope.assays.assay import Assay, Resolved, resolve_generation, stored_prompts, tokenise
from mutascope.core.manifest import Manifest, PromptInfo
from mutascope.core.protocol import Generation, Output, Probe, Prompt
from mutascope.model.loading import Model


class OpeningAssay(Assay):
    """The first letter of a text is the phenotype."""

    type: ClassVar[str] = "opening"
    stated_by: ClassVar[tuple[str, ...]] = ("opening",)
    opening: str

    def arguments(self) -> dict[str, Any]:
        return {**self.sampling(), "max_new_tokens": 3}

    def resolve(
        self,
        model: Model,
        probe: Probe | None = None,
        *,
        measure: bool = False,
        asked: Sequence[PromptInfo] | None = None,
    ) -> ResolvedOpening:
        prompt = Prompt(self.opening, tokenise(model, self.opening))
        resolved = resolve_generation(model, self.arguments(), len(prompt.tokens))
        return ResolvedOpening(self, (prompt,), Generation(self.seed, self.arguments(), resolved, measure))

    def reopen(self, model: Model, manifest: Manifest) -> ResolvedOpening:
        readout = Generation(self.seed, self.arguments(), manifest.generation, manifest.measure)
        return ResolvedOpening(self, stored_prompts(manifest), readout)


@dataclass(frozen=True)
class ResolvedOpening(Resolved[OpeningAssay, Generation]):
    @property
    def keeps_outputs(self) -> bool:
        return True

    def whole(self, texts: Sequence[str | None], hashes: Sequence[str]) -> tuple[str | None, str | None]:
        return texts[0], texts[0]

    def text(self, model: Model, output: Output, prompt: int = 0) -> str | None:
        said = self.continuation(model, output)
        return said and said[:1]


@pytest.mark.usefixtures("unpainted")
def test_it_is_screened_checked_shown_reported_and_predicted(cli, llama_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "ASSAYS", (*loading.ASSAYS, OpeningAssay))
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text('opening: "Once upon a time:"\ntemperature: 0.9\n')
    options = ("--model", llama_folder, "--assay", "a.yaml", "--tile", 8, "--kinds", "v", "--sample", 6)
    for verb, *words in [
        ("screen", *options, "--out", "out"),
        ("verify", "out", "--replay", 3),
        ("status", "out"),
        ("report", "out", "--out", "out.html"),
        ("compact", "out", "--out", "compacted"),
        ("verify", "compacted"),
        ("predict", *options, "--out", "predicted"),
        ("verify", "predicted"),
    ]:
        result = cli(verb, *words)
        assert result.code == 0, (verb, result.err)
    data = ScreenData("out")
    assert data.manifest.assay.type == "opening"
    assert set(data.texts()["text"].str.len_chars()) == {1}
    layer, kind, row, col, mutation = data.records().row(0)[:5]
    assert cli("show", "out", f"{layer}.{kind}:{row},{col}:{mutation}", "--check").code == 0
