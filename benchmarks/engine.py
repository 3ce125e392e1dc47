"""The fast engine against ``generate``, in one run: seconds a mutant, ratio, agreement, share of the processor's peak.

    python -m benchmarks.engine [--tile 8] [--mutations max,min] [--sites 750] [--references 40] [--stock 12]
                                [--assay drosophila] [--dtype float32] [--measure] [--json FILE]

The loop is the paper's: write the tile, ``generate`` at batch size 1, restore. It is timed with torch's own (*stock*)
kernels, and with ours, which define the truth. The ratio is stock seconds over fast seconds a mutant; the fast
engine's include its controls.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from benchmarks.rates import peak, products
from benchmarks.saving import save

from mutascope import Design, Tiling, load_assay, load_model
from mutascope.assays.phenotype import PhenotypeReader
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.numerics.build import find_library
from mutascope.run.controls import run_controls
from mutascope.run.description import processor


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--assay", default="drosophila")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--tile", type=int, default=8)
    parser.add_argument("--mutations", default="max,min")
    parser.add_argument("--sites", type=int, default=750)
    parser.add_argument("--references", type=int, default=40)
    parser.add_argument("--stock", type=int, default=12)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    options = parse()
    model, tiling = load_model(options.model, device="cpu", dtype=options.dtype), Tiling(options.tile)
    changes = {} if options.seed is None else {"seed": options.seed}
    if options.greedy:
        changes |= {"greedy": True, "temperature": None}
    assay = load_assay(options.assay, **changes).resolve(model, measure=options.measure)
    asked = (assay.prompts, assay.readout)
    plan = Design(sample=options.sites, mutations=tuple(options.mutations.split(","))).plan(
        model.genome, tiling
    )
    mutants = plan.mutants()
    found: dict[str, Any] = {
        "version": version("mutascope"),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "kernels": find_library().name.rpartition("-")[0],
        "model": options.model,
        "dtype": options.dtype,
        "assay": options.assay,
        "tile": options.tile,
        "mutants": len(mutants),
    }

    def note(**facts: object) -> None:
        found.update(facts)
        print("  ".join(f"{key}: {value}" for key, value in facts.items()), flush=True)

    before = peak(model.network.dtype)
    rates = products({(locus.rows, locus.cols) for locus in model.genome}, model.network.dtype)
    note(peak_gflops=before, **{f"{name}_gflops": round(rate) for name, rate in rates.items()})

    session = FastEngine(model, tiling, options.batch).prepare(*asked)
    reader = PhenotypeReader(model, assay, session.wild_type)
    start = time.perf_counter()
    outcomes = {}
    for outcome in session.run(mutants):
        outcomes[outcome.mutant] = outcome
        if len(outcomes) % 200 == 0:
            print(f"{len(outcomes)} of {len(mutants)} after {time.perf_counter() - start:.0f} s", flush=True)
    screened, flop = time.perf_counter() - start, session.flop
    records = reader.shard([outcomes[mutant] for mutant in mutants]).records
    controls = run_controls(session, reader, plan, tiling, records)
    total = time.perf_counter() - start
    account = session.account
    note(
        nsm=round(float((~records["silent"]).to_numpy().mean()), 3),
        phenotypes=records["phenotype"].n_unique(),
        ms_screened=round(1e3 * screened / len(mutants), 1),
        ms=round(1e3 * total / len(mutants), 1),
        verifying_s=round(account.verifying, 1),
        decoding_s=round(account.decoding, 1),
        measuring_s=round(account.measuring, 1),
        gflop=round(flop / len(mutants) / 1e9, 2),
        gflops=round(flop / screened / 1e9),
    )
    note(controls=controls)
    after = peak(model.network.dtype)
    if before and after:
        best = max(before, after)
        note(
            peak_gflops=round(best),
            peak_share_screened=round(flop / screened / 1e9 / best, 3),
            peak_share=round(session.flop / total / 1e9 / best, 3),
        )
    note(peak_memory_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2))

    chosen = random.Random(0).sample(mutants, min(options.references, len(mutants)))
    for name, count in (("own", len(chosen)), ("stock", min(options.stock, len(chosen)))):
        reference = ReferenceEngine(model, tiling, stock=name == "stock")
        start = time.perf_counter()
        truth = list(reference.prepare(*asked).run(chosen[:count]))
        seconds = (time.perf_counter() - start) / count
        different = [str(o.mutant) for o in truth if o.outputs != outcomes[o.mutant].outputs]
        if name == "stock":
            different = [
                str(o.mutant)
                for o in truth
                if [each.tokens for each in o.outputs] != [each.tokens for each in outcomes[o.mutant].outputs]
            ]
        note(**{f"loop_{name}_s": round(seconds, 3), f"{name}_equal": f"{count - len(different)} of {count}"})
        if different:
            print("  different:", *different, flush=True)
    note(
        ratio=round(found["loop_stock_s"] / (total / len(mutants)), 1),
        ratio_own=round(found["loop_own_s"] / (total / len(mutants)), 1),
    )
    save(options.json, found)


if __name__ == "__main__":
    main()
