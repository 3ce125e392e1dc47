# pyright: reportMissingImports=false
"""Norms over the last axis."""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from mutascope.numerics.cuda.launch import Launcher, power_of_two, rounded


def norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    epsilon: float,
    *,
    centred: bool = False,
    early: bool = True,
    half: bool = False,
) -> Tensor:
    """Return rows of x divided by their root mean square, times weight, plus bias, in the dtype of x.

    Args:
        x: [..., width].
        weight, bias: float32 [width].
        epsilon: added to the mean square.
        centred: whether the mean is taken off first (layer norm).
        early: whether the quotient is rounded to the dtype before it is multiplied, as Llama does and Gemma does not.
        half: whether the dtype is bfloat16.
    """
    x = x.contiguous()
    out, width = torch.empty_like(x), x.shape[-1]
    _norm_vectors(x, out, (x.numel() // width, 1), (width, width), weight, bias, epsilon, centred, early)
    return out


def norm_heads(
    x: Tensor, first: int, heads: int, weight: Tensor, epsilon: float, *, early: bool, half: bool
) -> None:
    """Norm ``heads`` vectors of every row of x [rows, features], those from feature ``first`` on, in place."""
    some = x[:, first:]
    _norm_vectors(
        some, some, (len(x), heads), (x.stride(0), len(weight)), weight, None, epsilon, False, early
    )


def _norm_vectors(
    x: Tensor,
    out: Tensor,
    counts: tuple[int, int],
    strides: tuple[int, int],
    weight: Tensor,
    bias: Tensor | None,
    epsilon: float,
    centred: bool,
    early: bool,
) -> None:
    """Norm the vectors at [row, head] of x."""
    launcher = _launcher(weight.shape[0], centred, early)
    launcher((*counts, 1), (x.dtype, bias is None), x, out, weight, bias, *strides, float(epsilon))


@cache
def _launcher(width: int, centred: bool, early: bool) -> Launcher:
    return Launcher(_norm, width=width, CENTRED=centred, EARLY=early, WIDTH=power_of_two(width), num_warps=4)


@triton.jit(
    do_not_specialize=["row_stride", "head_stride", "epsilon"],
    do_not_specialize_on_alignment=["x", "out", "weight", "bias"],
)
def _norm(
    x,
    out,
    weight,
    bias,
    row_stride,
    head_stride,
    epsilon,
    width: tl.constexpr,
    CENTRED: tl.constexpr,
    EARLY: tl.constexpr,
    WIDTH: tl.constexpr,
):
    start = tl.program_id(0).to(tl.int64) * row_stride + tl.program_id(1) * head_stride
    column = tl.arange(0, WIDTH)
    there = column < width
    value = tl.load(x + start + column, mask=there, other=0.0).to(tl.float32)
    if CENTRED:
        value = tl.where(there, value - tl.div_rn(tl.sum(value), width * 1.0), 0.0)
    square = tl.div_rn(tl.sum(value * value), width * 1.0)
    value *= tl.div_rn(1.0, tl.sqrt_rn(square + epsilon))
    if EARLY and not CENTRED:
        value = rounded(value, out).to(tl.float32)
    value *= tl.load(weight + column, mask=there, other=0.0)
    if bias is not None:
        value += tl.load(bias + column, mask=there, other=0.0)
    tl.store(out + start + column, rounded(value, out), mask=there)
