"""Everything that is claimed of a card, in one run of less than 8 minutes: speed, exactness, memory.

    python -m benchmarks.gpu [--model FOLDER] [--device cuda] [--seconds 440] [--json FILE]
    TRITON_INTERPRET=1 python -m benchmarks.gpu --smoke    # a few small numbers in Triton's interpreter, without a card

Without --model, the small model has random weights of SmolLM2's dimensions; those of Llama-2-7b and Zephyr are always
random. No network is needed. Every step prints what it finds, and is written to the file at once; one that fails says
why, and the next goes on. A step that reaches its share of the time stops early, and counts what it has done.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

from mutascope import Design, Tiling, load_model
from mutascope.analysis.calibration import auc
from mutascope.assays.assay import resolve_generation
from mutascope.assays.loading import load_assay
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Generation, Output, Prompt
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.session import FastSession
from mutascope.model import generation
from mutascope.model.discovery import find_genome
from mutascope.model.loading import Model
from mutascope.numerics import operations
from mutascope.predict.predictor import Predictor

SMOKE = "--smoke" in sys.argv
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_SMALL: dict[str, Any] = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
}
_SEVEN: dict[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
CONFIGS: dict[str, Any] = {
    "smollm2": LlamaConfig(**_SMALL, num_hidden_layers=30, vocab_size=49152, tie_word_embeddings=True),
    "llama-2-7b": LlamaConfig(**_SEVEN, intermediate_size=11008),
    "zephyr": MistralConfig(**_SEVEN, intermediate_size=14336, num_key_value_heads=8, sliding_window=4096),
    "tiny": LlamaConfig(
        hidden_size=32, intermediate_size=48, num_attention_heads=2, num_hidden_layers=2, vocab_size=61
    ),
}
_BEGINNING = 32
"""Tokens that are compared with the reference engine's."""
PROMPT = (1, 45, 7, 22, 31, 16, 9)
"""Token ids that all of the models have."""


