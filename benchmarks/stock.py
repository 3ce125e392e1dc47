"""How many calls differ between mutascope's numerics and torch's own kernels, and by how narrow a margin.

    python -m benchmarks.stock [--mutants 1000] [--assay drosophila] [--near 2e-3] [--json FILE]

The mutants are run on the fast engine. Torch's kernels are then fed each mutant's own text in one pass: where they
would pick another token, or one of their picks has a margin below ``--near``, hundreds of times what rounding moves a
margin by, ``generate`` is run with them in full, and its tokens are compared. The other calls cannot differ.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from benchmarks.saving import save

from mutascope import Design, Tiling, load_assay, load_model
from mutascope.core.protocol import first_divergence
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.numerics.sampling import Sampler


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--assay", default="drosophila")
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--near", type=float, default=2e-3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model, tiling = load_model(options.model, device="cpu"), Tiling(8)
    assay = load_assay(options.assay).resolve(model)
    (prompt,), readout = assay.prompts, assay.readout
    mutants = Design(sample=options.mutants // 2).plan(model.genome, tiling).mutants()
    session = FastEngine(model, tiling).prepare(assay.prompts, readout)
    stock = ReferenceEngine(model, tiling, stock=True)
    sampler = Sampler(readout.resolved, readout.seed, model.network.lm_head.weight.shape[0])
    run = different = 0
    errors, narrow = [], []
    for done, outcome in enumerate(session.run(mutants), 1):
        (mine,) = outcome.outputs
        with stock.mutagen.mutated(outcome.mutant):
            text = torch.tensor([[*prompt.tokens, *mine.tokens[:-1]]])
            with torch.inference_mode():
                logits = model.network(text).logits[0, len(prompt.tokens) - 1 :]
                steps = torch.arange(len(logits))
                margins = sampler.threats(logits, steps).amin(-1)
                picks = sampler.sample(logits, steps)
            near = bool((margins < options.near).any()) or picks.tolist() != list(mine.tokens)
            if not mine.finite or near:
                run += 1
                truth = stock.generate(prompt, readout)
                if truth != mine:
                    different += 1
                    step = first_divergence(mine, truth)
                    margin = float(margins[step]) if step is not None and step < len(margins) else None
                    narrow.append({"mutant": str(outcome.mutant), "step": step, "margin": margin})
                    print(f"{outcome.mutant} differs at step {step}, margin {margin}", flush=True)
        errors.append(float(margins.min()))
        if done % 50 == 0 or done == len(mutants):
            smallest = torch.tensor(errors)
            found = {
                **{"assay": options.assay, "mutants": done, "run_in_full": run, "different": different},
                **{
                    "near": options.near,
                    "smallest_margin_below_1e-4": float((smallest < 1e-4).float().mean()),
                },
                "calls": narrow,
            }
            print(f"{done} of {len(mutants)}: {run} run in full, {different} differ", flush=True)
            save(options.json, found)


if __name__ == "__main__":
    main()
