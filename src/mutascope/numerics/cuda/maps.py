# pyright: reportMissingImports=false
"""Linear maps, and rows whose mutant has weights of its own for the outputs of a tile.

An output is the sum over all inputs in steps of a fixed size, in one accumulator: it depends neither on the other rows
of the batch nor on the other outputs. So the outputs of an edited tile, computed by the same steps with the edited
weights, have the bits of the edited matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mutascope.numerics.cuda.elementwise import ACTIVATIONS, gated, halves
from mutascope.numerics.cuda.launch import ALIGNED, Launcher, aligned, ceil_div, in_blocks, is_aligned
from mutascope.numerics.cuda.products import multiply
from mutascope.numerics.cuda.truth import Blocks, Truth, truth_of

_GROUP = 8
"""Blocks of rows that are next to each other in time for every block of outputs, which then stays in the L2 cache."""

_MOST = 3
"""Matrices that are packed together."""
_STEP = 64
"""Rows that batches differ by, of which the best is taken."""


@dataclass(frozen=True)
class Packed:
    """Weights with the same input, one below the other, where they lie: nothing is copied.

    Attributes:
        matrices: [outs, ins] each.
        bias: of all of them, float32 [outs]; None where there is none.
        paired: whether they are a gate and what it gates; the result is then act(x @ first) * (x @ second).
    """

    matrices: tuple[Tensor, ...]
    bias: Tensor | None
    paired: bool = False

    @cached_property
    def outs(self) -> int:
        """Output features; of a pair, those of one."""
        return self.width // 2 if self.paired else self.width

    @cached_property
    def ins(self) -> int:
        """Input features."""
        return self.matrices[0].shape[1]

    @property
    def strides(self) -> tuple[int, int]:
        """Of all matrices."""
        return self.matrices[0].stride(0), self.matrices[0].stride(1)

    @cached_property
    def _dense(self) -> list[Tensor]:
        return [aligned(matrix) for matrix in self.matrices]

    def entries(self, top: int) -> list[tuple[int, int, int, int]]:
        """Return what a table of :class:`Strips` says of a tile whose outputs have these weights, behind its row: of
        every matrix which it is, the first output feature, their number, and the address where it lies dense.
        """
        return [(which, top, len(own), own.data_ptr()) for which, own in enumerate(self._dense)]

    @cached_property
    def width(self) -> int:
        """Output features of all matrices."""
        return sum(map(len, self.matrices))

    @cached_property
    def in_bulk(self) -> bool:
        """Whether a card's copy engine can read these weights, and what they are fed."""
        size = self.matrices[0].element_size()
        places = [each.data_ptr() for each in self.matrices] + [self.strides[0] * size, self.ins * size]
        return self.strides[1] == 1 and all(place % ALIGNED == 0 for place in places)

    @cached_property
    def _products(self) -> dict[tuple[Blocks, int], Product]:
        return {}

    def product(self, truth: Truth, blocks: Blocks, function: int) -> Product:
        """Return what computes the map with some blocks; made once, as it would take longer than a launch."""
        key = blocks, function
        if key not in self._products:
            self._products[key] = self._product(truth, blocks, function)
        return self._products[key]

    def _product(self, truth: Truth, blocks: Blocks, function: int) -> Product:
        outs, strip = [*map(len, self.matrices), 0, 0][:_MOST], truth.strip(blocks)
        launcher = Launcher(
            multiply,
            **dict(zip(("outs", "second_outs", "third_outs"), outs, strict=True)),
            **{"ins": self.ins, "out_stride": self.strides[0], "in_stride": self.strides[1]},
            **{"single": self.outs, "ROWS": blocks.rows, "OUTS": blocks.outs},
            **{"STRIP_ROWS": strip[0], "STRIP_OUTS": strip[1], "INS": truth.ins},
            **{"FUNCTION": function, "GROUP": _GROUP},
            **{"num_warps": blocks.warps, "num_stages": blocks.stages},
        )
        bulk = truth.bulk and self.in_bulk
        factors = [in_blocks(each, blocks.outs, truth.ins) if bulk else each for each in self.matrices]
        missing = [None] * (_MOST - len(factors))
        wide = sum(ceil_div(some, blocks.outs) for some in outs)
        return Product(launcher, bulk, (*factors, *missing), wide, strip)


class Product(NamedTuple):
    """What computes a map with some blocks.

    Attributes:
        launcher: of the kernel.
        bulk: whether a card's copy engine reads what it multiplies.
        factors: the matrices as the kernel takes them, and None for those that are not there.
        wide: blocks that are side by side.
        strip: rows and outputs of an edited tile that a program computes.
    """

    launcher: Launcher
    bulk: bool
    factors: tuple[Any, ...]
    wide: int
    strip: tuple[int, int]


@dataclass(frozen=True)
class Strips:
    """Rows whose mutant writes a tile of the weight; a row has one tile at most.

    Attributes:
        table: int64 [strips, 5]: row of the batch; which of a pair; first output feature; their number; the address
            of the edited weights of these outputs, [outs, ins].
        most: outputs of a strip, at most.
    """

    table: Tensor
    most: int


