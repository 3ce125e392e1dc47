"""What a card's kernels do alone: speed, bits, errors; and predictions, which need none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from benchmarks.card import DTYPES, SMOKE, Run, ask

from mutascope import Tiling
from mutascope.analysis.calibration import auc
from mutascope.model.loading import Model
from mutascope.numerics import operations
from mutascope.predict.predictor import Predictor


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
        "used_gb": run.memory,
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
        own = ops.pack(edited[tile : 2 * tile])
        table = np.array([(rows - 1, *entry) for entry in own.entries(tile)])
        (strips,) = ops.strips(table, [1], run.device)
        within = ops.linear(x, ops.pack(w), strips=strips, half=half)
        exact = x.double() @ w.double().T
        found[name] = {
            "equal_in_batches": all(alone.values()),
            "tile_equal": torch.equal(within[-1:], ops.linear(x[-1:], ops.pack(edited), half=half))
            and torch.equal(within[:-1], whole[:-1]),
            "error": float(((whole.double() - exact).abs() / exact.abs().mean()).mean()),
            "error_of_stock": float(((x @ w.T).double() - exact).abs().mean() / exact.abs().mean()),
        }
    return found


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
    known = [each for each in run.said if (each.layer, each.kind) in margins and tile < 64]
    scores = [
        -margins[each.layer, each.kind][("max", "min").index(each.mutation), each.row, each.col]
        for each in known
    ]
    hits = np.array([run.said[each][0].tokens != predictor.wild[0].tokens for each in known])
    return {
        **{"mutants": mutants, "prepared_s": round(prepared, 2), "spent_s": round(last - start, 2)},
        **{"seconds_by_kind": kinds, "targets": len(predictor.targets), "peak_gb": run.peak()},
        **{
            "known": len(known),
            "auc": round(auc(np.array(scores), hits), 4) if 0 < sum(hits) < len(hits) else None,
        },
    }
