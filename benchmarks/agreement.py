"""Calls of finished screens, replayed in full on the reference engine: agreement, and errors of margins.

    python benchmarks/agreement.py SCREEN... [--calls 40] [--near-ties 0]

Half of the calls are silent and half are NSMs, drawn at random. With ``--near-ties N`` up to N calls more are replayed
that have a margin below 1e-4. Every mismatch is named. The errors of margins are those of the fast engine's against
the reference engine's own logits, at every pick that the two have in common.
"""

from __future__ import annotations

import argparse
import random

import polars as pl
import torch

from mutascope import Results
from mutascope.cli.show import reopen
from mutascope.design import MUTANT_COLUMNS
from mutascope.engine.fast import FastEngine
from mutascope.engine.prompt_run import PromptRun, margin_errors
from mutascope.engine.trace import Row
from mutascope.genome import Mutant
from mutascope.sampling import BEYOND, Picks
from mutascope.screen import Screen

CHOSEN = 1e-4


class Replays:
    """Replays calls of one screen, and gathers the errors of margins."""

    def __init__(self, screen: Screen) -> None:
        self.engine = FastEngine(screen.model, screen.tiling)
        (self.prompt,), self.readout = screen.resolved.prompts, screen.resolved.readout
        self.run = PromptRun(
            self.engine.reference, self.prompt, self.readout, None, self.engine.account.clock
        )
        self.errors: list[torch.Tensor] = []

    def rows(self, records: pl.DataFrame) -> dict[Mutant, Row]:
        """Return what the fast engine makes of the mutants of records."""
        mutants = [Mutant(*row) for row in records.select(MUTANT_COLUMNS).iter_rows()]
        return {row.mutant: row for row, _ in self.run.outputs(mutants)}

    def bounded(self, logits: torch.Tensor, margins: torch.Tensor) -> torch.Tensor:
        """Whether a margin is but a bound, from the last candidate looked at: a shortlist looks at others there."""
        last = self.run.picker.top_k
        if last >= logits.shape[-1]:
            return torch.zeros(len(logits), dtype=torch.bool)
        scores = logits.topk(last + BEYOND, dim=-1).values / self.run.picker.temperature
        return margins > scores[:, last - 1] - scores[:, -1] - CHOSEN

    def compare(self, records: pl.DataFrame, rows: dict[Mutant, Row], what: str) -> None:
        """Replay records one by one, and print as it goes how many agree."""
        wild, different, done, silent = self.run.wild.tokens, [], 0, 0
        for mutant, row in rows.items():
            record = records.filter(**{name: getattr(mutant, name) for name in MUTANT_COLUMNS})
            with self.engine.mutagen.mutated(mutant):
                truth, logits = self.engine.reference.wild_type_logits(self.prompt, self.readout)
            steps = torch.arange(len(logits))
            picks = self.run.picker.pick(logits, steps)
            known = min(len(row.margins), len(steps))
            own = Picks(picks.tokens[:known], torch.tensor(row.margins[:known]), picks.finite[:known])
            errors = margin_errors(own, Picks(*(values[:known] for values in picks)))
            self.errors.append(errors[~self.bounded(logits, picks.margins)[:known]])
            same = tuple(row.tokens) == truth.tokens and record["silent"].item() == (truth.tokens == wild)
            done, silent = done + 1, silent + record["silent"].item()
            different += [] if same else [str(mutant)]
            if done % 10 == 0 or done == len(rows):
                print(f"  {what}: {done - len(different)} of {done} agree, {silent} silent", flush=True)
        if different:
            print("  DIFFERENT:", ", ".join(different), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("screens", nargs="+")
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--near-ties", type=int, default=0)
    options = parser.parse_args()
    for folder in options.screens:
        results = Results(folder)
        screen, records = reopen(results), results.records()
        sampled = results.manifest["generation"]["do_sample"]
        print(f"{results!r}, seed {results.manifest['assay']['seed']}, sampled {sampled}", flush=True)
        draw, replays = random.Random(0), Replays(screen)
        halves = [records.filter(pl.col("silent") == silent) for silent in (True, False)]
        chosen = pl.concat(
            half[sorted(draw.sample(range(len(half)), min(options.calls // 2, len(half))))] for half in halves
        )
        replays.compare(records, replays.rows(chosen), "random calls")
        if options.near_ties:
            rows = replays.rows(records.filter("replayed"))
            close = {mutant: row for mutant, row in rows.items() if min(row.margins) < CHOSEN}
            some = dict(list(close.items())[: options.near_ties])
            replays.compare(records, some, f"margin below {CHOSEN:g}")
        errors, noise = torch.cat(replays.errors), replays.run.noise
        quantiles = ", ".join(f"{q} {float(errors.quantile(q)):.2e}" for q in (0.5, 0.99, 0.999))
        print(f"  errors of {len(errors)} margins: {quantiles}, largest {float(errors.max()):.2e};", end=" ")
        print(f"wild type {noise:.2e} (root mean square), threshold {replays.run.near_tie:.2e}", flush=True)


if __name__ == "__main__":
    main()
