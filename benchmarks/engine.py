"""The fast engine against the reference engine: seconds per mutant, ratio, agreement, arithmetic.

    python benchmarks/engine.py [--tile 8] [--mutations max,min] [--sites 750] [--references 40] [--assay drosophila]
                                [--measure]

Everything is measured in one run on one machine. The fast engine's time includes settling near ties and the replayed
control sample; the ratio is reference seconds per mutant over fast seconds per mutant.
"""

from __future__ import annotations

import argparse
import random
import resource
import time

import torch

from mutascope import Design, Tiling, load_assay, load_model
from mutascope.controls import run_controls
from mutascope.engine.fast import FastEngine
from mutascope.engine.products import Product, default, fastest_product
from mutascope.engine.reference import ReferenceEngine
from mutascope.models import Model
from mutascope.phenotypes import PhenotypeReader


def matmul_rates(model: Model, rows: int = 384, product: Product = default) -> dict[str, float]:
    """GFLOP/s in float32 at the shapes of the linear maps, ``rows`` tokens at a time; ``F.linear`` by default."""
    rates = {}
    for shape in sorted({(locus.rows, locus.cols) for locus in model.genome}):
        weight, x = torch.randn(*shape), torch.randn(rows, shape[1])
        linear_map, times = product(weight, None), []
        for _ in range(60):
            start = time.perf_counter()
            linear_map(x)
            times.append(time.perf_counter() - start)
        rates[f"{shape[0]}x{shape[1]}"] = 2 * rows * weight.numel() / sorted(times)[30] / 1e9
    return rates


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--assay", default="drosophila")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--tile", type=int, default=8)
    parser.add_argument("--mutations", default="max,min")
    parser.add_argument("--sites", type=int, default=750)
    parser.add_argument("--references", type=int, default=40)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()

    model, tiling = load_model(options.model), Tiling(options.tile)
    changes = {} if options.seed is None else {"seed": options.seed}
    if options.greedy:
        changes |= {"greedy": True, "temperature": None}
    assay = load_assay(options.assay, **changes).resolve(model, measure=options.measure)
    design = Design(sample=options.sites, mutations=tuple(options.mutations.split(",")))
    plan = design.plan(model.genome, tiling)
    mutants = plan.mutants()
    products = {
        "F.linear": default,
        "the engine's": fastest_product(model.network.model.layers[0].mlp.gate_proj.weight),
    }
    rate = {}
    for name, product in products.items():
        rates = matmul_rates(model, product=product)
        rate[name] = sum(rates.values()) / len(rates)
        each = ", ".join(f"{shape} {value:.0f}" for shape, value in rates.items())
        print(f"matmul GFLOP/s, {name}: {each}; mean {rate[name]:.0f}", flush=True)

    engine, reference = FastEngine(model, tiling, options.batch), ReferenceEngine(model, tiling)
    refusal = engine.refusal(assay.prompts, assay.readout)
    if refusal:
        raise SystemExit(f"the fast engine refuses: {refusal}")
    reader = PhenotypeReader(model, assay, engine.wild_type(assay.prompts, assay.readout))
    start = time.perf_counter()
    found = {}
    for outcome in engine.run(assay.prompts, assay.readout, mutants):
        found[outcome.mutant] = outcome
        if len(found) % 200 == 0:
            print(f"{len(found)} of {len(mutants)} after {time.perf_counter() - start:.0f} s", flush=True)
    screened = time.perf_counter() - start
    records = reader.shard([found[mutant] for mutant in mutants]).records
    controls = run_controls(engine, reader, plan, tiling, records)
    total = time.perf_counter() - start
    nsm = 1 - records["silent"].mean()
    print(
        f"fast: {len(mutants)} mutants, {100 * nsm:.0f} % NSM, {records['phenotype'].n_unique()} phenotypes"
    )
    print(
        f"  {1e3 * screened / len(mutants):.1f} ms a mutant screened, {1e3 * total / len(mutants):.1f} with controls"
    )
    account, flop = engine.account, engine.arithmetic()
    if options.measure:
        print(f"  measuring {1e3 * account.measuring / len(mutants):.1f} ms a mutant")
    print(
        f"  verifying {account.verifying:.1f} s, decoding {account.decoding:.1f} s, settling {account.settling:.1f} s"
    )
    print(f"  controls: {controls}")
    print(f"  {flop / len(mutants) / 1e9:.1f} GFLOP a mutant, {flop / screened / 1e9:.0f} GFLOP/s,", end=" ")
    print(", ".join(f"{100 * flop / screened / 1e9 / value:.0f} % of {name}" for name, value in rate.items()))
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB", flush=True)

    chosen = random.Random(0).sample(mutants, min(options.references, len(mutants)))
    start = time.perf_counter()
    different, largest = [], 0.0
    for outcome in reference.run(assay.prompts, assay.readout, chosen):
        (mine,), (true,) = found[outcome.mutant].outputs, outcome.outputs
        if (mine.tokens, mine.finite) != (true.tokens, true.finite):
            different.append(str(outcome.mutant))
        known = [name for name, value in true.values.items() if value is not None]
        largest = max([largest, *(abs(mine.values[name] - true.values[name]) for name in known)])
    each = (time.perf_counter() - start) / len(chosen)
    print(f"reference: {1e3 * each:.0f} ms a mutant on {len(chosen)} of them")
    print(f"agreement: {len(chosen) - len(different)} of {len(chosen)} {different}")
    if options.measure:
        print(f"largest difference of a measure: {largest:.1e}")
    print(f"RATIO: {each / (total / len(mutants)):.1f}")


if __name__ == "__main__":
    main()
