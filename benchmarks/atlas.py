"""An adaptive run, from end to end, on a prompt of the rule, and an exact sample that checks its calls.

    python -m benchmarks.atlas history-1 [--layer 20] [--tile 16] [--error 0.004] [--work FOLDER]

Every mutant of a layer is predicted, and the uncertain ones are run, as mutascope predict does with --error. Then other
sites, drawn at random, are run exactly (benchmarks/results/atlas/).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import polars as pl

from mutascope import Design, Screen
from mutascope.analysis.calibration import weighed
from mutascope.core.schema import MUTANT_KEY
from mutascope.run.prediction import Prediction
from mutascope.store.reader import ScreenData

from .unseen import prompts

RESULTS = Path(__file__).parent / "results" / "atlas"
MODEL, MUTATIONS = "smollm2-135m", ("max", "min")
DRAWN, CHECKED = 200, 400
"""Sites that calibrate, and sites that check."""
CHECK_SEED = 1


def checked(predicted: ScreenData, exact: ScreenData) -> dict[str, object]:
    """Return how many mutants were run, and how the calls of the atlas compare with exact ones of a random sample."""
    records, calls = predicted.records(), predicted.predictions()
    told = exact.records().join(calls.select(*MUTANT_KEY, "probability"), on=MUTANT_KEY)
    told = weighed(told, exact.loci).join(
        records.select(*MUTANT_KEY, run=pl.lit(value=True)), on=MUTANT_KEY, how="left"
    )
    right = (pl.col("probability") >= 0.5) != pl.col("silent")
    told = told.with_columns(right=pl.col("run").fill_null(value=False) | right)
    mean = told.select(right=(pl.col("right") * pl.col("weight")).sum() / pl.col("weight").sum()).item()
    return {
        "mutants": len(calls),
        "run": len(records),
        "checked": len(told),
        "checked_run": told["run"].count(),
        "wrong": int((~told["right"]).sum()),
        "right": float(mean),
        "nsm": int((~told["silent"]).sum()),
        "by_kind": dict(told.group_by("kind").agg(wrong=(~pl.col("right")).sum()).sort("kind").iter_rows()),
    }


def main() -> None:
    named = {asked.name: asked for asked in prompts()}
    parser = argparse.ArgumentParser()
    parser.add_argument("prompt", choices=named)
    parser.add_argument("--layer", type=int, default=20)
    parser.add_argument("--tile", type=int, default=16)
    parser.add_argument("--error", type=float, default=0.004)
    parser.add_argument("--work", type=Path, default=Path("atlas"))
    options = parser.parse_args()
    asked, work = named[options.prompt], options.work / options.prompt
    design = Design(layers=(options.layer,), mutations=MUTATIONS)
    job = Prediction(MODEL, asked.assay, design, sample=DRAWN, tile=options.tile)
    predicted = job.run(work / "predicted", error=options.error)
    sample = design.model_copy(update={"sample": CHECKED, "sample_seed": CHECK_SEED})
    exact = Screen(MODEL, asked.assay, sample, tile=options.tile)
    exact.run(work / "exact")
    found = {
        "prompt": asked.assay.prompt,
        "unseen": asked.unseen,
        "layer": options.layer,
        "tile": options.tile,
        "error": options.error,
        **checked(predicted, exact.results),
    }
    print(json.dumps(found, indent=1))
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = f"{asked.name}-{options.layer}-{options.tile}-{options.error}"
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
