"""From engine outputs to records: phenotypes, silence, first divergence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from mutascope.core.protocol import Outcome, Output, first_divergence
from mutascope.core.schema import OUTPUT_SCHEMA, PHENOTYPE_SCHEMA, RECORD_SCHEMA
from mutascope.store import Shard

if TYPE_CHECKING:
    from mutascope.assays import Resolved
    from mutascope.model.loading import Model

Phenotype = tuple[str, str | None, str | None]
"""Content hash, text and continuation; the last two are None for a non-finite output."""
_KNOWN = 10_000
"""Outputs whose texts are kept: a record is asked for when its mutant is done, and again when its unit is."""
NON_FINITE = "non-finite"
"""Phenotype of every mutant with a NaN or +inf logit (METHOD, Terms)."""


class PhenotypeReader:
    """Turns outputs of one assay on one model into rows of the store."""

    def __init__(self, model: Model, assay: Resolved, wild_type: tuple[Output, ...]) -> None:
        self.model = model
        self.assay = assay
        self.wild_type = wild_type
        self._decoded = _decoder(model, assay)
        self.wild_phenotypes = [self.phenotype(output, i)[0] for i, output in enumerate(wild_type)]

    def phenotype(self, output: Output, prompt: int) -> Phenotype:
        """Return (content hash, text, continuation) of an output on a prompt (its index)."""
        return self._decoded(output.tokens, output.finite, prompt)

    def is_silent(self, outcome: Outcome) -> bool:
        """Whether every text of the outcome equals the wild type's."""
        return all(
            (output.tokens == wild.tokens and output.finite)
            or self.phenotype(output, i)[0] == self.wild_phenotypes[i]
            for i, (output, wild) in enumerate(zip(outcome.outputs, self.wild_type, strict=True))
        )

    def shard(self, outcomes: Sequence[Outcome]) -> Shard:
        """Return the records, outputs and texts of ``outcomes``, in their order."""
        records: list[dict[str, Any]] = []
        outputs: list[dict[str, Any]] = []
        texts: dict[str, Phenotype] = {}
        for outcome in outcomes:
            rows = self._output_rows(outcome, texts)
            records.append(self._record(outcome, rows, texts))
            if self.assay.keeps_outputs:
                outputs += rows
        types = self.assay.record_schema
        added = {name: types.get(name, pl.Float32) for name in records[0] if name not in RECORD_SCHEMA}
        return Shard(
            records=pl.DataFrame(records, schema=RECORD_SCHEMA | added),
            phenotypes=pl.DataFrame(list(texts.values()), schema=PHENOTYPE_SCHEMA, orient="row"),
            outputs=_output_frame(outputs) if outputs else None,
        )

    def _output_rows(self, outcome: Outcome, texts: dict[str, Any]) -> list[dict[str, Any]]:
        rows = []
        for index, (output, wild) in enumerate(zip(outcome.outputs, self.wild_type, strict=True)):
            phenotype = self.phenotype(output, index)
            texts.setdefault(phenotype[0], phenotype)
            rows.append(
                {
                    **_coordinates(outcome),
                    "prompt": index,
                    "first_divergence": first_divergence(wild, output),
                    "phenotype": phenotype[0],
                    **output.values,
                }
            )
        return rows

    def _record(
        self,
        outcome: Outcome,
        rows: list[dict[str, Any]],
        texts: dict[str, Phenotype],
    ) -> dict[str, Any]:
        """Return the record of an outcome, and put its phenotype among the texts."""
        hashes = [row["phenotype"] for row in rows]
        said = [texts[phenotype][1] for phenotype in hashes]
        phenotype = hashes[0]
        if self.assay.keeps_outputs:
            text, continuation = self.assay.whole(said, hashes)
            phenotype = content_hash(text)
            texts.setdefault(phenotype, (phenotype, text, continuation))
        divergences = [row["first_divergence"] for row in rows if row["first_divergence"] is not None]
        return {
            **_coordinates(outcome),
            "silent": hashes == self.wild_phenotypes,
            "first_divergence": min(divergences, default=None),
            "phenotype": phenotype,
            **self.assay.measures(outcome.outputs, said),
        }


def _output_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return the table of outputs; numbers of the readout are float64 even where all are missing."""
    return pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.Float64) | OUTPUT_SCHEMA)


def _decoder(model: Model, assay: Resolved) -> Callable[[tuple[int, ...], bool, int], Phenotype]:
    """Return what makes phenotypes of tokens, whether they are finite, and the index of the prompt."""

    @lru_cache(_KNOWN)
    def decoded(tokens: tuple[int, ...], finite: bool, prompt: int) -> Phenotype:
        output = Output(tokens, finite)
        text = assay.text(model, output, prompt)
        return content_hash(text), text, assay.continuation(model, output)

    return decoded


def content_hash(text: str | None) -> str:
    """Return 32 hex digits of the SHA-256 of a text, or the phenotype of non-finite outputs for None."""
    if text is None:
        return NON_FINITE
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _coordinates(outcome: Outcome) -> dict[str, Any]:
    m = outcome.mutant
    return {"layer": m.layer, "kind": m.kind, "row": m.row, "col": m.col, "mutation": m.mutation}
