"""An adaptive run within a random sample of the mutants of a whole model, and exact calls that check it.

    python -m benchmarks.sampled history-1 [--sites 8000] [--error 0.006]

All loci at tile 8, max and min. Every mutant of the sampled sites is predicted; a twentieth of the sites is run, then
the most uncertain mutants, in the rounds of mutascope predict. Then sites of the sample, drawn at random, are run to
check the calls (benchmarks/results/sampled/). A run is a pass along the wild type's text that ends where the mutant
leaves it; texts behind that are not written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from mutascope import Design, load_model
from mutascope.analysis.calibration import calibrated, fit_calibration
from mutascope.core.genome import Mutant
from mutascope.core.schema import MUTANT_KEY, SITE_KEY, SITE_SCHEMA
from mutascope.engine.session import FastSession
from mutascope.predict.calls import make_calls
from mutascope.run.rounds import choose

from .unseen import FIRST, MAP, TILING, predicted_changes, prepared, prompts, verified

RESULTS = Path(__file__).parent / "results" / "sampled"
SAMPLE_SEED, DRAW_SEED, CHECK_SEED = 11, 0, 1
CHECKED, UNIT = 400, 64
"""Sites that check the calls, and mutants that a round is a multiple of."""


def of_sites(calls: pl.DataFrame, count: int, seed: int) -> np.ndarray:
    """Return the places of all calls of some random sites."""
    sites = calls.select(pl.struct(SITE_KEY).rank("dense") - 1).to_series().to_numpy()
    chosen = np.random.default_rng(seed).choice(sites.max() + 1, count, replace=False)
    return np.isin(sites, chosen).nonzero()[0]


def adaptive(
    session: FastSession, mutants: Sequence[Mutant], calls: pl.DataFrame, error: float
) -> pl.DataFrame:
    """Run some mutants, lower layers first, until the expected share of wrong calls is small.

    Args:
        session: of the prompt.
        mutants: lower layers first.
        calls: their predictions, columns kind, risk and those of a mutant's key.
        error: share of wrong calls to end with.

    Returns:
        The calls with columns silent (null where not run) and probability.
    """
    known = of_sites(calls, round(FIRST * calls.select(SITE_KEY).n_unique()), DRAW_SEED)
    run, exact = known, calls.clear()
    while True:
        exact = pl.concat([exact, verified(session, [mutants[at] for at in np.sort(run)])], how="diagonal")
        told = calls.join(
            exact.select(*MUTANT_KEY, "silent"), on=MUTANT_KEY, how="left", maintain_order="left"
        )
        told = calibrated(told, fit_calibration(told.drop_nulls("silent")))
        run, expected = choose(told["probability"].to_numpy(), known, error, UNIT)
        print(f"{len(known):,} of {len(calls):,} run, expected wrong {expected:.4f}", flush=True)
        if not len(run):
            return told
        known = np.concatenate([known, run])


def main() -> None:
    named = {asked.name: asked for asked in prompts()}
    parser = argparse.ArgumentParser()
    parser.add_argument("prompt", choices=named)
    parser.add_argument("--sites", type=int, default=8000)
    parser.add_argument("--error", type=float, default=0.006)
    options = parser.parse_args()
    asked, model = named[options.prompt], load_model("smollm2-135m", device="cpu")
    design = Design(sample=options.sites, sample_seed=SAMPLE_SEED, mutations=MAP)
    mutants = [*design.plan(model.genome, TILING).mutants()]
    calls = pl.DataFrame(mutants, schema_overrides=SITE_SCHEMA)
    predictor, changes = predicted_changes(model, asked.assay.resolve(model), calls)
    risk = make_calls(changes[:, None, :, None], predictor.targets).risk.flatten()
    session = prepared(model, asked.assay.resolve(model))
    told = adaptive(session, mutants, calls.with_columns(risk=pl.Series(risk.numpy())), options.error)
    check = of_sites(calls, CHECKED, CHECK_SEED)
    exact = verified(session, [mutants[at] for at in check if told["silent"][int(at)] is None])
    wrong = exact.join(told, on=MUTANT_KEY).filter((pl.col("probability") >= 0.5) == pl.col("silent"))
    found = {
        "prompt": asked.assay.prompt,
        "unseen": asked.unseen,
        "mutants": len(calls),
        "error": options.error,
        "run": told["silent"].count(),
        "checked": len(check),
        "checked_run": len(check) - len(exact),
        "wrong": len(wrong),
        "right": 1 - len(wrong) / len(check),
    }
    print(json.dumps(found, indent=1))
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{asked.name}-{options.error}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
