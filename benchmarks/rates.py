"""What the processor can do: multiplications and additions in a loop, and products at the shapes of a model."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.nn import functional as F

from mutascope.numerics import cpu

ROUNDS = 50_000_000


def peak(dtype: torch.dtype) -> float | None:
    """GFLOP/s of a loop of multiplications and additions on all cores; None without a C compiler."""
    if not shutil.which("cc"):
        return None
    source = Path(__file__).with_name("peak.c")
    with TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-pthread"]
        subprocess.run(["cc", *flags, str(source), "-o", str(library)], check=True)
        loop, threads, half = ctypes.CDLL(str(library)).peak, torch.get_num_threads(), dtype == torch.bfloat16
        multiplications = loop(ctypes.c_long(1), threads, half)
        seconds = _least(lambda: loop(ctypes.c_long(ROUNDS), threads, half), 3)
    return 2 * multiplications * ROUNDS * threads / seconds / 1e9


def products(shapes: set[tuple[int, int]], dtype: torch.dtype, rows: int = 384) -> dict[str, float]:
    """GFLOP/s at the shapes of linear maps, ``rows`` tokens at a time: ours, oneDNN's and ``F.linear``."""
    rates: dict[str, list[float]] = {"own": [], "oneDNN": [], "F.linear": []}
    for shape in sorted(shapes):
        weights, x = [torch.randn(*shape).to(dtype) for _ in range(8)], torch.randn(rows, shape[1]).to(dtype)
        floats, packed = x.float(), [cpu.pack(weight) for weight in weights]
        maps: dict[str, Callable[[int], Tensor]] = {
            "own": lambda at, x=floats, packed=packed: cpu.linear(x, packed[at]),
            "F.linear": lambda at, x=x, weights=weights: F.linear(x, weights[at]),
        }
        if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            maps["oneDNN"] = lambda at, x=x, weights=weights: torch.ops.mkldnn._linear_pointwise(
                x, weights[at], None, "none", [], ""
            )
        flop = 2 * rows * shape[0] * shape[1] * len(weights)
        for name, product in maps.items():
            places = range(len(weights))
            seconds = _least(lambda product=product, places=places: [product(at) for at in places], 12)
            rates[name].append(flop / seconds / 1e9)
    return {name: sum(some) / len(some) for name, some in rates.items() if some}


def _least(work: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of some runs."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)
