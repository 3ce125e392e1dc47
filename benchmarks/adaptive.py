"""Complete exact maps against samples and adaptive runs of them: coverage of intervals, right calls by exact runs.

    mutascope screen --layers 20 --kinds v --mutations max,min --out 20.v
    mutascope predict --layers 20 --kinds v --mutations max,min --out 20.v
    python benchmarks/adaptive.py 20.v... [--resamples 200] [--sites 40] [--out curve.png]

The folders hold every mutant of their loci, run and predicted. Samples and adaptive runs are replayed on these records.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl

from mutascope import ScreenData
from mutascope.analysis.calibration import (
    auc,
    calibrated,
    cross_fitted,
    expected_calibration_error,
    fit_calibration,
)
from mutascope.analysis.combined import combined_rates
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY, SITE_KEY
from mutascope.run.rounds import choose

FIRST = 0.05
"""Share of the sites that an adaptive run draws at random."""
TARGETS = (0.05, 0.02, 0.01, 0.007, 0.005, 0.003, 0.002)
UNIT = 16


def sites_of(calls: pl.DataFrame, count: int, random: np.random.Generator) -> pl.DataFrame:
    """Return the calls of as many random sites of every locus."""
    drawn = []
    for _, locus in calls.group_by("layer", "kind", maintain_order=True):
        sites = locus.select(SITE_KEY).unique(maintain_order=True)
        chosen = np.sort(random.choice(len(sites), min(count, len(sites)), replace=False))
        drawn.append(locus.join(sites[chosen], on=SITE_KEY, how="semi"))
    return pl.concat(drawn)


def coverage(calls: pl.DataFrame, loci: pl.DataFrame, resamples: int, sites: int) -> None:
    """Print how often intervals hold the true rate, and how wide they are."""
    truth = float((~calls["silent"]).mean())  # pyright: ignore[reportArgumentType]
    found = []
    for seed in range(resamples):
        sample = sites_of(calls, sites, np.random.default_rng(seed)).select(*MUTANT_KEY, "silent")
        found.append(combined_rates(calls.select(*MUTANT_KEY, "risk"), sample, loci, seed=seed))
    rates = pl.concat(found)
    for name, prefix in (("combined", ""), ("sample alone", "sample_")):
        low, high = rates[f"{prefix}low"], rates[f"{prefix}high"]
        held = ((low <= truth) & (truth <= high)).mean()
        print(
            f"{name}: holds the true rate {truth:.4f} in {100 * held:.1f} % of {resamples},"
            f" mean width {(high - low).mean():.4f}, mean {rates[f'{prefix}rate'].mean():.4f}",
            flush=True,
        )
    narrower = ((rates["high"] - rates["low"]) < (rates["sample_high"] - rates["sample_low"])).mean()
    print(f"the combined interval is the shorter one in {100 * narrower:.1f} %")


def adaptive(calls: pl.DataFrame, target: float, seed: int) -> tuple[float, float]:
    """Return the share of mutants that an adaptive run to a target runs, and the share of right calls it ends with."""
    random = np.random.default_rng(seed)
    sites = calls.select(SITE_KEY).n_unique() // calls.select(*LOCUS_KEY).n_unique()
    first = sites_of(calls, max(1, round(FIRST * sites)), random).select(MUTANT_KEY)
    known = calls.with_row_index("at").join(first, on=MUTANT_KEY, how="semi")["at"].to_numpy()
    nsm = (~calls["silent"]).to_numpy()
    while True:
        curve = fit_calibration(calls[known])
        probability = calibrated(calls, curve)["probability"].to_numpy()
        more, _ = choose(probability, known, target, UNIT)
        if not len(more):
            right = (probability >= 0.5) == nsm
            right[known] = True
            return len(known) / len(calls), float(right.mean())
        known = np.concatenate([known, more])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("screens", nargs="+")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--sites", type=int, default=40)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    opened = [ScreenData(folder) for folder in options.screens]
    every = [results.checked_calls() for results in opened]
    loci = pl.concat(results.loci for results in opened)
    calls = pl.concat(every, how="diagonal_relaxed")
    print(f"{len(calls):,} exact calls of {calls.select('layer', 'kind').n_unique()} loci")
    judged = cross_fitted(calls)
    p, y = judged["probability"].to_numpy().astype(float), (~judged["silent"]).to_numpy()
    print(f"cross-fitted AUC {auc(p, y):.4f}, right {((p >= 0.5) == y).mean():.4f}", end=", ")
    print(f"ECE {expected_calibration_error(p, y, np.ones(len(p))):.4f}")
    coverage(calls, loci, options.resamples, options.sites)
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    for part in every:
        layer, kind = part.select(*LOCUS_KEY).row(0)
        points = []
        for target in TARGETS:
            runs = np.array([adaptive(part, target, seed) for seed in range(options.draws)])
            points.append(runs.mean(axis=0))
            print(
                f"{layer}.{kind} --error {target}: run {points[-1][0]:.3f}, right {points[-1][1]:.4f}",
                end=" ",
            )
            print(f"(worst {runs[:, 1].min():.4f})", flush=True)
        run, right = 100 * np.array(points).T
        axes.plot(run, 100 - right, "o-", label=f"{layer}.{kind}")
    axes.axhline(1, color="#999999", linewidth=0.8)
    axes.set(xlabel="mutants run exactly (%)", ylabel="wrong calls (%)", ylim=(0, None))
    axes.legend()
    if options.out:
        figure.savefig(options.out, dpi=150)


if __name__ == "__main__":
    main()
