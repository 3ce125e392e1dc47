# pyright: reportMissingImports=false
"""Linear maps, and rows whose mutant has weights of its own for the outputs of a tile.

An output is the sum over all inputs in steps of a fixed size, in one accumulator: it depends neither on the other rows
of the batch nor on the other outputs. So the outputs of an edited tile, computed by the same steps with the edited
weights, have the bits of the edited matrix.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import triton
from torch import Tensor

from mutascope.numerics.cuda.elementwise import ACTIVATIONS, gated, halves
from mutascope.numerics.cuda.launch import ALIGNED, aligned, in_blocks, launch
from mutascope.numerics.cuda.products import multiply
from mutascope.numerics.cuda.truth import Truth, truth_of

_GROUP = 8
"""Blocks of rows that are next to each other in time for every block of outputs, which then stays in the L2 cache."""

_MOST = 3
"""Matrices that are packed together."""


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

    @property
    def outs(self) -> int:
        """Output features; of a pair, those of one."""
        return self.width // 2 if self.paired else self.width

    @property
    def ins(self) -> int:
        """Input features."""
        return self.matrices[0].shape[1]

    @property
    def strides(self) -> tuple[int, int]:
        """Of all matrices."""
        return self.matrices[0].stride(0), self.matrices[0].stride(1)

    @cached_property
    def in_bulk(self) -> bool:
        """Whether a card's copy engine can read these weights, and what they are fed."""
        size = self.matrices[0].element_size()
        places = [each.data_ptr() for each in self.matrices] + [self.strides[0] * size, self.ins * size]
        return self.strides[1] == 1 and all(place % ALIGNED == 0 for place in places)

    @cached_property
    def places(self) -> list[tuple[int, int, Tensor]]:
        """Of every matrix: output features, and the address where it lies dense, in the tensor that is last."""
        dense = [aligned(matrix) for matrix in self.matrices]
        return [(len(matrix), matrix.data_ptr(), matrix) for matrix in dense]

    @property
    def width(self) -> int:
        """Output features of all matrices."""
        return sum(map(len, self.matrices))


@dataclass(frozen=True)
class Strips:
    """Rows whose mutant writes a tile of the weight; a row has one tile at most.

    Attributes:
        table: int64 [strips, 5]: row of the batch; which of a pair; first output feature; their number; the address
            of the edited weights of these outputs, [outs, ins].
        most: outputs of a strip, at most.
        weights: what the table points to.
    """

    table: Tensor
    most: int
    weights: tuple[Tensor, ...]


Member = tuple[int, int, Packed]
"""Row of the batch, first output feature, and the edited weights of the tile's outputs."""


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


def strips(groups: Mapping[Hashable, Sequence[Member]]) -> dict[Hashable, Strips]:
    """Return the strips of every group of rows, with one copy to the card."""
    owned = {
        key: [
            (row, which, top, *each)
            for row, top, packed in members
            for which, each in enumerate(packed.places)
        ]
        for key, members in groups.items()
    }
    entries = [entry[:5] for some in owned.values() for entry in some]
    if not entries:
        return {}
    device = next(iter(owned.values()))[0][5].device
    tables = torch.tensor(entries, dtype=torch.int64).to(device).split([len(some) for some in owned.values()])
    return {
        key: Strips(table, max(entry[3] for entry in some), tuple(entry[5] for entry in some))
        for (key, some), table in zip(owned.items(), tables, strict=True)
    }


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
    after = (packed.bias, None if packed.paired or residual is None else aligned(residual))
    function = 0 if packed.paired or act is None else ACTIVATIONS[act]
    out = fed.new_empty(len(fed), packed.width)
    _multiply(fed, packed, after, function, out, strips, steps, truth)
    if packed.paired:
        out = gated(out, act, residual)
    return out.view(*x.shape[:-1], packed.outs)


After = tuple[Tensor | None, Tensor | None]
"""What is added to sums: a bias [outs], and behind the activation a residual [rows, outs]."""


def _multiply(
    x: Tensor,
    packed: Packed,
    after: After,
    function: int,
    out: Tensor,
    strips: Strips | None,
    steps: int,
    truth: Truth,
) -> None:
    """Write act(x W^T + bias) + residual of all matrices into a result, with the edited tiles of some rows."""
    blocks, missing = truth.blocks(len(x)), [None] * (_MOST - len(packed.matrices))
    outs = [*map(len, packed.matrices), 0, 0][:_MOST]
    programs = triton.cdiv(len(x), blocks.rows) * sum(triton.cdiv(some, blocks.outs) for some in outs)
    upper, lower = halves(x) if truth.apart else (x, None)
    fed, matrices = (None, None), packed.matrices
    if truth.bulk and packed.in_bulk:
        fed = [in_blocks(each, blocks.rows, truth.ins) for each in (upper, lower)]
        matrices = [in_blocks(each, blocks.outs, truth.ins) for each in matrices]
    (table, count, across), strip = (None, 0, 0), truth.strip(blocks)
    if strips is not None:
        table, count, across = strips.table, len(strips.table), triton.cdiv(strips.most, strip[1])
    launch(
        multiply,
        (programs + count * across * triton.cdiv(steps, strip[0]),),
        *(upper, lower, *fed, *matrices, *missing, *after, out, table, len(x), count, across, steps),
        **dict(zip(("outs", "second_outs", "third_outs"), outs, strict=True)),
        **{"ins": packed.ins, "out_stride": packed.strides[0], "in_stride": packed.strides[1]},
        **{"single": packed.outs, "ROWS": blocks.rows, "OUTS": blocks.outs},
        **{"STRIP_ROWS": strip[0], "STRIP_OUTS": strip[1], "INS": truth.ins},
        **{"FUNCTION": function, "GROUP": _GROUP},
        **{"num_warps": blocks.warps, "num_stages": blocks.stages},
    )