@dataclass
class Run:
    """A benchmark underway.

    Attributes:
        device: that is measured.
        small: folder of the small model, if any.
        seconds: that all steps may take together.
        json: gets the results.
        found: results, by step.
        silent: mutants of the small model in float32 that were screened, and whether they are silent.
        begun: when it started.
    """

    device: torch.device
    small: Path | None
    seconds: float
    json: Path | None
    found: dict[str, Any] = field(default_factory=dict)
    silent: dict[Mutant, bool] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)

    def step(self, name: str, share: float, work: Callable[[float], dict[str, Any]]) -> None:
        """Run a step that may take a share of the time; print and keep what it finds, or why it failed."""
        start = time.perf_counter()
        left = self.seconds - (start - self.begun)
        try:
            found = work(min(share * self.seconds, left)) if left > 5 else {"skipped": "no time is left"}
        except Exception as error:
            traceback.print_exc()
            found = {"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}
        self.found[name] = {**found, "seconds": round(time.perf_counter() - start, 1)}
        print(name, json.dumps(self.found[name]), flush=True)
        if self.json:
            self.json.write_text(json.dumps(self.found, indent=1))
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def synchronize(self) -> None:
        """Wait for the card."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak(self) -> float:
        """Return the most memory that was held since the last call, in GB."""
        if self.device.type != "cuda":
            return 0.0
        most = torch.cuda.max_memory_allocated(self.device) / 1e9
        torch.cuda.reset_peak_memory_stats(self.device)
        return round(most, 2)

    def random_model(self, name: str, dtype: str, layers: int | None = None) -> Model:
        """Return a model of random weights that are made on the device."""
        config = CONFIGS["tiny" if SMOKE else name]
        if layers and not SMOKE:
            config = type(config)(**{**config.to_dict(), "num_hidden_layers": layers})
        torch.manual_seed(0)
        with torch.device(self.device):
            network = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
        network.eval().requires_grad_(False)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(std=1.5 / parameter.shape[1] ** 0.5)
        generation.reset(network)
        none: Any = None
        return Model(name, network, none, "", find_genome(network))

    def small_model(self, dtype: str) -> Model:
        """Return the small model, of the folder where there is one."""
        if self.small:
            return load_model(str(self.small), dtype=dtype, device=str(self.device))
        return self.random_model("smollm2", dtype)


def ask(model: Model, steps: int) -> tuple[list[Prompt], Generation]:
    """Return a prompt and how a model answers it: drosophila, or of random weights at temperature 0.7, top-k 50."""
    if model.tokenizer is not None:
        assay = load_assay("drosophila", max_new_tokens=steps, max_length=None).resolve(model)
        return list(assay.prompts), assay.readout
    arguments = {"max_new_tokens": steps, "do_sample": True, "temperature": 0.7, "top_k": 50}
    prompt = Prompt("", PROMPT)
    resolved = resolve_generation(model, arguments, len(prompt.tokens))
    return [prompt], Generation(0, arguments, resolved)


def timed(run: Run, work: Callable[[], Any], least: float = 0.3) -> float:
    """Return seconds a call, after one that compiles."""
    work()
    run.synchronize()
    start, calls = time.perf_counter(), 0
    while calls < 3 or time.perf_counter() - start < least:
        work()
        calls += 1
        if calls % 3 == 0:
            run.synchronize()
    run.synchronize()
    return (time.perf_counter() - start) / calls


def card(run: Run, _: float) -> dict[str, Any]:
    """What is measured, and with what."""
    ops = operations.operations_on(run.device)
    named = {name: ops.name_of(dtype, run.device) for name, dtype in DTYPES.items()}
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    import triton  # pyright: ignore[reportMissingImports]

    versions["triton"] = triton.__version__
    if run.device.type != "cuda":
        return {"card": "interpreter", "numerics": named, **versions}
    facts = torch.cuda.get_device_properties(run.device)
    return {
        "card": facts.name,
        "memory_gb": round(facts.total_memory / 1e9, 1),
        "numerics": named,
        **versions,
    }


def products(run: Run, _: float) -> dict[str, Any]:
    """TFLOP/s of torch's products and of ours."""
    ops, found = operations.operations_on(run.device), {}
    shapes = [(8, 32, 16)] if SMOKE else [(576, 11008, 4096), (4096, 11008, 4096), (8192, 1536, 576)]
    torch.backends.cuda.matmul.allow_tf32 = False
    for name, dtype in DTYPES.items():
        for rows, outs, ins in shapes:
            x, w = (torch.randn(*shape, device=run.device).to(dtype) for shape in ((rows, ins), (outs, ins)))
            packed, half = ops.pack(w), dtype == torch.bfloat16
            stock = timed(run, lambda x=x, w=w: torch.nn.functional.linear(x, w))
            own = timed(run, lambda x=x, packed=packed, half=half: ops.linear(x, packed, half=half))
            work = 2e-12 * rows * outs * ins
            found[f"{name} {rows}x{outs}x{ins}"] = {
                "stock": round(work / stock, 2),
                "own": round(work / own, 2),
            }
    return found


def exactness(run: Run, _: float) -> dict[str, Any]:
    """Bits of rows in other batches, of tiles within the sum, and errors against float64."""
    ops, found = operations.operations_on(run.device), {}
    rows, outs, ins, tile = (9, 40, 24, 8) if SMOKE else (577, 1000, 4096, 64)
    for name, dtype in DTYPES.items():
        half = dtype == torch.bfloat16
        x, w = (torch.randn(*shape, device=run.device).to(dtype) for shape in ((rows, ins), (outs, ins)))
        whole = ops.linear(x, ops.pack(w), half=half)
        sizes = [size for size in (1, 3, 64, 129, rows) if size <= rows]
        alone = {
            size: torch.equal(ops.linear(x[:size], ops.pack(w), half=half), whole[:size]) for size in sizes
        }
        edited = w.clone()
        edited[tile : 2 * tile, :tile] = w.max()
        own = ops.strips({0: [(rows - 1, tile, ops.pack(edited[tile : 2 * tile]))]})[0]
        within = ops.linear(x, ops.pack(w), strips=own, half=half)
        exact = x.double() @ w.double().T
        found[name] = {
            "equal_in_batches": all(alone.values()),
            "tile_equal": torch.equal(within[-1:], ops.linear(x[-1:], ops.pack(edited), half=half))
            and torch.equal(within[:-1], whole[:-1]),
            "error": float(((whole.double() - exact).abs() / exact.abs().mean()).mean()),
            "error_of_stock": float(((x @ w.T).double() - exact).abs().mean() / exact.abs().mean()),
        }
    return found


def screen(
    run: Run, model: Model, tile: int, count: int, steps: int, seconds: float, rate: float | None
) -> dict[str, Any]:
    """Mutants on the fast engine: milliseconds each, share of the card's rate, memory; then some of them in small
    batches, and on the reference engine.
    """
    run.peak()
    begun = time.perf_counter()
    prompts, readout = ask(model, steps)
    mutants = Design(sample=max(1, count // 2)).plan(model.genome, Tiling(tile)).mutants()
    session = FastEngine(model, Tiling(tile)).prepare(prompts, readout)
    warmed = min(len(mutants) // 4, 2 * session.verified)
    for _ in session.run(mutants[:warmed]):
        pass
    run.synchronize()
    prepared, flop = time.perf_counter() - begun, session.flop
    before, start, silent, said = dict(vars(session.account)), time.perf_counter(), 0, {}
    for outcome in session.run(mutants[warmed:]):
        said[outcome.mutant] = outcome.outputs
        silent += outcome.outputs == session.wild_type
        if time.perf_counter() - start > 0.7 * (seconds - prepared):
            break
    run.synchronize()
    spent = time.perf_counter() - start
    speed = (session.flop - flop) / spent / 1e12
    if model.network.dtype == torch.float32 and tile < 64:
        run.silent = {each: outputs == session.wild_type for each, outputs in said.items()}
    found = {
        **{"mutants": len(said), "silent": silent, "tokens": steps, "prepared_s": round(prepared, 1)},
        "ms_a_mutant": round(1e3 * spent / (len(said) + session.underway), 3),
        **{"tflops": round(speed, 2), "share": round(speed / rate, 3) if rate else None},
        **{"batch": session.max_batch, "verified": session.verified, "peak_gb": run.peak()},
        "where": {name: round(value - before[name], 2) for name, value in vars(session.account).items()},
    }
    print(json.dumps(found), flush=True)
    return found | agreement(model, tile, session, said, seconds - (time.perf_counter() - begun))


def agreement(
    model: Model, tile: int, session: FastSession, said: dict[Mutant, tuple[Output, ...]], seconds: float
) -> dict[str, Any]:
    """Mutants of a session in batches of 7, and the beginnings of their texts on the reference engine."""
    some = list(said)[:: max(1, len(said) // 200)]
    session.max_batch = session.verified = session.cohort = 7
    start, few = time.perf_counter(), {}
    for outcome in session.run(some):
        few[outcome.mutant] = outcome.outputs
        if time.perf_counter() - start > seconds / 3:
            break
    prompts, readout = ask(model, _BEGINNING)
    reference, compared, equal = ReferenceEngine(model, Tiling(tile)).prepare(prompts, readout), 0, 0
    start = time.perf_counter()
    for outcome in reference.run(some):
        compared += 1
        equal += outcome.outputs[0].tokens == said[outcome.mutant][0].tokens[:_BEGINNING]
        if time.perf_counter() - start > seconds / 2:
            break
    return {
        **{"in_batches_of_7": len(few), "same_there": sum(said[each] == few[each] for each in few)},
        **{
            "on_reference": compared,
            "equal_there": equal,
            "tokens_there": min(_BEGINNING, session.asked[0].steps),
        },
        "reference_s": round((time.perf_counter() - start) / max(1, compared), 3),
    }


def stock(run: Run, model: Model, tile: int, count: int, steps: int, seconds: float) -> dict[str, Any]:
    """The loop with torch's own kernels: seconds a mutant, and how many of its texts are others."""
    prompts, readout = ask(model, steps)
    mutants = Design(sample=max(1, count // 2), sample_seed=2).plan(model.genome, Tiling(tile)).mutants()
    session = FastEngine(model, Tiling(tile)).prepare(prompts, readout)
    own = {outcome.mutant: outcome.outputs for outcome in session.run(mutants)}
    loop = ReferenceEngine(model, Tiling(tile), stock=True).prepare(prompts, readout)
    start, compared, others = time.perf_counter(), 0, []
    for outcome in loop.run(mutants):
        compared += 1
        if outcome.outputs[0].tokens != own[outcome.mutant][0].tokens:
            others.append(str(outcome.mutant))
        if time.perf_counter() - start > seconds:
            break
    spent = time.perf_counter() - start
    margin = min(session.wild_type[0].margins or (0.0,))
    return {
        **{"mutants": compared, "others": len(others), "which": others[:5], "tokens": steps},
        **{"loop_s": round(spent / compared, 3), "least_margin_of_wild_type": margin},
    }


def predicted(run: Run, model: Model, tile: int, steps: int, seconds: float) -> dict[str, Any]:
    """Every mutant's margin from gradients, and how well it tells the NSMs among those that were screened before."""
    prompts, readout = ask(model, steps)
    start = time.perf_counter()
    predictor = Predictor(model, Tiling(tile), prompts, readout, ("max", "min"))
    prepared = time.perf_counter() - start
    kinds: dict[str, float] = {}
    start, mutants, last, margins = time.perf_counter(), 0, time.perf_counter(), {}
    for locus, calls in predictor.calls():
        run.synchronize()
        now = time.perf_counter()
        kinds[locus.kind], last = round(kinds.get(locus.kind, 0.0) + now - last, 3), now
        mutants += calls.margin.numel()
        margins[locus.layer, locus.kind] = calls.margin.cpu().numpy()
        if now - start > seconds - prepared:
            break
    known = [each for each in run.silent if (each.layer, each.kind) in margins and tile < 64]
    scores = [
        -margins[each.layer, each.kind][("max", "min").index(each.mutation), each.row, each.col]
        for each in known
    ]
    hits = np.array([not run.silent[each] for each in known])
    return {
        **{"mutants": mutants, "prepared_s": round(prepared, 2), "spent_s": round(last - start, 2)},
        **{"seconds_by_kind": kinds, "targets": len(predictor.targets), "peak_gb": run.peak()},
        **{
            "known": len(known),
            "auc": round(auc(np.array(scores), hits), 4) if 0 < sum(hits) < len(hits) else None,
        },
    }


def seven_of(run: Run) -> Model:
    """Return 8 layers of Llama-2-7b's dimensions."""
    return run.random_model("llama-2-7b", "bfloat16", 8)


def steps_of(run: Run) -> Iterator[tuple[str, float, Callable[[float], dict[str, Any]]]]:
    """Yield the steps: name, share of the time, work."""
    small, big = (8, 64) if not SMOKE else (16, 16)
    long, few = (140, 24) if not SMOKE else (3, 8)
    counts = {"small": 20_000, "llama-2-7b": 2_000, "zephyr": 500} if not SMOKE else {}
    yield "card", 0.01, lambda _: card(run, _)
    yield "exactness", 0.05, lambda _: exactness(run, _)
    yield "products", 0.05, lambda _: products(run, _)

    def screened(name: str, dtype: str, tile: int) -> Callable[[float], dict[str, Any]]:
        speeds = [value["stock"] for key, value in run.found.get("products", {}).items() if dtype in key]
        make = partial(run.small_model, dtype) if name == "small" else partial(run.random_model, name, dtype)
        rate = max(speeds, default=None)
        return lambda seconds: screen(run, make(), tile, counts.get(name, few), long, seconds, rate)

    yield "small float32 screen", 0.16, screened("small", "float32", small)
    yield "llama-2-7b bfloat16 screen", 0.17, screened("llama-2-7b", "bfloat16", big)
    yield "small predict", 0.08, lambda s: predicted(run, run.small_model("float32"), small, long, s)
    yield "llama-2-7b float32 screen", 0.22, screened("llama-2-7b", "float32", big)
    yield "small bfloat16 screen", 0.1, screened("small", "bfloat16", small)
    yield "small stock loop", 0.06, lambda s: stock(run, run.small_model("float32"), small, few, long, s)
    yield "zephyr bfloat16 screen", 0.07, screened("zephyr", "bfloat16", big)
    yield "llama-2-7b predict", 0.06, lambda s: predicted(run, seven_of(run), big, long, s)


def interpret() -> None:
    """Let tensors on the CPU go through Triton's interpreter, whose products of blocks get an order of their own."""
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle  # pyright: ignore

    def dot(_: Any, a: Any, b: Any, d: Any, *__: Any) -> Any:
        return TensorHandle(np.add.reduce(a.data[:, :, None] * b.data[None], axis=1) + d.data, d.dtype.scalar)

    InterpreterBuilder.create_dot = dot
    operations.BY_DEVICE["cpu"] = operations.BY_DEVICE["cuda"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=440)
    parser.add_argument("--only", help="steps whose name holds this")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    device = torch.device("cpu" if SMOKE else options.device)
    if SMOKE:
        interpret()
    run = Run(device, options.model, options.seconds, options.json)
    for name, share, work in steps_of(run):
        if not options.only or options.only in name:
            run.step(name, share, work)
    failed = [name for name, found in run.found.items() if "failed" in found]
    print(f"{len(run.found)} steps, {len(failed)} failed {failed}", flush=True)
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
