"""Which findings are there whatever the seed: maps of eight seeds, and the mean chance of silence over their texts.

python -m benchmarks.luck [--work screens/luck] [--json benchmarks/results/luck.json]

Complete loci of several kinds and layers are screened with --seeds 0-7, and a site of every locus in two assays, for
the correlation of layers. Screens that are in the folder already are read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from itertools import combinations, product
from pathlib import Path

import numpy as np
import polars as pl

from mutascope import Design, Screen, load_assay
from mutascope.analysis.overlap import layer_correlations
from mutascope.analysis.seeds import map_of_seed, nsm_chances, seed_rates, silence_columns, survival
from mutascope.store.reader import ScreenData

SEEDS = "0-7"
COMPLETE = {
    "loci": (48, Design(layers=(10, 19, 28), kinds=("q", "k", "v", "o"))),
    "mlp": (96, Design(layers=(10, 28), kinds=("gate", "up", "down"))),
}
"""Complete loci by screen, with its tile; matrices of the MLP are larger."""
TILE, LAYERS = 48, Design(sample=210)
LENGTHS = {"drosophila": 17, "python0": 20}
"""Tokens with the prompt: longer texts would leave hardly a silent mutant at this tile."""


def screen(work: Path, name: str, assay: str, design: Design, tile: int = TILE) -> ScreenData:
    """Run a screen, or go on with it, and return what is stored."""
    stated = load_assay(assay, seeds=SEEDS, max_length=LENGTHS[assay])
    job = Screen("smollm2-135m", stated, design, tile=tile)
    job.run(work / name)
    return job.results


def agreement(records: pl.DataFrame) -> dict[str, float]:
    """How alike two seeds are: calls, their correlation, and that of the chances; and the reliability of the mean."""
    columns = silence_columns(records)
    calls = np.stack([(~map_of_seed(records, name)["silent"]).to_numpy().astype(float) for name in columns])
    chances = records.select(columns).to_numpy().T.astype(float)
    rates, number = seed_rates(records), len(columns)
    between = {
        name: float(np.corrcoef(table)[np.triu_indices(number, 1)].mean())
        for name, table in (("r_of_calls", calls), ("r_of_chances", chances))
    }
    r = between["r_of_chances"]
    return {
        "alike": float(rates["alike"].to_numpy().mean()),
        "alike_by_chance": float(rates["alike_by_chance"].to_numpy().mean()),
        **between,
        "reliability_of_mean": number * r / (1 + (number - 1) * r),
    }


def by_layer(records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """NSMs per layer by seed, and those to expect by the mean chance of all, of the first and of the last seeds."""
    columns = silence_columns(records)
    found = {
        name: map_of_seed(records, name).group_by("layer").agg(nsm=(~pl.col("silent")).sum())
        for name in columns
    }
    half = len(columns) // 2
    for name, some in (("mean", columns), ("first half", columns[:half]), ("last half", columns[half:])):
        chances = nsm_chances(records, some)
        found[name] = chances.group_by("layer").agg(nsm=pl.col("max").sum() + pl.col("min").sum())
    return found


def layers(screens: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    """Squares of layer correlations: of two seeds of one prompt, of two prompts, and of means over seeds."""
    counts = {label: by_layer(records) for label, records in screens.items()}
    (one, other), seeds = counts.values(), silence_columns(next(iter(screens.values())))

    def r_squared(first: pl.DataFrame, second: pl.DataFrame) -> float:
        both = [first.with_columns(assay=pl.lit("a")), second.with_columns(assay=pl.lit("b"))]
        table = layer_correlations(pl.concat(part.cast({"nsm": pl.Float64}) for part in both))
        return float(table.filter(assay_a="a", assay_b="b")["r_squared"][0])

    same = [r_squared(own[a], own[b]) for own in (one, other) for a, b in combinations(seeds, 2)]
    apart = [r_squared(one[a], other[b]) for a, b in product(seeds, repeat=2)]
    return {
        "two_seeds": float(np.mean(same)),
        "two_prompts": float(np.mean(apart)),
        "two_prompts_least": min(apart),
        "two_prompts_most": max(apart),
        "halves_of_seeds": float(
            np.mean([r_squared(own["first half"], own["last half"]) for own in (one, other)])
        ),
        "means_of_two_prompts": r_squared(one["mean"], other["mean"]),
    }


def of_complete_loci(results: ScreenData) -> dict[str, object]:
    """What is there whatever the seed, in the loci of a screen."""
    records = results.records()
    return {
        "tile": results.manifest.tile,
        "loci": [locus.name for locus in results.manifest.loci],
        "mutants": len(records),
        "tokens": len(results.manifest.wild_type[0].tokens),
        "findings": survival(records, results.loci).to_dicts(),
        "rates": seed_rates(records).to_dicts(),
        "agreement": agreement(records),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, default=Path("screens/luck"))
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/luck.json"))
    options = parser.parse_args()
    whole = [
        screen(options.work, name, "drosophila", design, tile) for name, (tile, design) in COMPLETE.items()
    ]
    several = {name: screen(options.work, name, name, LAYERS).records() for name in LENGTHS}
    told = {
        "model": whole[0].manifest.model.name,
        "complete": [of_complete_loci(results) for results in whole],
        "layers": layers(several),
        "layer_mutants": {name: len(part) for name, part in several.items()},
    }
    options.json.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
