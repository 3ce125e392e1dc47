# pyright: reportMissingImports=false
"""The kernel of linear maps: one launch computes a map, however many tiles of it are edited.

A program adds up a block of outputs. The first ones have an edited tile each: its sums are as long as any, and begin
early. Those of the network's own weights leave out what these write.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mutascope.numerics.cuda.elementwise import activated
from mutascope.numerics.cuda.launch import operand, rounded


@triton.jit
def _thrice(w, upper, lower):
    """Return the product of blocks of floats on tensor cores that take their first 11 bits: w [n, k], and what
    :func:`mutascope.numerics.cuda.elementwise.halves` made of the other, [k, m]. What is not finite in the small parts
    does not count.
    """
    above = (w.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
    below = ((w - above).to(tl.int32, bitcast=True) + 4096 & -8192).to(tl.float32, bitcast=True)
    total = tl.dot(below, upper, input_precision="tf32")
    total = tl.dot(above, lower, total, input_precision="tf32")
    total = tl.where(tl.abs(total) < float("inf"), total, 0.0)
    return tl.dot(above, upper, total, input_precision="tf32")


@triton.jit
def _sum(
    x,
    lower,
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
):
    """Return a block of x W^T: rows [ROWS] of x, [n_rows, ins], and rows [OUTS] of W, [n_outs, ins]."""
    inner = tl.arange(0, INS)
    x_at = row.to(tl.int64)[:, None] * ins + inner[None, :]
    w_at = weight + column.to(tl.int64)[None, :] * out_stride + inner[:, None] * in_stride
    fed, kept = (row < n_rows)[:, None], (column < n_outs)[None, :]
    total = tl.zeros([ROWS, OUTS], tl.float32)
    for first in range(0, ins, INS):
        a = _load(x + x_at, fed, ins, INS, first + inner[None, :])
        b = _load(w_at, kept, ins, INS, first + inner[:, None])
        if lower is None:
            total = tl.dot(operand(a), operand(b), total, input_precision="ieee")
        else:  # weights come first: they are taken apart in registers
            small = _load(lower + x_at, fed, ins, INS, first + inner[None, :])
            total += tl.trans(_thrice(tl.trans(b), tl.trans(a), tl.trans(small)))
        x_at += INS
        w_at += INS * in_stride
    return total


@triton.jit
def _bulk_sum(
    x,
    lower,
    weight,
    row,
    column,
    ins: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    INS: tl.constexpr,
):
    """Return what :func:`_sum` does, from a row and an output on, of descriptors of matrices: beyond them are zeros."""
    total = tl.zeros([ROWS, OUTS], tl.float32)
    for first in range(0, ins, INS):
        a, b = x.load([row, first]), weight.load([column, first])
        if lower is None:
            total = tl.dot(operand(a), operand(tl.trans(b)), total, input_precision="ieee")
        else:
            total += tl.trans(_thrice(b, tl.trans(a), tl.trans(lower.load([row, first]))))
    return total


@triton.jit
def _load(at, keep, ins: tl.constexpr, INS: tl.constexpr, inner):
    """Return a block of a matrix; behind its inputs are zeros."""
    if ins % INS == 0:
        return tl.load(at, mask=keep, other=0.0)
    else:
        return tl.load(at, mask=keep & (inner < ins), other=0.0)


@triton.jit
def _after(total, bias, residual, out, row, column, keep, width: tl.constexpr, FUNCTION: tl.constexpr):
    """Return a block of results, of its sums, and where it goes, at rows and columns of a result of some width."""
    if bias is not None:
        total += tl.load(bias + column[None, :], mask=keep, other=0.0)
    made, at = rounded(total, out), row.to(tl.int64)[:, None] * width + column[None, :]
    if FUNCTION > 0:
        made = rounded(activated(made.to(tl.float32), FUNCTION), out)
    if residual is not None:
        made = rounded(made.to(tl.float32) + tl.load(residual + at, mask=keep, other=0.0).to(tl.float32), out)
    return made, out + at


@triton.jit
def _spans(table, strips, steps, row, ROWS: tl.constexpr, SOME: tl.constexpr):
    """Return the first output that rows [ROWS] have weights of their own for, and one above the last."""
    top, stop, done = tl.zeros([ROWS], tl.int32), tl.zeros([ROWS], tl.int32), 0
    while done < strips:
        strip = done + tl.arange(0, SOME)
        there, entry = strip < strips, table + strip * 5
        first = (tl.load(entry, mask=there, other=0) * steps).to(tl.int32)
        lowest = tl.load(entry + 2, mask=there, other=0).to(tl.int32)
        high = tl.load(entry + 3, mask=there, other=0).to(tl.int32)
        own = there[None, :] & (row[:, None] >= first[None, :]) & (row[:, None] < (first + steps)[None, :])
        top = tl.maximum(top, tl.max(tl.where(own, lowest[None, :], 0), 1))
        stop = tl.maximum(stop, tl.max(tl.where(own, (lowest + high)[None, :], 0), 1))
        done += SOME
    return top, stop


@triton.jit
def _matrix(
    program,
    x,
    lower,
    fed,
    fed_lower,
    weight,
    second,
    third,
    bias,
    residual,
    out,
    table,
    rows,
    strips,
    steps,
    outs: tl.constexpr,
    second_outs: tl.constexpr,
    third_outs: tl.constexpr,
    ins: tl.constexpr,
    out_stride: tl.constexpr,
    in_stride: tl.constexpr,
    single: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    INS: tl.constexpr,
    FUNCTION: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Compute a block of the network's own outputs."""
    width: tl.constexpr = outs + second_outs + third_outs
    to_second: tl.constexpr = (outs + OUTS - 1) // OUTS
    to_third: tl.constexpr = to_second + (second_outs + OUTS - 1) // OUTS
    wide: tl.constexpr = to_third + (third_outs + OUTS - 1) // OUTS
    high = tl.cdiv(rows, ROWS)
    group = program // (GROUP * wide)
    tall = tl.minimum(high - group * GROUP, GROUP)
    first_row = (group * GROUP + program % (GROUP * wide) % tall) * ROWS
    row = first_row + tl.arange(0, ROWS)
    block = program % (GROUP * wide) // tall
    in_third, in_second = block >= to_third, block >= to_second
    top = tl.where(in_third, outs + second_outs, tl.where(in_second, outs, 0))
    own = tl.where(in_third, third_outs, tl.where(in_second, second_outs, outs))
    block -= tl.where(in_third, to_third, tl.where(in_second, to_second, 0))
    column = block * OUTS + tl.arange(0, OUTS)
    if second is not None:  # noqa: SIM102 - a constant leaves code out where it stands alone
        if in_second:
            weight = second
    if third is not None:  # noqa: SIM102
        if in_third:
            weight = third
    if fed is None:
        total = _sum(x, lower, weight, row, column, rows, own, ins, out_stride, in_stride, ROWS, OUTS, INS)
    else:
        total = _bulk_sum(fed, fed_lower, weight, first_row, block * OUTS, ins, ROWS, OUTS, INS)
    keep = (row < rows)[:, None] & (column < own)[None, :]
    if table is None:
        made, at = _after(total, bias, residual, out, row, top + column, keep, width, FUNCTION)
        tl.store(at, made, mask=keep)
    else:
        first, stop = _spans(table, strips, steps, row, ROWS, 16)
        made, at = _after(total, bias, residual, out, row, top + column, keep, width, FUNCTION)
        place = (top + column) % single  # in a pair, a tile's outputs are left out of both matrices
        lowest = (top + block * OUTS) % single
        shared = (first < lowest + OUTS) & (stop > lowest)
        if tl.max(tl.where(shared, 1, 0), 0) > 0:
            others = (place[None, :] >= first[:, None]) & (place[None, :] < stop[:, None])
            tl.store(at, made, mask=keep & (others == 0))
        else:  # where outputs may be left out, every one is stored alone
            tl.store(at, made, mask=keep)


