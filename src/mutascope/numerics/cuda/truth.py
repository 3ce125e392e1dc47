"""The arithmetics of cards: named, with the configuration of every kernel. Nothing is tuned while it runs.

The order in which a card adds up depends on the kind of its tensor cores, on the inputs that a linear map adds up in
one step, and on the blocks and warps of attention. A number goes up when any of these changes. The rows and outputs
that a linear map computes at a time are none of it (tests/gpu).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, prod

import torch

VERSION = 2
_TF32, _BULK = 8, 9
"""Major compute capabilities from which on tensor cores multiply float32 (in three parts) and bfloat16, and from which
on blocks of matrices are copied by an engine of their own.
"""


@dataclass(frozen=True, eq=False)
class Blocks:
    """What a program of a matrix kernel computes at a time: no part of the arithmetic.

    Attributes:
        rows, outs: of the result.
        warps, stages: as Triton means them.
        together: programs that a processor of a card holds at once.
    """

    rows: int
    outs: int
    warps: int
    stages: int
    together: int = 1

    def turns(self, rows: int, outs: int, processors: int) -> int:
        """Return how often all processors are filled to compute a result, be the last time in part."""
        return ceil(ceil(rows / self.rows) * ceil(outs / self.outs) / (processors * self.together))


@dataclass(frozen=True, eq=False)
class Truth:
    """An arithmetic of a card.

    Attributes:
        name: as a manifest says it.
        precision: of products of attention, as ``triton.language.dot`` names it.
        ins: inputs that a linear map adds up in one step.
        linear: blocks of linear maps, by the rows from which on they are taken.
        bulk: whether the card has an engine that copies blocks of matrices.
        queries, keys: that attention takes at a time.
        attention_warps, attention_stages: as Triton means them.
    """

    name: str
    precision: str
    ins: int
    linear: tuple[tuple[int, Blocks], ...]
    bulk: bool = False
    queries: int = 8
    keys: int = 32
    attention_warps: int = 2
    attention_stages: int = 2

    @property
    def apart(self) -> bool:
        """Whether linear maps take floats apart, so that a product is three of tensor cores."""
        return self.precision == "tf32x3"

    def strip(self, blocks: Blocks) -> tuple[int, int]:
        """Return the rows and outputs of an edited tile that a program computes at a time, no part of the arithmetic
        either: tensor cores take 64 of what comes first, which are outputs where floats are taken apart.
        """
        return (16, 64) if self.apart else (blocks.rows, 16)

    def blocks(self, rows: int) -> Blocks:
        """Return the blocks of a linear map of some rows."""
        for least, blocks in reversed(self.linear):
            if rows >= least:
                return blocks
        raise ValueError(f"a map of {rows} rows")

    def pace(self, rows: int, maps: Sequence[tuple[int, int]], processors: int) -> float:
        """Return how long maps of some outputs and inputs take a row, in the time of a product that fills a card."""
        blocks = self.blocks(rows)
        turns = sum(ins * blocks.turns(rows, outs, processors) for outs, ins in maps)
        return turns * processors * blocks.together * blocks.rows * blocks.outs / rows / sum(map(prod, maps))


_SINGLE = ((0, Blocks(rows=64, outs=64, warps=4, stages=3, together=3)),)
_HALF = (
    *((0, Blocks(rows=64, outs=64, warps=4, stages=4, together=3)), (96, Blocks(128, 128, 4, 4))),
    (1024, Blocks(128, 256, 8, 3)),
)


@cache
def truth_of(dtype: torch.dtype, device: torch.device) -> Truth | None:
    """Return the arithmetic of weights of a dtype on a card, always the same object; None where there is none.

    On a CPU it is that of Triton's interpreter.
    """
    major, place = _BULK, "interpreter"
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        place = f"sm{major}{minor}"
    if dtype == torch.float32 and major >= _TF32:
        return Truth(f"tf32x3-{place}-{VERSION}", "tf32x3", 32, _SINGLE, major >= _BULK)
    if dtype == torch.float32:
        return Truth(f"f32-{place}-{VERSION}", "ieee", 32, _SINGLE)
    if dtype == torch.bfloat16 and major >= _TF32:
        return Truth(f"bf16-{place}-{VERSION}", "ieee", 64, _HALF, major >= _BULK)
    return None
