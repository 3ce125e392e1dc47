"""How good predictions are on prompts that nothing was tuned to: exact calls of a fresh sample against predicted risks.

    python -m benchmarks.unseen development|unseen [--only history-0] [--sample 520]
        [--mutations max,min] [--work FOLDER]

Twelve prompts by a rule: four forms of three subjects, with seeds from 77 on. Those with an even index serve development;
the others are looked at once. Every prompt leaves its calls and the predicted changes of its margins in the work folder,
and its scores in benchmarks/results/unseen/.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from mutascope import Design, Tiling, load_model
from mutascope.assays import TextAssay
from mutascope.assays.text import ResolvedAssay
from mutascope.core.design import Plan
from mutascope.core.schema import MUTANT_KEY, SITE_SCHEMA
from mutascope.engine.edits import edit_of
from mutascope.engine.fast import FastEngine
from mutascope.engine.rows import Row
from mutascope.engine.verification import Verifier
from mutascope.model.loading import Model
from mutascope.numerics.cpu import threads_for_kernels
from mutascope.predict.predictor import Predictor

RESULTS = Path(__file__).parent / "results" / "unseen"
TILING = Tiling(8)
SEED, SAMPLE_SEED = 77, 5
FORMS = {
    "history": ("The history of {}:", ("glass", "the steam engine", "the city of Lisbon")),
    "program": (
        "The following is a {}:",
        ("C program for a linked list", "Rust program for binary search", "SQL query for a library"),
    ),
    "letter": ("Dear {},", ("editor of the newspaper", "grandmother", "members of the committee")),
    "story": ("Once upon a time there was {}", ("a lighthouse keeper", "a clever fox", "a city under the sea")),
}


@dataclass(frozen=True)
class Asked:
    """A prompt of the rule.

    Attributes:
        name: form and index of the subject.
        assay: that asks it.
        unseen: whether it is kept from development.
    """

    name: str
    assay: TextAssay
    unseen: bool


def prompts() -> Iterator[Asked]:
    """Yield the twelve prompts."""
    named = ((form, place) for form, (_, subjects) in FORMS.items() for place in range(len(subjects)))
    for index, (form, place) in enumerate(named):
        text, subjects = FORMS[form]
        name = f"{form}-{place}"
        fields = {"prompt": text.format(subjects[place]), "seed": SEED + index, "temperature": 0.8}
        yield Asked(name, TextAssay(name=name, max_new_tokens=120, **fields), unseen=index % 2 == 1)


def exact_calls(model: Model, asked: ResolvedAssay, plan: Plan) -> pl.DataFrame:
    """Return what mutants do along the wild type's text, by layer: columns layer, kind, row, col, mutation, silent,
    first_divergence, silence. Texts behind a divergence are not written: calls do not need them.
    """
    session = FastEngine(model, TILING).prepare(asked.prompts, asked.readout)
    prompt, decoder, size = session.asked[0], session.decoder, session.verified
    reading = session.wild.reading(prompt)
    verifier = Verifier(decoder, session.head, decoder.new_cache(size, prompt.start + prompt.steps))
    mutants = sorted(plan.mutants(), key=lambda mutant: mutant.layer)
    found = []
    assert reading.measure is not None
    for first in range(0, len(mutants), size):
        rows = [
            Row(mutant, mutant.layer, edit_of(session.engine.mutagen, decoder, mutant), prompt, reading.activations)
            for mutant in mutants[first : first + size]
        ]
        with torch.inference_mode(), threads_for_kernels():
            found += [_call(row) for row in verifier.measure(rows, reading.measure)]
        print(f"{len(found):,} of {len(mutants):,} calls", flush=True)
    return pl.DataFrame(found, schema_overrides={**SITE_SCHEMA, "first_divergence": pl.Int32})


def _call(row: Row) -> dict[str, object]:
    assert row.mutant is not None
    silent = row.finite and row.follows_text()
    key = {name: getattr(row.mutant, name) for name in MUTANT_KEY}
    diverged = None if silent else len(row.tokens) - row.finite
    return {**key, "silent": silent, "first_divergence": diverged, "silence": row.values["silence"]}


def predicted_changes(model: Model, asked: ResolvedAssay, calls: pl.DataFrame) -> tuple[Predictor, torch.Tensor]:
    """Return the predictor, and the predicted change of every margin by every call, [calls, targets].

    Only the rows of sites that have a call are predicted.
    """
    where: dict[str, list[int]] = {}
    for layer, kind, row in calls.select("layer", "kind", "row").unique().sort("row").iter_rows():
        where.setdefault(f"{layer}.{kind}", []).append(row)
    mutations = calls["mutation"].unique(maintain_order=True).to_list()
    predictor = Predictor(model, TILING, asked.prompts, asked.readout, mutations, site_rows=where)
    found = torch.empty(len(calls), len(predictor.targets))
    own = calls.with_row_index("at").partition_by("layer", "kind", as_dict=True)
    for locus, changes in predictor.changes(where):
        for call in own[locus.layer, locus.kind].iter_rows(named=True):
            row = where[locus.name].index(call["row"])
            found[call["at"]] = changes[mutations.index(call["mutation"]), row, :, call["col"]]
    return predictor, found


def measure(model: Model, asked: Asked, design: Design, work: Path) -> None:
    """Run and predict the mutants of a design in a prompt, unless its files are there."""
    calls_at, changes_at = work / f"{asked.name}.parquet", work / f"{asked.name}.npz"
    resolved = asked.assay.resolve(model, measure=True)
    if not calls_at.exists():
        exact_calls(model, resolved, design.plan(model.genome, TILING)).write_parquet(calls_at)
    if not changes_at.exists():
        predictor, changes = predicted_changes(model, resolved, pl.read_parquet(calls_at))
        told = predictor.targets
        np.savez(
            changes_at,
            changes=changes.numpy(),
            margins=told.margins.numpy(),
            unit=told.seeds.norm(dim=-1).numpy(),
            steps=told.steps.numpy(),
        )
        print(f"{asked.name}: {len(told)} targets, {len(told.directions)} directions", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("development", "unseen"))
    parser.add_argument("--only")
    parser.add_argument("--sample", type=int, default=520)
    parser.add_argument("--mutations", default="max,min")
    parser.add_argument("--work", type=Path, default=Path("unseen"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    model = load_model("smollm2-135m", device="cpu")
    mutations = tuple(options.mutations.split(","))
    design = Design(sample=options.sample, sample_seed=SAMPLE_SEED, mutations=mutations)
    for asked in prompts():
        if asked.unseen == (options.part == "unseen") and options.only in (None, asked.name):
            measure(model, asked, design, options.work)


if __name__ == "__main__":
    main()
