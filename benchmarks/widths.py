"""True widths: two-layer networks with the dimensions of Llama-2-7b and of Zephyr, random weights, tile 64.

    python benchmarks/widths.py [--sites 35] [--references 10] [--tokens 40]

A sampled screen on the fast engine, ``--references`` of its mutants replayed on the reference engine: agreement,
seconds and memory. The prompt is a dozen random tokens, sampling that of the paper's assays.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PreTrainedTokenizerFast

from mutascope import Design, Tiling
from mutascope.assays.assay import resolve_generation
from mutascope.core.protocol import Generation, Prompt
from mutascope.engine.fast import FastEngine
from mutascope.model.discovery import find_genome
from mutascope.model.loading import Model

_COMMON: dict[str, Any] = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 2,
    "vocab_size": 32000,
}
WIDTHS = {
    "Llama-2-7b": LlamaConfig(**_COMMON, num_key_value_heads=32, intermediate_size=11008),
    "Zephyr": MistralConfig(**_COMMON, num_key_value_heads=8, intermediate_size=14336, sliding_window=4096),
}


def random_model(name: str) -> Model:
    """Return a network of random weights in float32, without a tokenizer worth the name."""
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(WIDTHS[name], dtype=torch.float32).eval().requires_grad_(False)
    return Model(name, network, PreTrainedTokenizerFast, "random", find_genome(network))  # pyright: ignore[reportArgumentType]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", type=int, default=35)
    parser.add_argument("--references", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=40)
    options = parser.parse_args()
    for name in WIDTHS:
        model, tiling = random_model(name), Tiling(64)
        prompt = Prompt("", tuple(torch.randint(3, 32000, (12,)).tolist()))
        arguments = {"do_sample": True, "temperature": 0.7, "max_new_tokens": options.tokens}
        readout = Generation(0, arguments, resolve_generation(model, arguments, len(prompt.tokens)))
        mutants = Design(sample=options.sites).plan(model.genome, tiling).mutants()
        engine = FastEngine(model, tiling)
        session = engine.prepare([prompt], readout)
        (wild,) = session.wild_type
        start = time.perf_counter()
        found = {outcome.mutant: outcome for outcome in session.run(mutants)}
        each = (time.perf_counter() - start) / len(found)
        silent = sum(outcome.outputs == (wild,) for outcome in found.values())
        print(f"{name}: {len(found)} mutants, {silent} silent, {each:.2f} s each", flush=True)
        chosen = random.Random(0).sample(mutants, options.references)
        start = time.perf_counter()
        same = sum(
            outcome.outputs == found[outcome.mutant].outputs
            for outcome in engine.reference.prepare([prompt], readout).run(chosen)
        )
        naive = (time.perf_counter() - start) / len(chosen)
        quiet = sum(found[mutant].outputs == (wild,) for mutant in chosen)
        print(
            f"  reference {naive:.2f} s a mutant, ratio {naive / each:.1f};"
            f" {same} of {len(chosen)} agree, {quiet} silent"
        )
        print(f"  {session.flop / len(found) / 1e9:.0f} GFLOP a mutant, {session.account}")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"  peak memory of the run so far {peak:.1f} GB", flush=True)
        del session, engine, model, found


if __name__ == "__main__":
    main()
