"""What more rivals per generated token gain and cost: AUC of the risk, before calibration, on the calls of a screen.

python benchmarks/gains.py SCREEN [--rivals 1,2,4]
"""

from __future__ import annotations

import argparse
import time

import polars as pl

from mutascope import Screen, ScreenData
from mutascope.analysis.calibration import auc
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.predict.predictor import Predictor

MUTANT_KEY = [*MUTANT_KEY]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("screen")
    parser.add_argument("--rivals", default="1,2,4")
    options = parser.parse_args()
    results = ScreenData(options.screen)
    screen, records = Screen.reopen(results), results.records()
    mutations = results.manifest.design.mutations
    loci = {f"{layer}.{kind}" for layer, kind in records.select(*LOCUS_KEY).unique().iter_rows()}
    print(f"{results!r}: {len(records):,} exact calls, {int((~records['silent']).sum())} NSMs", flush=True)
    for rivals in map(float, options.rivals.split(",")):
        resolved = screen.resolved
        predictor = Predictor(
            screen.model, screen.tiling, resolved.prompts, resolved.readout, mutations, rivals
        )
        start, parts = time.perf_counter(), []
        for locus, calls in predictor.calls(loci):
            frame = calls.frame(locus, mutations).with_columns(
                layer=pl.lit(locus.layer, pl.Int16), kind=pl.lit(locus.kind)
            )
            parts.append(records.join(frame.select(*MUTANT_KEY, "risk", "margin"), on=MUTANT_KEY))
        seconds, known = time.perf_counter() - start, pl.concat(parts)
        hits = (~known["silent"]).to_numpy()
        print(f"{rivals:g} rivals, {len(predictor.targets)} targets: {seconds:.0f} s,", end=" ")
        print(f"AUC {auc(known['risk'].to_numpy(), hits):.4f},", end=" ")
        print(f"of the smallest margin {auc(-known['margin'].to_numpy(), hits):.4f};", end=" ")
        by_kind = {
            kind: round(auc(part["risk"].to_numpy(), (~part["silent"]).to_numpy()), 4)
            for (kind,), part in known.group_by("kind", maintain_order=True)
        }
        print(by_kind, flush=True)


if __name__ == "__main__":
    main()
