"""What a prediction costs: seconds and bytes, of the default model or of two layers of a large one.

    python benchmarks/predict.py [--model smollm2-135m] [--assay drosophila] [--tile 8]
    python benchmarks/predict.py --width llama-2-7b|zephyr [--tokens 64] [--tile 64]

With ``--width`` the model has two layers of random float32 weights at the true width. Time goes with
(targets x positions seen) x parameters, so that the cost of all 32 layers at 142 generated tokens follows.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from mutascope import Model, Tiling, load_assay, load_model
from mutascope.assays.assay import resolve_generation
from mutascope.core.protocol import Generation, Prompt
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.discovery import find_genome
from mutascope.predict.predictor import Predictor
from mutascope.run.cost import measure_machine

WIDTHS = {
    "llama-2-7b": {"intermediate_size": 11008, "num_key_value_heads": 32},
    "zephyr": {"intermediate_size": 14336, "num_key_value_heads": 8},
}
MUTATIONS = ("max", "min", "zero")
LAYERS, TOKENS, PROMPT = 32, 142, 8
"""Of the model that the two layers stand for, and of a text assay of 150 tokens."""


def random_model(width: str) -> Model:
    sizes = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 2, "vocab_size": 32000}
    config = LlamaConfig.from_dict({**sizes, **WIDTHS[width]})
    torch.manual_seed(0)
    with torch.device("meta"):
        empty = LlamaForCausalLM(config)
    network: PreTrainedModel = empty.to_empty(device="cpu")
    for parameter in network.parameters():
        torch.nn.init.ones_(parameter) if parameter.ndim == 1 else torch.nn.init.normal_(parameter, std=0.02)
    network.model.rotary_emb = type(network.model.rotary_emb)(config)
    network.eval().requires_grad_(False)
    return Model(width, network, None, "random", find_genome(network))  # type: ignore[arg-type]


def predictor_of(options: argparse.Namespace) -> Predictor:
    if options.width is None:
        model = load_model(options.model)
        assay = load_assay(
            options.assay, **({"questions": options.questions} if options.questions else {})
        ).resolve(model, ReferenceEngine(model, Tiling(1)).read_out)
        return Predictor(
            model, Tiling(options.tile or 8), assay.prompts, assay.readout, MUTATIONS, options.rivals
        )
    model = random_model(options.width)
    prompt = Prompt("", tuple(range(100, 100 + PROMPT)))
    arguments = {
        "do_sample": True,
        "temperature": 0.7,
        "max_new_tokens": options.tokens,
        "eos_token_id": None,
    }
    resolved = resolve_generation(model, arguments, PROMPT)
    return Predictor(
        model, Tiling(options.tile or 64), [prompt], Generation(0, arguments, resolved), MUTATIONS
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--assay", default="drosophila")
    parser.add_argument("--width", choices=WIDTHS)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--tile", type=int)
    parser.add_argument("--rivals", type=float)
    parser.add_argument("--questions")
    options = parser.parse_args()
    machine = measure_machine()
    start = time.perf_counter()
    predictor = predictor_of(options)
    ready, mutants, by_kind = time.perf_counter(), 0, {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    last = ready
    for locus, calls in predictor.calls():
        mutants += calls.margin.numel()
        now = time.perf_counter()
        by_kind[locus.kind] = by_kind.get(locus.kind, 0.0) + now - last
        last = now
    seconds = last - ready
    parameters = sum(locus.rows * locus.cols for locus in predictor.model.genome)
    targets = len(predictor.targets)
    pairs = int((predictor.layout.places()[predictor.targets.places] + 1).sum())
    print(f"{machine.gflops:.0f} GFLOP/s; loaded, generated and set up in {ready - start:.1f} s")
    print(f"{mutants:,} mutants, {targets} targets, {len(predictor.layout)} positions: {seconds:.1f} s")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, {before:.2f} GB before")
    print(f"seconds by kind { ({kind: round(value, 1) for kind, value in by_kind.items()}) }")
    print(
        f"{seconds / targets:.4f} s a target, {1e9 * seconds / targets / parameters:.3f} ns a target and parameter"
    )
    rate = seconds / pairs / parameters
    print(
        f"{1e12 * rate:.1f} ps a (target, position) and parameter: {2 / rate / 1e9:.0f} GFLOP/s of gradients"
    )
    if options.width is not None:
        whole = targets / options.tokens * sum(PROMPT + step for step in range(TOKENS))
        print(
            f"all {LAYERS} layers, {TOKENS} tokens: {rate * whole * parameters / 2 * LAYERS:,.0f} s on this machine"
        )


if __name__ == "__main__":
    main()
