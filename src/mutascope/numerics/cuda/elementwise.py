# pyright: reportMissingImports=false
"""Functions of single elements."""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from mutascope.numerics.cuda.launch import Launcher, ceil_div, is_aligned, rounded

ACTIVATIONS = {"silu": 1, "gelu": 2, "gelu_tanh": 3}
_TANH = 4
_BLOCK = 1024


def activate(x: Tensor, act: str, *, half: bool = False) -> Tensor:
    """Return an activation of every element, in the dtype of x.

    Args:
        x: [..., width], dense in the last axis.
        act: one of :data:`ACTIVATIONS`.
        half: whether the dtype is bfloat16.
    """
    return _apply(x, ACTIVATIONS[act])


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent of every element."""
    return _apply(x, _TANH)


def gated(x: Tensor, act: str | None, residual: Tensor | None = None) -> Tensor:
    """Return act(first half) * second half of rows [n, 2 width], [n, width], plus a residual, in the dtype of x."""
    rows, width = x.shape[0], x.shape[1] // 2
    out = x.new_empty(rows, width)
    launcher = _gate(width, ACTIVATIONS[act] if act else 0)
    launcher((rows, ceil_div(width, _BLOCK), 1), (x.dtype, is_aligned(x)), x, out)
    return out if residual is None else out + residual.view(out.shape)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return floats as the sum of two, each with the 11 bits that tensor cores take: an upper one and a lower one.

    They are dense, as x is. Beyond 2^127 the upper one is rounded towards 0, else to nearest.
    """
    upper, lower, count = torch.empty_like(x), torch.empty_like(x), x.numel()
    _halving((ceil_div(count, _BLOCK), 1, 1), None, x, upper, lower, count)
    return upper, lower


@cache
def _gate(width: int, function: int) -> Launcher:
    return Launcher(_gated, width=width, FUNCTION=function, BLOCK=_BLOCK, num_warps=4)


def _apply(x: Tensor, function: int) -> Tensor:
    width = x.shape[-1]
    rows = x.flatten(0, -2) if x.ndim != 1 else x[None]
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    _each(width, function)((len(rows), ceil_div(width, _BLOCK), 1), x.dtype, rows, out, rows.stride(0))
    return out


@cache
def _each(width: int, function: int) -> Launcher:
    return Launcher(_elements, width=width, FUNCTION=function, BLOCK=_BLOCK, num_warps=4)


@triton.jit
def hyperbolic(x):
    """Return the hyperbolic tangent, computed in double."""
    wide = tl.abs(x.to(tl.float64))
    power = tl.exp(-2.0 * wide)
    size = (1.0 - power) / (1.0 + power)
    return tl.where(x < 0, -size, size).to(tl.float32)


@triton.jit
def _sigmoid(x):
    power = tl.exp(-tl.abs(x))
    return tl.div_rn(tl.where(x < 0, power, 1.0), 1.0 + power)


@triton.jit
def activated(x, FUNCTION: tl.constexpr):
    """Return a function of float32 values; 0 leaves them as they are."""
    if FUNCTION == 1:
        x = x * _sigmoid(x)
    elif FUNCTION == 2:
        x = x * (0.5 + 0.5 * tl.erf(x * 0.7071067811865476))
    elif FUNCTION == 3:
        x = x * _sigmoid(x * (x * x * 0.0713548163 + 1.59576912))
    elif FUNCTION == 4:
        x = hyperbolic(x)
    return x


@triton.jit
def _narrowed(x):
    """Return floats with 11 bits."""
    bits = x.to(tl.int32, bitcast=True)
    bits = tl.where(tl.abs(x) < 1.7014118e38, bits + 4096, bits)
    return (bits & -8192).to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=["count"])
def _halves(x, upper, lower, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < count, other=0.0)
    above = _narrowed(value)
    tl.store(upper + at, above, mask=at < count)
    tl.store(lower + at, _narrowed(value - above), mask=at < count)


_halving = Launcher(_halves, BLOCK=_BLOCK, num_warps=4)


@triton.jit(do_not_specialize=["stride"], do_not_specialize_on_alignment=["x", "out"])
def _elements(x, out, stride, width: tl.constexpr, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = column < width
    value = tl.load(x + row * stride + column, mask=there, other=0.0).to(tl.float32)
    tl.store(out + row * width + column, rounded(activated(value, FUNCTION), out), mask=there)


@triton.jit
def _gated(x, out, width: tl.constexpr, FUNCTION: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there, at = column < width, x + row * 2 * width + column
    gate = tl.load(at, mask=there, other=0.0).to(tl.float32)
    up = tl.load(at + width, mask=there, other=0.0).to(tl.float32)
    gate = rounded(activated(gate, FUNCTION), out).to(tl.float32)
    tl.store(out + row * width + column, rounded(gate * up, out), mask=there)