@triton.jit
def _strip(
    program,
    x,
    lower,
    table,
    bias,
    residual,
    out,
    across,
    steps,
    width: tl.constexpr,
    single: tl.constexpr,
    ins: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    INS: tl.constexpr,
    FUNCTION: tl.constexpr,
):
    """Compute a block of the outputs of an edited tile."""
    tall = tl.cdiv(steps, ROWS)
    entry = table + program // (across * tall) * 5
    first = tl.load(entry).to(tl.int64) * steps
    top, high = tl.load(entry + 1) * single + tl.load(entry + 2), tl.load(entry + 3)
    weight = tl.multiple_of(tl.load(entry + 4), 16).to(tl.pointer_type(x.dtype.element_ty))
    step = program % tall * ROWS + tl.arange(0, ROWS)
    column = program // tall % across * OUTS + tl.arange(0, OUTS)
    if lower is not None:
        lower += first * ins
    total = _sum(x + first * ins, lower, weight, step, column, steps, high, ins, ins, 1, ROWS, OUTS, INS)
    keep = (step < steps)[:, None] & (column < high)[None, :]
    made, at = _after(total, bias, residual, out, first + step, top + column, keep, width, FUNCTION)
    tl.store(at, made, mask=keep)


@triton.jit(do_not_specialize=["rows", "strips", "across", "steps"])
def multiply(
    x,
    lower,
    fed,
    fed_lower,
    weight,
    second,
    third,
    bias,
    residual,
    out,
    table,
    rows,
    strips,
    across,
    steps,
    outs: tl.constexpr,
    second_outs: tl.constexpr,
    third_outs: tl.constexpr,
    ins: tl.constexpr,
    out_stride: tl.constexpr,
    in_stride: tl.constexpr,
    single: tl.constexpr,
    ROWS: tl.constexpr,
    OUTS: tl.constexpr,
    STRIP_ROWS: tl.constexpr,
    STRIP_OUTS: tl.constexpr,
    INS: tl.constexpr,
    FUNCTION: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Compute a block of outputs of up to three matrices, or of an edited tile (mutascope.numerics.cuda.maps)."""
    program, ahead = tl.program_id(0), strips * across * tl.cdiv(steps, STRIP_ROWS)
    width: tl.constexpr = outs + second_outs + third_outs
    if table is None:
        _matrix(
            program, x, lower, fed, fed_lower, weight, second, third, bias, residual, out, table, rows, strips, steps,
            outs, second_outs, third_outs, ins, out_stride, in_stride, single, ROWS, OUTS, INS, FUNCTION, GROUP,
        )  # fmt: skip
    else:
        if program < ahead:
            _strip(
                program, x, lower, table, bias, residual, out, across, steps, width, single, ins, STRIP_ROWS,
                STRIP_OUTS, INS, FUNCTION,
            )  # fmt: skip
        else:
            _matrix(
                program - ahead, x, lower, fed, fed_lower, weight, second, third, bias, residual, out, table, rows,
                strips, steps, outs, second_outs, third_outs, ins, out_stride, in_stride, single, ROWS, OUTS, INS,
                FUNCTION, GROUP,
            )  # fmt: skip
