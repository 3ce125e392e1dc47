# pyright: reportMissingImports=false
"""Linear maps, and rows whose mutant has weights of its own for the outputs of a tile.

An output is the sum over all inputs in steps of a fixed size, in one accumulator: it depends neither on the other rows
of the batch nor on the other outputs. So the outputs of an edited tile, computed by the same steps with the edited
weights, have the bits of the edited matrix.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from mutascope.numerics.cuda.elementwise import activate
from mutascope.numerics.cuda.launch import aligned, launch, operand, rounded
from mutascope.numerics.cuda.truth import Blocks, Truth, truth_of

_GROUP = 8
"""Blocks of rows that are next to each other in time for every block of outputs, which then stays in the L2 cache."""


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
    if all(bias is None for bias in biases):
        return Packed(weights, None, paired)
    filled = [
        weight.new_zeros(len(weight)) if bias is None else bias.detach()
        for weight, bias in zip(weights, biases, strict=True)
    ]
    return Packed(weights, torch.cat(filled).float(), paired)


def strips(groups: Mapping[Hashable, Sequence[Member]]) -> dict[Hashable, Strips]:
    """Return the strips of every group of rows, with one copy to the card."""
    weights = {
        key: [
            (row, which, top, aligned(matrix))
            for row, top, packed in members
            for which, matrix in enumerate(packed.matrices)
        ]
        for key, members in groups.items()
    }
    entries = [
        (row, which, top, len(matrix), matrix.data_ptr())
        for some in weights.values()
        for row, which, top, matrix in some
    ]
    if not entries:
        return {}
    device = next(iter(weights.values()))[0][3].device
    tables = (
        torch.tensor(entries, dtype=torch.int64).to(device).split([len(some) for some in weights.values()])
    )
    return {
        key: Strips(table, max(len(matrix) for *_, matrix in some), tuple(matrix for *_, matrix in some))
        for (key, some), table in zip(weights.items(), tables, strict=True)
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
    out = fed.new_empty(len(fed), packed.width)
    first = 0
    for matrix in packed.matrices:
        bias = None if packed.bias is None else packed.bias[first:]
        _multiply(fed, matrix, bias, out[:, first:], truth)
        first += len(matrix)
    if strips is not None:
        _multiply_strips(fed, packed, strips, steps, out, truth)
    out = _finished(out, packed, act).view(*x.shape[:-1], packed.outs)
    return out if residual is None else out + residual


def _finished(out: Tensor, packed: Packed, act: str | None) -> Tensor:
    """Return what follows a product: an activation, and of a pair the product of the two."""
    if not packed.paired:
        return activate(out, act) if act else out
    gate, up = out[:, : packed.outs], out[:, packed.outs :]
    return (activate(gate, act) if act else gate) * up


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, truth: Truth) -> None:
    """Write x W^T + bias into columns of a result."""
    blocks, (outs, ins) = truth.linear, weight.shape
    grid = (triton.cdiv(len(x), blocks.rows) * triton.cdiv(outs, blocks.outs),)
    launch(
        _linear,
        grid,
        *(x, weight, bias, out, len(x), out.stride(0)),
        *(outs, ins, weight.stride(0), weight.stride(1)),
        **_options(blocks, truth),
        GROUP=_GROUP,
    )


def _multiply_strips(
    x: Tensor, packed: Packed, strips: Strips, steps: int, out: Tensor, truth: Truth
) -> None:
    """Write the outputs of edited tiles over those of the matrix."""
    blocks = truth.linear
    grid = (len(strips.table), triton.cdiv(strips.most, blocks.outs), triton.cdiv(steps, blocks.rows))
    options = _options(blocks, truth)
    launch(
        _strips,
        grid,
        x,
        strips.table,
        packed.bias,
        out,
        steps,
        out.stride(0),
        packed.outs,
        packed.ins,
        **options,
    )


def _options(blocks: Blocks, truth: Truth) -> dict[str, object]:
    return {
        **{"ROWS": blocks.rows, "OUTS": blocks.outs, "INS": blocks.ins, "PRECISION": truth.precision},
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
def _store(total, bias, out, row, column, keep, out_row):
    """Write a block of sums with their biases (at columns) to rows and columns of the result."""
    if bias is not None:
        total += tl.load(bias + column)[None, :]
    at = out + row.to(tl.int64)[:, None] * out_row + column[None, :]
    tl.store(at, rounded(total, out), mask=keep)


@triton.jit(do_not_specialize=["rows"])
def _linear(
    x,
    weight,
    bias,
    out,
    rows,
    out_row: tl.constexpr,
    outs: tl.constexpr,
    ins: tl.constexpr,
    out_stride: tl.constexpr,
    in_stride: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    INS: tl.constexpr,
    PRECISION: tl.constexpr,
    GROUP: tl.constexpr,
):
    program, high, wide = tl.program_id(0), tl.cdiv(rows, ROWS), tl.cdiv(outs, OUTS)
    group = program // (GROUP * wide)
    tall = tl.minimum(high - group * GROUP, GROUP)
    row = (group * GROUP + program % (GROUP * wide) % tall) * ROWS + tl.arange(0, ROWS)
    column = program % (GROUP * wide) // tall * OUTS + tl.arange(0, OUTS)
    total = _sum(x, weight, row, column, rows, outs, ins, out_stride, in_stride, ROWS, OUTS, INS, PRECISION)
    keep = (row < rows)[:, None] & (column < outs)[None, :]
    _store(total, bias, out, row, tl.where(column < outs, column, 0), keep, out_row)


@triton.jit(do_not_specialize=["steps"])
def _strips(
    x,
    table,
    bias,
    out,
    steps,
    out_row: tl.constexpr,
    outs: tl.constexpr,
    ins: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    INS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    entry = table + tl.program_id(0) * 5
    first = tl.load(entry).to(tl.int64) * steps
    top, high = tl.load(entry + 1) * outs + tl.load(entry + 2), tl.load(entry + 3)
    weight = tl.multiple_of(tl.load(entry + 4), 16).to(tl.pointer_type(x.dtype.element_ty))
    step = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * OUTS + tl.arange(0, OUTS)
    total = _sum(x + first * ins, weight, step, column, steps, high, ins, ins, 1, ROWS, OUTS, INS, PRECISION)
    keep = (step < steps)[:, None] & (column < high)[None, :]
    _store(total, bias, out, first + step, top + tl.where(column < high, column, 0), keep, out_row)
