"""A panel as pages: which mutants are on it, and all outputs of each."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import polars as pl

from mutascope.core.genome import Mutant
from mutascope.core.schema import MUTANT_KEY
from mutascope.explorer.prepared import compressed, stamp
from mutascope.explorer.shapes import PanelIndex
from mutascope.store import ScreenFolder
from mutascope.store.reader import ScreenData


class PanelPages:
    """The pages of a panel.

    Args:
        label: what it is called.
        folder: of the panel.
    """

    def __init__(self, label: str, folder: ScreenFolder) -> None:
        self.stamp = stamp(folder)  # what is written meanwhile is not in it, and will be seen
        self.label, self.results = label, ScreenData(folder)

    @cached_property
    def mutants(self) -> list[Mutant]:
        """The mutants, in the order of the panel."""
        return [Mutant(*row) for row in self.results.records().select(MUTANT_KEY).iter_rows()]

    @cached_property
    def index(self) -> PanelIndex:
        """What the panel asks, what the wild type says, and which mutants are on it."""
        manifest = self.results.manifest
        return {
            "label": self.label,
            "title": self.results.title,
            "folder": self.results.folder.path,
            "stamp": self.stamp,
            "prompts": [prompt.text for prompt in manifest.prompts],
            "genres": [prompt.genre for prompt in manifest.prompts],
            "wild_type": [output.continuation for output in manifest.wild_type],
            "mutants": [str(mutant) for mutant in self.mutants],
        }

    @cached_property
    def _said(self) -> dict[tuple[Any, ...], pl.DataFrame]:
        texts = self.results.phenotypes().select("phenotype", "continuation")
        said = self.results.outputs().join(texts, on="phenotype", how="left", maintain_order="left")
        return said.sort("prompt", maintain_order=True).partition_by(MUTANT_KEY, as_dict=True)

    def outputs(self, number: int) -> bytes:
        """Return what a mutant says to every prompt, as JSON, compressed; null for what was not finite.

        Raises:
            KeyError: when there is no mutant of this number.
        """
        mutant = dict(enumerate(self.mutants))[number]
        said = self._said[mutant.layer, mutant.kind, mutant.row, mutant.col, mutant.mutation]["continuation"]
        return compressed(json.dumps(said.to_list(), ensure_ascii=False).encode("utf-8", "surrogatepass"))
