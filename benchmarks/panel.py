"""A panel on both engines: seconds per output, ratio, agreement.

    python -m benchmarks.panel SCREEN [--nsms 20] [--prompts writers] [--references 5] [--outputs 10] [--batch 256]
                              [--json FILE]

Takes NSMs from a screen as ``mutascope panel`` does. Everything is measured in one run on one machine.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from pathlib import Path

from benchmarks.rates import products
from benchmarks.saving import save

from mutascope import Mutant, ScreenData, Tiling, load_model
from mutascope.analysis.selection import PAPER, parse_selection, select_mutants
from mutascope.assays import PanelAssay
from mutascope.core.schema import MUTANT_KEY
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("screen")
    parser.add_argument("--nsms", type=int, default=20)
    parser.add_argument("--prompts", default="writers")
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--outputs", type=int, default=10)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    results = ScreenData(options.screen)
    model, tiling = load_model(results.manifest.model.name), Tiling(results.manifest.tile)
    assay = PanelAssay(name="panel", prompts=options.prompts, temperature=0.7).resolve(model)
    chosen = select_mutants(results.records(), parse_selection(f"{PAPER}, at most {options.nsms} NSMs"))
    mutants = [Mutant(*row) for row in chosen.select(MUTANT_KEY).iter_rows()]
    rate = products({(locus.rows, locus.cols) for locus in model.genome}, model.network.dtype)["own"]

    start = time.perf_counter()
    engine, reference = FastEngine(model, tiling, options.batch), ReferenceEngine(model, tiling, stock=True)
    session = engine.prepare(assay.prompts, assay.readout)
    print(f"matmul {rate:.0f} GFLOP/s; wild types {time.perf_counter() - start:.1f} s", flush=True)
    before, start = session.flop, time.perf_counter()
    found = {}
    for outcome in session.run(mutants):
        found[outcome.mutant] = outcome
        print(f"{len(found)} of {len(mutants)} after {time.perf_counter() - start:.0f} s", flush=True)
    seconds = time.perf_counter() - start
    outputs, account = len(mutants) * len(assay.prompts), session.account
    flop = session.flop - before
    print(f"fast: {len(mutants)} mutants, {outputs} outputs, {1e3 * seconds / outputs:.0f} ms an output")
    print(f"  verifying {account.verifying:.1f} s, decoding {account.decoding:.1f} s")
    print(
        f"  {flop / outputs / 1e9:.1f} GFLOP an output, {100 * flop / seconds / 1e9 / rate:.0f} % of the matmul rate"
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  peak memory {memory:.2f} GB", flush=True)

    rng, same, calls = random.Random(0), 0, 0
    start = time.perf_counter()
    for mutant in rng.sample(mutants, min(options.references, len(mutants))):
        for place in sorted(rng.sample(range(len(assay.prompts)), min(options.outputs, len(assay.prompts)))):
            (outcome,) = reference.prepare([assay.prompts[place]], assay.readout).run([mutant])
            equal = outcome.outputs[0] == found[mutant].outputs[place]
            same, calls = same + equal, calls + 1
            if not equal:
                print(f"DIFFERENT: {mutant} on prompt {place}", flush=True)
    each = (time.perf_counter() - start) / calls
    print(
        f"loop with stock kernels: {1e3 * each:.0f} ms an output on {calls} of them; {same} of {calls} equal"
    )
    ratio = each / (seconds / outputs)
    print(f"RATIO: {ratio:.1f}")
    save(
        options.json,
        {
            "assay": f"{options.prompts}, {len(assay.prompts)} prompts",
            "tile": results.manifest.tile,
            "mutants": len(mutants),
            "ms": 1e3 * seconds / len(mutants),
            "loop_stock_s": each * len(assay.prompts),
            "ratio": ratio,
            "stock_equal": f"{same} of {calls} outputs",
            "peak_memory_gb": round(memory, 2),
        },
    )


if __name__ == "__main__":
    main()
