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
import triton.language as tl
from torch import Tensor

from mutascope.numerics.cuda.elementwise import ACTIVATIONS, activated, gated
from mutascope.numerics.cuda.launch import aligned, launch, operand, rounded
from mutascope.numerics.cuda.truth import Blocks, Truth, truth_of

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
    """Rows whose mutant writes a tile of the weight.

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
    _multiply(fed, packed, after, function, out, truth)
    if strips is not None:
        _multiply_strips(fed, packed, strips, steps, after, function, out, truth)
    if packed.paired:
        out = gated(out, act, residual)
    return out.view(*x.shape[:-1], packed.outs)


After = tuple[Tensor | None, Tensor | None]
"""What is added to sums: a bias [outs], and behind the activation a residual [rows, outs]."""


def _multiply(x: Tensor, packed: Packed, after: After, function: int, out: Tensor, truth: Truth) -> None:
    """Write act(x W^T + bias) + residual of all matrices into a result."""
    blocks = truth.blocks(len(x))
    outs = [*map(len, packed.matrices), 0, 0][:_MOST]
    wide = sum(triton.cdiv(some, blocks.outs) for some in outs)
    launch(
        _linear,
        (triton.cdiv(len(x), blocks.rows) * wide,),
        *(x, *packed.matrices, *[None] * (_MOST - len(packed.matrices)), *after, out, len(x)),
        **dict(zip(("outs", "second_outs", "third_outs"), outs, strict=True)),
        **{"ins": packed.ins, "out_stride": packed.strides[0], "in_stride": packed.strides[1]},
        **{"FUNCTION": function, "GROUP": _GROUP, **_options(blocks, truth)},
    )


def _multiply_strips(
    x: Tensor,
    packed: Packed,
    strips: Strips,
    steps: int,
    after: After,
    function: int,
    out: Tensor,
    truth: Truth,
) -> None:
    """Write the outputs of edited tiles over those of the matrix."""
    blocks = truth.strips
    launch(
        _strips,
        (len(strips.table), triton.cdiv(strips.most, blocks.outs), triton.cdiv(steps, blocks.rows)),
        *(x, strips.table, *after, out, steps),
        **{"width": packed.width, "outs": packed.outs, "ins": packed.ins},
        **{"FUNCTION": function, **_options(blocks, truth)},
    )


def _options(blocks: Blocks, truth: Truth) -> dict[str, object]:
    return {
        **{"ROWS": blocks.rows, "OUTS": blocks.outs, "INS": truth.ins, "PRECISION": truth.precision},
        **{"num_warps": blocks.warps, "num_stages": blocks.stages},
    }


@triton.jit
def _sum(
    x,
    weight,
    row,
    column,
    n_rows,
    n_outs,
    ins: tl.constexpr,
    out_stride: tl.constexpr,
    in_stride: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    INS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return a block of x W^T: rows [ROWS] of x, [n_rows, ins], and rows [OUTS] of W, [n_outs, ins]."""
    inner = tl.arange(0, INS)
    x_at = x + row.to(tl.int64)[:, None] * ins + inner[None, :]
    w_at = weight + column.to(tl.int64)[None, :] * out_stride + inner[:, None] * in_stride
    fed, kept = (row < n_rows)[:, None], (column < n_outs)[None, :]
    total = tl.zeros([ROWS, OUTS], tl.float32)
    for first in range(0, ins, INS):
        if ins % INS == 0:
            a = tl.load(x_at, mask=fed, other=0.0)
            b = tl.load(w_at, mask=kept, other=0.0)
        else:
            there = first + inner < ins
            a = tl.load(x_at, mask=fed & there[None, :], other=0.0)
            b = tl.load(w_at, mask=kept & there[:, None], other=0.0)
        total = tl.dot(operand(a), operand(b), total, input_precision=PRECISION)
        x_at += INS
        w_at += INS * in_stride
    return total


@triton.jit
def _store(total, bias, residual, out, row, column, keep, width: tl.constexpr, FUNCTION: tl.constexpr):
    """Write a block of sums, and what follows them, to rows and columns of a result of some width."""
    if bias is not None:
        total += tl.load(bias + column[None, :], mask=keep, other=0.0)
    made, at = rounded(total, out), row.to(tl.int64)[:, None] * width + column[None, :]
    if FUNCTION > 0:
        made = rounded(activated(made.to(tl.float32), FUNCTION), out)
    if residual is not None:
        made = rounded(made.to(tl.float32) + tl.load(residual + at, mask=keep, other=0.0).to(tl.float32), out)
    tl.store(out + at, made, mask=keep)


@triton.jit(do_not_specialize=["rows"])
def _linear(
    x,
    weight,
    second,
    third,
    bias,
    residual,
    out,
    rows,
    outs: tl.constexpr,
    second_outs: tl.constexpr,
    third_outs: tl.constexpr,
    ins: tl.constexpr,
    out_stride: tl.constexpr,
    in_stride: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    INS: tl.constexpr,
    PRECISION: tl.constexpr,
    FUNCTION: tl.constexpr,
    GROUP: tl.constexpr,
):
    width: tl.constexpr = outs + second_outs + third_outs
    to_second: tl.constexpr = (outs + OUTS - 1) // OUTS
    to_third: tl.constexpr = to_second + (second_outs + OUTS - 1) // OUTS
    wide: tl.constexpr = to_third + (third_outs + OUTS - 1) // OUTS
    program, high = tl.program_id(0), tl.cdiv(rows, ROWS)
    group = program // (GROUP * wide)
    tall = tl.minimum(high - group * GROUP, GROUP)
    row = (group * GROUP + program % (GROUP * wide) % tall) * ROWS + tl.arange(0, ROWS)
    block = program % (GROUP * wide) // tall
    in_third, in_second = block >= to_third, block >= to_second
    if second is not None:
        weight = second if in_second else weight
    if third is not None:
        weight = third if in_third else weight
    top = tl.where(in_third, outs + second_outs, tl.where(in_second, outs, 0))
    own = tl.where(in_third, third_outs, tl.where(in_second, second_outs, outs))
    block -= tl.where(in_third, to_third, tl.where(in_second, to_second, 0))
    column = block * OUTS + tl.arange(0, OUTS)
    total = _sum(x, weight, row, column, rows, own, ins, out_stride, in_stride, ROWS, OUTS, INS, PRECISION)
    keep = (row < rows)[:, None] & (column < own)[None, :]
    _store(total, bias, residual, out, row, top + column, keep, width, FUNCTION)


@triton.jit(do_not_specialize=["steps"])
def _strips(
    x,
    table,
    bias,
    residual,
    out,
    steps,
    width: tl.constexpr,
    outs: tl.constexpr,
    ins: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    INS: tl.constexpr,
    PRECISION: tl.constexpr,
    FUNCTION: tl.constexpr,
):
    entry = table + tl.program_id(0) * 5
    first = tl.load(entry).to(tl.int64) * steps
    top, high = tl.load(entry + 1) * outs + tl.load(entry + 2), tl.load(entry + 3)
    weight = tl.multiple_of(tl.load(entry + 4), 16).to(tl.pointer_type(x.dtype.element_ty))
    step = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * OUTS + tl.arange(0, OUTS)
    total = _sum(x + first * ins, weight, step, column, steps, high, ins, ins, 1, ROWS, OUTS, INS, PRECISION)
    keep = (step < steps)[:, None] & (column < high)[None, :]
    _store(total, bias, residual, out, first + step, top + column, keep, width, FUNCTION)
