"""The arithmetics of cards: named, with the configuration of every kernel. Nothing is tuned while it runs.

The order in which a card adds up depends on the kind of its tensor cores, on the inputs that a linear map adds up in
one step, and on the blocks and warps of attention. A number goes up when any of these changes. The rows and outputs
that a linear map computes at a time are none of it (tests/gpu).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch

VERSION = 1
_TF32 = 8
"""Major compute capability from which on tensor cores multiply float32 (in three parts) and bfloat16."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """What a program of a matrix kernel computes at a time: no part of the arithmetic.

    Attributes:
        rows, outs: of the result.
        warps, stages: as Triton means them.
    """

    rows: int
    outs: int
    warps: int
    stages: int


@dataclass(frozen=True, eq=False)
class Truth:
    """An arithmetic of a card.

    Attributes:
        name: as a manifest says it.
        precision: of products, as ``triton.language.dot`` names it.
        ins: inputs that a linear map adds up in one step.
        linear: blocks of linear maps, by the rows from which on they are taken.
        strip_outs: outputs of an edited tile that a program computes at a time: no part of the arithmetic, either.
        queries, keys: that attention takes at a time.
        attention_warps, attention_stages: as Triton means them.
    """

    name: str
    precision: str
    ins: int
    linear: tuple[tuple[int, Blocks], ...]
    strip_outs: int = 16
    queries: int = 16
    keys: int = 32
    attention_warps: int = 4
    attention_stages: int = 2

    def blocks(self, rows: int) -> Blocks:
        """Return the blocks of a linear map of some rows."""
        for least, blocks in reversed(self.linear):
            if rows >= least:
                return blocks
        raise ValueError(f"a map of {rows} rows")


_SINGLE = ((0, Blocks(rows=64, outs=64, warps=4, stages=4)), (193, Blocks(128, 64, 8, 3)))
_HALF = (
    *((0, Blocks(rows=64, outs=64, warps=4, stages=4)), (96, Blocks(128, 128, 4, 4))),
    *((449, Blocks(128, 128, 8, 4)), (1024, Blocks(128, 256, 8, 3))),
)


@cache
def truth_of(dtype: torch.dtype, device: torch.device) -> Truth | None:
    """Return the arithmetic of weights of a dtype on a card, always the same object; None where there is none.

    On a CPU it is that of Triton's interpreter.
    """
    major, place = _TF32, "interpreter"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        place = f"sm{major}{minor}"
    if dtype == torch.float32 and major >= _TF32:
        return Truth(f"tf32x3-{place}-{VERSION}", "tf32x3", 32, _SINGLE)
    if dtype == torch.float32:
        return Truth(f"f32-{place}-{VERSION}", "ieee", 32, _SINGLE)
    if dtype == torch.bfloat16 and major >= _TF32:
        return Truth(f"bf16-{place}-{VERSION}", "ieee", 64, _HALF)
    return None
