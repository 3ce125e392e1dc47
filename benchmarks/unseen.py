"""How good predictions are on prompts that nothing was tuned to: exact calls of a fresh sample against predicted risks.

    python -m benchmarks.unseen development|unseen [--only history-0] [--sample 520] [--work FOLDER]

Twelve prompts by a rule: four forms of three subjects, with seeds from 77 on. Those with an even index serve
development; the others are looked at once. Predictions are judged on max and min, and what the scores are with zero
among the calls stands beside it. Every prompt leaves its calls and the predicted changes of its margins in the work
folder, and its scores in benchmarks/results/unseen/.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from mutascope import Design, Tiling, load_model
from mutascope.analysis.calibration import calibrated, calibration_scores, cross_fitted, fit_calibration
from mutascope.assays import TextAssay
from mutascope.assays.text import ResolvedAssay
from mutascope.core.genome import Mutant
from mutascope.core.schema import MUTANT_KEY, SITE_KEY, SITE_SCHEMA
from mutascope.engine.edits import edit_of
from mutascope.engine.fast import FastEngine
from mutascope.engine.rows import Row
from mutascope.engine.session import FastSession
from mutascope.engine.verification import Verifier
from mutascope.model.loading import Model
from mutascope.numerics.cpu import threads_for_kernels
from mutascope.predict.calls import make_calls
from mutascope.predict.predictor import Predictor

RESULTS = Path(__file__).parent / "results" / "unseen"
TILING = Tiling(8)
_SCORES = ("mutants", "nsm", "auc", "auc_low", "auc_high", "accuracy", "ece", "silence_r2")
SEED, SAMPLE_SEED = 77, 5
MAP, ZERO = ("max", "min"), ("zero",)
FIFTH = 5
"""One call in so many is measured, which costs three times as much."""
FIRST, RUN = 0.05, 0.12
"""Shares of an adaptive run that is replayed: sites drawn at random, and mutants run in all."""
FORMS = {
    "history": ("The history of {}:", ("glass", "the steam engine", "the city of Lisbon")),
    "program": (
        "The following is a {}:",
        ("C program for a linked list", "Rust program for binary search", "SQL query for a library"),
    ),
    "letter": ("Dear {},", ("editor of the newspaper", "grandmother", "members of the committee")),
    "story": (
        "Once upon a time there was {}",
        ("a lighthouse keeper", "a clever fox", "a city under the sea"),
    ),
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


def exact_calls(model: Model, assay: TextAssay, mutants: Sequence[Mutant]) -> pl.DataFrame:
    """Return what mutants do along the wild type's text: columns layer, kind, row, col, mutation, silent,
    first_divergence, silence (of every fifth). Texts behind a divergence are not written: calls do not need them.
    """
    mutants = sorted(mutants, key=lambda mutant: mutant.layer)
    others = [mutant for at, mutant in enumerate(mutants) if at % FIFTH]
    asked = (assay.resolve(model, measure=True), assay.resolve(model))
    parts = zip(asked, (mutants[::FIFTH], others), strict=True)
    return pl.concat(verified(prepared(model, one), some) for one, some in parts)


def prepared(model: Model, asked: ResolvedAssay) -> FastSession:
    """Return what verifies mutants of a prompt."""
    return FastEngine(model, TILING).prepare(asked.prompts, asked.readout)


def verified(session: FastSession, mutants: Sequence[Mutant]) -> pl.DataFrame:
    """Return the calls of mutants, those of lower layers first: columns of :func:`exact_calls`."""
    found = _verified(session, mutants)
    types = {**SITE_SCHEMA, "first_divergence": pl.Int32, "silence": pl.Float64}
    return pl.DataFrame([*found], schema_overrides=types)


def _verified(session: FastSession, mutants: Sequence[Mutant]) -> Iterator[dict[str, object]]:
    prompt, decoder, size = session.asked[0], session.decoder, session.verified
    known = session.wild.reading(prompt)
    verifier = Verifier(decoder, session.head, decoder.new_cache(size, prompt.start + prompt.steps))
    for first in range(0, len(mutants), size):
        rows = [
            Row(m, m.layer, edit_of(session.engine.mutagen, decoder, m), prompt, known.activations)
            for m in mutants[first : first + size]
        ]
        with torch.inference_mode(), threads_for_kernels():
            work = (
                verifier.measure(rows, known.measure)
                if known.measure
                else verifier.verify(rows, known.shortlists)
            )
            found = [_call(row) for row in work]
        yield from found
        print(f"{first + len(rows):,} of {len(mutants):,} calls", flush=True)


def _call(row: Row) -> dict[str, object]:
    assert row.mutant is not None
    silent = row.finite and row.tokens == list(row.text.tokens[: len(row.tokens)])
    key = {name: getattr(row.mutant, name) for name in MUTANT_KEY}
    diverged = None if silent else len(row.tokens) - row.finite
    return {**key, "silent": silent, "first_divergence": diverged, "silence": row.values.get("silence")}


def predicted_changes(
    model: Model, asked: ResolvedAssay, calls: pl.DataFrame
) -> tuple[Predictor, torch.Tensor]:
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


def measured(model: Model, asked: Asked, design: Design, work: Path) -> tuple[pl.DataFrame, int]:
    """Return the calls of a prompt with what is predicted of them, and the number of targets.

    Exact calls that are in the work folder are not run again.
    """
    exact = work / f"{asked.name}.parquet"
    if not exact.exists():
        plans = [
            design.model_copy(update={"mutations": some}).plan(model.genome, TILING) for some in (MAP, ZERO)
        ]
        parts = [exact_calls(model, asked.assay, [*plan.mutants()]) for plan in plans]
        pl.concat(parts).write_parquet(exact)
    calls = pl.read_parquet(exact)
    predictor, changes = predicted_changes(model, asked.assay.resolve(model), calls)
    told = predictor.targets
    kept = {"changes": changes, "margins": told.margins, "steps": told.steps, "unit": told.seeds.norm(dim=-1)}
    assert told.weights is not None
    np.savez(
        work / f"{asked.name}.npz", weights=told.weights.numpy(), **{k: x.numpy() for k, x in kept.items()}
    )
    found = make_calls(changes[:, None, :, None], told)
    assert found.silence is not None
    columns = {"risk": found.risk, "predicted_silence": found.silence}
    calls = calls.with_columns(**{name: pl.Series(x.flatten().numpy()) for name, x in columns.items()})
    return calls, len(told)


def scores(asked: Asked, calls: pl.DataFrame) -> dict[str, object]:
    """Return how good the probabilities are that a calibration gives which did not see their sites."""
    everything = _judged(calls)
    calls = calls.filter(pl.col("mutation").is_in(MAP))
    judged = _judged(calls)
    whole, with_zero = (calibration_scores(each).row(0, named=True) for each in (judged, everything))
    kinds = calibration_scores(judged, "kind")
    sites = judged.group_by(SITE_KEY).agg(share=(~pl.col("silent")).mean())["share"].to_numpy()
    mean = judged["probability"].to_numpy().astype(float).mean()
    return {
        "prompt": asked.assay.prompt,
        "seed": asked.assay.seed,
        "unseen": asked.unseen,
        **{name: whole[name] for name in _SCORES},
        "with_zero": {name: with_zero[name] for name in _SCORES},
        "rate": float(sites.mean()),
        "rate_error": float(1.96 * sites.std(ddof=1) / np.sqrt(len(sites))),
        "probability": float(mean),
        "adaptive": replayed(calls),
        "kinds": dict(kinds.select("group", "auc").iter_rows()),
    }


def _judged(calls: pl.DataFrame) -> pl.DataFrame:
    return cross_fitted(calls).with_columns(weight=pl.lit(1.0))


def replayed(calls: pl.DataFrame, draws: int = 5) -> float:
    """Return the share of right calls of an adaptive run that stops at :data:`RUN`, replayed on calls: some sites at
    random, then the most uncertain mutants, with a calibration after every hundredth; mean of some draws.
    """
    nsm, step, right = (~calls["silent"]).to_numpy(), -(-len(calls) // 100), []
    sites = calls.select(pl.struct(SITE_KEY).rank("dense")).to_series().to_numpy()
    for draw in range(draws):
        drawn = np.random.default_rng(draw).permutation(sites.max())[: round(FIRST * sites.max())] + 1
        known = np.isin(sites, drawn).nonzero()[0]
        while True:
            p = calibrated(calls, fit_calibration(calls[known]))["probability"].to_numpy()
            left = round(RUN * len(calls)) - len(known)
            if left <= 0:
                break
            doubt = np.minimum(p, 1 - p)
            doubt[known] = -1
            known = np.concatenate([known, np.argsort(-doubt, kind="stable")[: min(left, step)]])
        called = (p >= 0.5) == nsm
        called[known] = True
        right.append(called.mean())
    return float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("development", "unseen"))
    parser.add_argument("--only")
    parser.add_argument("--sample", type=int, default=520)
    parser.add_argument("--work", type=Path, default=Path("unseen"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    model = load_model("smollm2-135m", device="cpu")
    design = Design(sample=options.sample, sample_seed=SAMPLE_SEED)
    for asked in prompts():
        if asked.unseen == (options.part == "unseen") and options.only in (None, asked.name):
            calls, targets = measured(model, asked, design, options.work)
            found = {**scores(asked, calls), "targets": targets}
            print(asked.name, found, flush=True)
            RESULTS.mkdir(parents=True, exist_ok=True)
            (RESULTS / f"{asked.name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
