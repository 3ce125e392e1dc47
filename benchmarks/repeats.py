"""Cost per mutant against the number of mutants of one locus: it falls, because phenotypes repeat.

python benchmarks/repeats.py [--layer 24] [--kind o] [--counts 500,2000,8000] [--references 20]
                             [--out docs/images/repeats.png]

Of the last count, some NSMs are replayed in full on the reference engine.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import matplotlib.pyplot as plt

from mutascope import Design, Tiling, load_assay, load_model
from mutascope.engine.fast import FastEngine


def draw(out: Path, locus: str, counts: list[int], costs: list[float], kinds: list[int]) -> None:
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axes.plot(counts, costs, "o-", color="#333333")
    for count, cost, kind in zip(counts, costs, kinds, strict=True):
        axes.annotate(
            f"{kind} phenotypes", (count, cost), xytext=(0, -16), textcoords="offset points", ha="center"
        )
    axes.set(xscale="log", ylim=(0, 1.25 * max(costs)), xlabel="mutants of the locus", ylabel="ms a mutant")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_title(f"{locus}, drosophila, tile 8", fontsize=10)
    axes.margins(x=0.25)
    figure.savefig(out, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layer", type=int, default=24)
    parser.add_argument("--kind", default="o")
    parser.add_argument("--counts", default="500,2000,8000")
    parser.add_argument("--references", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs/images/repeats.png"))
    options = parser.parse_args()
    model, tiling = load_model("smollm2-135m"), Tiling(8)
    assay = load_assay("drosophila").resolve(model)
    counts, costs, kinds, found = [], [], [], {}
    engine = FastEngine(model, tiling)
    for count in map(int, options.counts.split(",")):
        # one that has not seen what other mutants write
        session = engine.prepare(assay.prompts, assay.readout)
        design = Design(layers=(options.layer,), kinds=(options.kind,), sample=count // 2)
        mutants = design.plan(model.genome, tiling).mutants()
        start, before = time.perf_counter(), session.flop
        found = {outcome.mutant: outcome.outputs[0].tokens for outcome in session.run(mutants)}
        each = 1e3 * (time.perf_counter() - start) / len(mutants)
        counts.append(len(mutants))
        costs.append(each)
        kinds.append(len(set(found.values())))
        flop = (session.flop - before) / len(mutants) / 1e9
        print(
            f"{len(mutants)} mutants: {each:.1f} ms each, {kinds[-1]} phenotypes,"
            f" {flop:.1f} GFLOP each, {1e3 * flop / each:.0f} GFLOP/s; {session.account}",
            flush=True,
        )
    reference = engine.reference.prepare(assay.prompts, assay.readout)
    wild = reference.wild_type[0].tokens
    loud = [mutant for mutant, tokens in found.items() if tokens != wild]
    chosen = random.Random(0).sample(loud, min(options.references, len(loud)))
    truth = reference.run(chosen)
    different = [str(o.mutant) for o in truth if o.outputs[0].tokens != found[o.mutant]]
    print(f"agreement: {len(chosen) - len(different)} of {len(chosen)} NSMs {different}")
    draw(options.out, f"layer {options.layer} {options.kind}", counts, costs, kinds)


if __name__ == "__main__":
    main()