def pack(weight: Tensor, bias: Tensor | None = None) -> Packed:
    """Return a weight [outs, ins] with its bias [outs]."""
    return stack([weight], [bias])


def pack_pair(gate: Tensor, up: Tensor, biases: tuple[Tensor | None, Tensor | None] = (None, None)) -> Packed:
    """Return a gate and what it gates, both [outs, ins], with their biases [outs], both or none."""
    return stack([gate, up], biases, paired=True)


def stack(matrices: Sequence[Tensor], biases: Sequence[Tensor | None], *, paired: bool = False) -> Packed:
    """Return weights [outs, ins] with the same input, one below the other, with their biases [outs]."""
    weights = tuple(matrix.detach() for matrix in matrices)
    assert len(weights) <= _MOST
    assert len({weight.stride() for weight in weights}) == 1
    if all(bias is None for bias in biases):
        return Packed(weights, None, paired)
    filled = [
        weight.new_zeros(len(weight)) if bias is None else bias.detach()
        for weight, bias in zip(weights, biases, strict=True)
    ]
    return Packed(weights, torch.cat(filled).float(), paired)


def fitting_rows(maps: Sequence[Packed], most: int) -> int:
    """Return the rows, ``most`` or fewer but more than half of them, for which maps take the least time a row.

    A product of 513 rows may take as long as one of 640: its blocks fill the processors of a card once more.
    """
    dtype, device, processors = maps[0].matrices[0].dtype, maps[0].matrices[0].device, 1
    truth = truth_of(dtype, device)
    assert truth is not None
    if device.type == "cuda":
        processors = torch.cuda.get_device_properties(device).multi_processor_count
    shapes = [(packed.width, packed.ins) for packed in maps]
    fewer = range(most // _STEP * _STEP, most // 2, -_STEP)
    return min([most, *fewer], key=lambda rows: truth.pace(rows, shapes, processors))


def strips(table: np.ndarray, counts: Sequence[int], device: torch.device) -> list[Strips]:
    """Return the strips of several maps, with one copy to the card. The weights must outlive them.

    Args:
        table: int64 [strips, 5], those of a map behind those of the one before: row, and :meth:`Packed.entries`.
        counts: strips of every map, one at least.
        device: of the weights.
    """
    starts = np.cumsum([0, *counts[:-1]])
    most = np.maximum.reduceat(table[:, 3], starts).tolist()
    tables = torch.from_numpy(table).to(device).split(list(counts))
    return [Strips(some, outs) for some, outs in zip(tables, most, strict=True)]


def linear(
    x: Tensor,
    packed: Packed,
    *,
    act: str | None = None,
    residual: Tensor | None = None,
    strips: Strips | None = None,
    steps: int = 1,
    half: bool = False,
) -> Tensor:
    """Return act(x W^T + bias) + residual, or act(x G^T) * (x U^T) of a pair, in the dtype of x.

    Args:
        x: [..., ins].
        packed: W, or G and U.
        act: name of an activation (:data:`mutascope.numerics.cuda.elementwise.ACTIVATIONS`).
        residual: [..., outs].
        strips: rows with weights of their own.
        steps: consecutive vectors of x that are one row of ``strips``.
        half: whether the dtype is bfloat16.

    Returns:
        [..., outs].
    """
    truth = truth_of(x.dtype, x.device)
    assert truth is not None
    assert half == (x.dtype == torch.bfloat16)
    fed = aligned(x).view(-1, packed.ins)
    added = None if packed.paired or residual is None else aligned(residual)
    function = 0 if packed.paired or act is None else ACTIVATIONS[act]
    out = fed.new_empty(fed.shape[0], packed.width)
    _multiply(fed, packed, added, function, out, strips, steps, truth)
    if packed.paired:
        out = gated(out, act, residual)
    return out.view(*x.shape[:-1], packed.outs)


def _multiply(
    x: Tensor,
    packed: Packed,
    residual: Tensor | None,
    function: int,
    out: Tensor,
    strips: Strips | None,
    steps: int,
    truth: Truth,
) -> None:
    """Write act(x W^T + bias) + residual of all matrices into a result, with the edited tiles of some rows."""
    rows = x.shape[0]
    if not rows:
        return
    blocks = truth.blocks(rows)
    product = packed.product(truth, blocks, function)
    upper, lower = halves(x) if truth.apart else (x, None)
    fed, fed_lower = None, None
    if product.bulk:
        fed = in_blocks(upper, blocks.rows, truth.ins)
        fed_lower = None if lower is None else in_blocks(lower, blocks.rows, truth.ins)
    table, count, across = None, 0, 0
    if strips is not None:
        table, count, across = strips.table, strips.table.shape[0], ceil_div(strips.most, product.strip[1])
    ahead = count * across * ceil_div(steps, product.strip[0])
    product.launcher(
        (ahead + ceil_div(rows, blocks.rows) * product.wide, 1, 1),
        (residual is None, None if table is None else is_aligned(table)),
        *(upper, lower, fed, fed_lower, *product.factors, packed.bias, residual, out, table),
        *(rows, count, across, steps),
    )
