"""Everything that is claimed of a card, in one run of less than 8 minutes: speed, exactness, memory.

    python -m benchmarks.gpu [--model FOLDER] [--device cuda] [--seconds 440] [--memory GB] [--json FILE] [--only NAME]
    python -m benchmarks.gpu --compile                     # what the screens run, into Triton's cache
    TRITON_INTERPRET=1 python -m benchmarks.gpu --smoke    # a few small numbers in Triton's interpreter, without a card

Without --model, the small model has random weights of SmolLM2's dimensions; those of Llama-2-7b and Zephyr are always
random. No network is needed. Every step prints what it finds, and is written to the file at once, beside what is there;
one that fails says why, and the next goes on. A step that reaches its share of the time stops early, and counts what it
has done.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.card import SMOKE, Run, ask
from benchmarks.card_kernels import card, exactness, predicted, products
from benchmarks.card_screens import agreement, profiled, screen, stock

from mutascope import Design, Tiling
from mutascope.engine.fast import FastEngine
from mutascope.model.loading import Model
from mutascope.numerics import operations

Work = Callable[[float], dict[str, Any]]
"""What a step does in some seconds."""
SMALL, BIG = (16, 16) if SMOKE else (8, 64)
"""Tiles of the small model and of large ones."""
LONG, FEW = (3, 8) if SMOKE else (140, 24)
"""Tokens, and mutants where few are enough."""
COUNTS = {} if SMOKE else {"small": 20_000, "llama-2-7b": 2_000, "zephyr": 600}
"""Mutants of a screen."""


def made(run: Run, name: str, dtype: str, layers: int | None = None) -> Model:
    """Return a model: the small one of the folder where there is one."""
    if name == "small" and not layers:
        return run.small_model(dtype)
    return run.random_model("smollm2" if name == "small" else name, dtype, layers)


def screened(run: Run, name: str, dtype: str) -> Work:
    """Return the screen of a model."""
    speeds = [each["stock"] for key, each in run.found.get("products", {}).items() if dtype in key]

    def work(seconds: float) -> dict[str, Any]:
        run.last = None
        gc.collect()
        model, tile = made(run, name, dtype), SMALL if name == "small" else BIG
        return screen(run, model, tile, COUNTS.get(name, FEW), LONG, seconds, max(speeds, default=None))

    return work


def compiled(run: Run, name: str, dtype: str) -> dict[str, Any]:
    """One layer of a model, with batches of every size that has blocks of its own."""
    model, tiling = made(run, name, dtype, 1), Tiling(SMALL if name == "small" else BIG)
    prompts, readout = ask(model, 4)
    mutants = Design(sample=FEW if SMOKE else 1_600).plan(model.genome, tiling).mutants()
    for batch in (8, 64, 200, 400, 600, 2_000):
        session = FastEngine(model, tiling, batch).prepare(prompts, readout)
        for _ in session.run(mutants[:batch]):
            pass
    return {}


def compilations(run: Run) -> Iterator[tuple[str, float, Work]]:
    """Yield the steps that only compile."""
    for name, dtype in (("small", "float32"), ("llama-2-7b", "bfloat16"), ("llama-2-7b", "float32")):
        yield f"{name} {dtype} compiled", 1.0, lambda _, name=name, dtype=dtype: compiled(run, name, dtype)


def steps_of(run: Run) -> Iterator[tuple[str, float, Work]]:
    """Yield the steps: name, share of the time, work. What was never seen comes first."""
    yield "card", 0.01, partial(card, run)
    yield "exactness", 0.03, partial(exactness, run)
    yield "products", 0.04, partial(products, run)
    yield "small float32 screen", 0.13, screened(run, "small", "float32")
    yield "small float32 screen", 0.14, partial(agreement, run)
    yield "small float32 screen", 0.06, partial(stock, run, LONG)
    yield "small predict", 0.05, lambda s: predicted(run, run.small_model("float32"), SMALL, LONG, s)
    for dtype, share in (("bfloat16", 0.08), ("float32", 0.17)):
        yield f"llama-2-7b {dtype} screen", share, screened(run, "llama-2-7b", dtype)
        yield f"llama-2-7b {dtype} profile", 0.05, partial(profiled, run)
        yield f"llama-2-7b {dtype} screen", 0.04, partial(agreement, run)
    yield "zephyr bfloat16 screen", 0.04, screened(run, "zephyr", "bfloat16")
    yield "llama-2-7b predict", 0.04, lambda s: predicted(run, seven_of(run), BIG, LONG, s)
    yield "small bfloat16 screen", 0.04, screened(run, "small", "bfloat16")


def seven_of(run: Run) -> Model:
    """Return 8 layers of Llama-2-7b's dimensions."""
    return run.random_model("llama-2-7b", "bfloat16", 8)


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
    parser.add_argument("--memory", type=float, help="GB of the card that are used at most")
    parser.add_argument("--only", default="", help="steps whose name matches this pattern")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    device = torch.device("cpu" if SMOKE else options.device)
    if SMOKE:
        interpret()
    run = Run(device, options.model, options.seconds, options.json, options.memory)
    if options.json and options.json.exists():
        run.found = json.loads(options.json.read_text())
    for name, share, work in compilations(run) if options.compile else steps_of(run):
        if re.search(options.only, name):
            run.step(name, share, work)
    failed = [name for name, found in run.found.items() if "failed" in found]
    print(f"{len(run.found)} steps, {len(failed)} failed {failed}", flush=True)
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
