"""A choice assay on both engines: seconds per mutant, ratio, agreement, arithmetic and its ceiling.

    python -m benchmarks.choice --questions FOLDER [--assay mmlu21] [--tile 8] [--sites 210] [--mutations max,min]
                                [--references 60] [--rows 16] [--json FILE]

Everything is measured in one run on one machine, as in benchmarks/engine.py.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from pathlib import Path
from typing import Any

from benchmarks.rates import products
from benchmarks.saving import save

from mutascope import Design, Tiling, load_assay, load_model
from mutascope.assays import ChoiceAssay, ResolvedChoice
from mutascope.assays.phenotype import PhenotypeReader
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import Model
from mutascope.run.controls import run_controls


def reference_flop(model: Model, assay: ResolvedChoice) -> int:
    """Floating-point operations of one mutant on the reference engine: every question from its first token."""
    network: Any = model.network
    config, layers = network.config, network.model.layers
    per_token = 2 * sum(p.numel() for p in layers[0].parameters() if p.ndim == 2)
    width = config.num_attention_heads * layers[0].self_attn.head_dim
    lengths = [len(prompt.tokens) for prompt in assay.prompts]
    body = sum(length * (per_token + 4 * length * width) for length in lengths)
    return len(layers) * body + 2 * len(lengths) * network.lm_head.weight.numel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--assay", default="mmlu21")
    parser.add_argument("--questions")
    parser.add_argument("--tile", type=int, default=8)
    parser.add_argument("--mutations", default="max,min")
    parser.add_argument("--sites", type=int, default=210)
    parser.add_argument("--references", type=int, default=60)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    model, tiling = load_model(options.model), Tiling(options.tile)
    stated = load_assay(options.assay, **({"questions": options.questions} if options.questions else {}))
    assert isinstance(stated, ChoiceAssay)
    assay = stated.resolve(model, ReferenceEngine(model, tiling).read_out)
    design = Design(sample=options.sites, mutations=tuple(options.mutations.split(",")))
    plan = design.plan(model.genome, tiling)
    mutants = plan.mutants()
    rate = products({(locus.rows, locus.cols) for locus in model.genome}, model.network.dtype)["own"]
    print(f"matmul {rate:.0f} GFLOP/s; questions {assay.numbers}", flush=True)

    engine, reference = FastEngine(model, tiling, options.rows), ReferenceEngine(model, tiling, stock=True)
    session = engine.prepare(assay.prompts, assay.readout)
    reader = PhenotypeReader(model, assay, session.wild_type)
    before = session.flop
    start = time.perf_counter()
    found = {}
    for outcome in session.run(mutants):
        found[outcome.mutant] = outcome
        if len(found) % 50 == 0:
            print(f"{len(found)} of {len(mutants)} after {time.perf_counter() - start:.0f} s", flush=True)
    screened = time.perf_counter() - start
    flop = (session.flop - before) / len(mutants)
    shard = reader.shard([found[mutant] for mutant in mutants])
    controls = run_controls(session, reader, plan, tiling, shard.records, shard.outputs)
    total = time.perf_counter() - start
    records, account, whole = shard.records, session.account, reference_flop(model, assay)
    print(f"{len(mutants)} mutants, {100 * (~records['silent']).to_numpy().mean():.0f} % NSM,", end=" ")
    print(f"{records['phenotype'].n_unique()} phenotypes, {records['destructive'].sum()} destructive")
    print(
        f"fast: {screened / len(mutants):.3f} s a mutant screened, {total / len(mutants):.3f} with controls"
    )
    print(f"  passes {account.verifying:.1f} s; controls {controls}")
    print(
        f"  {flop / 1e9:.1f} GFLOP a mutant, reference {whole / 1e9:.1f}: the ceiling is {whole / flop:.1f}"
    )
    share = flop * len(mutants) / screened / 1e9 / rate
    print(f"  {100 * share:.0f} % of the matmul rate; peak memory", end=" ")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB", flush=True)

    chosen = random.Random(0).sample(mutants, min(options.references, len(mutants)))
    start, different, largest = time.perf_counter(), [], 0.0
    for count, outcome in enumerate(reference.prepare(assay.prompts, assay.readout).run(chosen), 1):
        mine = found[outcome.mutant].outputs
        if [o.tokens for o in mine] != [o.tokens for o in outcome.outputs]:
            different.append(str(outcome.mutant))
        for one, other in zip(mine, outcome.outputs, strict=True):
            errors = [abs(one.values[k] - v) for k, v in other.values.items() if v is not None]
            largest = max(largest, *errors)
        if count % 10 == 0:
            print(f"{count} replayed after {time.perf_counter() - start:.0f} s", flush=True)
    each = (time.perf_counter() - start) / len(chosen)
    print(f"loop with stock kernels: {each:.2f} s a mutant on {len(chosen)} of them")
    print(
        f"answers equal to those of torch's kernels: {len(chosen) - len(different)} of {len(chosen)} {different}"
    )
    print(f"largest difference of a probability from theirs: {largest:.1e}")
    ratio = each / (total / len(mutants))
    print(f"RATIO: {ratio:.1f} ({each / (screened / len(mutants)):.1f} without controls)")
    save(
        options.json,
        {
            "assay": f"{options.assay}, {len(assay.prompts)} questions",
            "tile": options.tile,
            "mutants": len(mutants),
            "ms": 1e3 * total / len(mutants),
            "loop_stock_s": each,
            "ratio": ratio,
            "stock_equal": f"{len(chosen) - len(different)} of {len(chosen)} mutants",
        },
    )


if __name__ == "__main__":
    main()
