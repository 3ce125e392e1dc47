"""Calls of finished screens, replayed in full on the reference engine.

    python benchmarks/agreement.py SCREEN... [--calls 40] [--near-ties]

Half of the calls are silent and half are NSMs, drawn at random. With ``--near-ties`` the calls that were settled
because of a small margin are replayed as well, those below 1e-4 counted apart. Every mismatch is named.
"""

from __future__ import annotations

import argparse
import random

import polars as pl

from mutascope import Results
from mutascope.cli.show import reopen
from mutascope.controls import mismatches
from mutascope.engine.fast import FastEngine
from mutascope.engine.prompt_run import PromptRun
from mutascope.genome import Mutant
from mutascope.screen import Screen

CHOSEN = 1e-4


def least_margins(screen: Screen, mutants: list[Mutant]) -> dict[Mutant, float]:
    """Return the smallest margin that the fast engine meets on the way of every mutant."""
    engine = FastEngine(screen.model, screen.tiling)
    (prompt,), readout = screen.resolved.prompts, screen.resolved.readout
    run = PromptRun(engine.reference, prompt, readout, None, engine.account.clock)
    return {row.mutant: row.margin for row, _ in run.outputs(mutants)}


def replay(screen: Screen, records: pl.DataFrame, what: str) -> None:
    """Replay calls one by one, and print as it goes how many agree."""
    different: list[str] = []
    for done in range(1, len(records) + 1):
        different += mismatches(screen.reader, screen.tiling, records[done - 1 : done])
        if done % 5 == 0 or done == len(records):
            silent = int(records[:done]["silent"].sum())
            print(f"  {what}: {done - len(different)} of {done} agree, {silent} silent", flush=True)
    if different:
        print("  DIFFERENT:", ", ".join(different), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("screens", nargs="+")
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--near-ties", action="store_true")
    options = parser.parse_args()
    for folder in options.screens:
        results = Results(folder)
        screen, records = reopen(results), results.records()
        sampling = results.manifest["generation"]
        print(
            f"{results!r}, seed {results.manifest['assay']['seed']}, sampled {sampling['do_sample']}",
            flush=True,
        )
        draw = random.Random(0)
        halves = [records.filter(pl.col("silent") == silent) for silent in (True, False)]
        chosen = pl.concat(
            half[sorted(draw.sample(range(len(half)), min(options.calls // 2, len(half))))] for half in halves
        )
        replay(screen, chosen, "random calls")
        if options.near_ties:
            tied = records.filter("replayed")
            mutants = [
                Mutant(*row) for row in tied.select("layer", "kind", "row", "col", "mutation").iter_rows()
            ]
            margins = least_margins(screen, mutants)
            close = [margins[mutant] < CHOSEN for mutant in mutants]
            replay(screen, tied.filter(close), f"margin below {CHOSEN:g}")
            replay(screen, tied.filter([not one for one in close]), "other settled calls")


if __name__ == "__main__":
    main()
