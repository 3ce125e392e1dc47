"""Compiles the kernels of cards for Hopper, where there is no card, and prints the shared memory that each takes.

Triton goes its own way up to the launch, which is left out. What operations return is not computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from triton.backends.compiler import GPUTarget  # pyright: ignore
from triton.runtime import driver  # pyright: ignore

from mutascope.numerics import cuda
from mutascope.numerics.cpu import Heads
from mutascope.numerics.cuda import attention, maps, truth
from mutascope.numerics.cuda.launch import Launcher

CPU = torch.device("cpu")
truths = {dtype: truth.truth_of(dtype, CPU) for dtype in (torch.float32, torch.bfloat16)}
shared: dict[Any, int] = {}


class Hopper:
    """A card that is only compiled for."""

    def get_current_target(self) -> Any:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 0


def compile_only(launcher: Any, grid: Any, kinds: Any, *arguments: Any) -> None:
    """Take the place of a launch."""
    if (launcher, kinds) not in shared:
        options = {"grid": grid, "enable_fp_fusion": False, **launcher.options}
        compiled = launcher.kernel.warmup(*arguments, **options)
        shared[launcher, kinds] = compiled.metadata.shared
        print(launcher.kernel.__name__, compiled.metadata.shared, flush=True)


def layer(dtype: torch.dtype, hidden: int, heads: Heads, rows: int, steps: int, tile: int | None) -> None:
    """Run a layer with a gate, in which the first row of a batch has edited tiles, if any."""
    own, half = heads.n_heads * heads.head_dim, dtype == torch.bfloat16

    def matrix(outs: int, ins: int) -> torch.Tensor:
        return torch.empty(outs, ins, dtype=dtype)

    def strips(packed: maps.Packed) -> Any:
        if tile is None:
            return None
        parts = [matrix(tile, packed.ins) for _ in range(1 + packed.paired)]
        kept.append(cuda.stack(parts, [None] * len(parts), paired=packed.paired))
        table = np.array([(0, *entry) for entry in kept[-1].entries(0)], dtype=np.int64)
        return cuda.strips(table, [len(table)], CPU)[0]

    kept: list[maps.Packed] = []
    sizes = [own, *[heads.n_kv_heads * heads.head_dim] * 2]
    qkv = cuda.stack([matrix(size, hidden) for size in sizes], [None] * 3)
    o, down = cuda.pack(matrix(hidden, own)), cuda.pack(matrix(hidden, 2 * hidden), matrix(hidden, 1)[:, 0])
    up = cuda.pack_pair(matrix(2 * hidden, hidden), matrix(2 * hidden, hidden))
    x, places = torch.empty(rows, steps, hidden, dtype=dtype), torch.arange(steps)[None]
    rotary = (torch.empty(64, heads.head_dim), torch.empty(64, heads.head_dim))
    normed = cuda.norm(x, torch.empty(hidden), None, 1e-5, half=half)
    fed = cuda.linear(normed, qkv, strips=strips(qkv), steps=steps, half=half).flatten(0, 1)
    cache = cuda.new_cache(2, rows, heads.n_kv_heads, positions=64, head_dim=heads.head_dim, like=x)
    seen = cuda.attend(fed, heads, cache, rotary, places, rows, half=half)
    assert seen is not None
    cuda.linear(seen.view(rows, steps, own), o, residual=x, strips=strips(o), steps=steps, half=half)
    inner = cuda.linear(normed, up, act="silu", strips=strips(up), steps=steps, half=half)
    cuda.linear(inner, down, residual=x, strips=strips(down), steps=steps, half=half)


def main() -> None:
    driver.set_active(Hopper())
    Launcher.__call__ = compile_only  # pyright: ignore
    for module in (attention, maps):
        module.truth_of = lambda dtype, _: truths[dtype]  # pyright: ignore
    for dtype, batches in ((torch.float32, [70]), (torch.bfloat16, [10, 100, 1100])):
        for rows in batches:
            for steps, tile in ((1, None), (1, 64), (8, 64)):
                layer(dtype, 256, Heads(8, 2, 128, 0.1, 2**31 - 1), rows, steps, tile)
        layer(dtype, 90, Heads(3, 3, 30, 0.1, 12, 50.0), 10, 8, 8)  # rows that no engine copies
        logits = torch.empty(4, 100)
        cuda.pick(logits, torch.empty(3, 100), torch.zeros(4, dtype=torch.int64), 50, 0.7)


if __name__ == "__main__":
    main()
