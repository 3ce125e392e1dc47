# pyright: reportMissingImports=false
"""Launches of Triton kernels, and what all of them share."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
"""Whether kernels run in Triton's interpreter, on the CPU."""
ALIGNED = 16
"""Bytes. Triton compiles a kernel anew for other alignments, which could add up in another order; and a card's copy
engine reads nothing else.
"""

_compiled: dict[tuple[Any, ...], tuple[Any, list[Any]]] = {}
"""Kernels, and their constants, by all that they are compiled for: Triton asks so much at every launch that most take
longer to begin than to run.
"""


def launch(kernel: Any, grid: tuple[int, ...], first: Tensor, *arguments: Any, **options: Any) -> None:
    """Run a kernel on the card of its first argument; additions and products are not fused into one rounding.

    Args:
        kernel: specialized on no number among its arguments.
        grid: of programs.
        first, arguments: its arguments that are not constant, in their order.
        options: its constants, and those of the compiler.
    """
    with torch.cuda.device_of(first):
        if INTERPRETED.value:
            kernel[grid](first, *arguments, enable_fp_fusion=False, **options)
            return
        kinds = tuple([_kind(argument) for argument in (first, *arguments)])
        key = (id(kernel), first.device.index, kinds, *options.values())
        if key not in _compiled:
            constants = [options[name] for name in kernel.arg_names[1 + len(arguments) :]]
            compiled = kernel[grid](first, *arguments, enable_fp_fusion=False, **options)
            _compiled[key] = (compiled, constants)
            return
        compiled, constants = _compiled[key]
        compiled[(*grid, 1, 1)[:3]](first, *arguments, *constants)


def _kind(argument: Any) -> Any:
    """Return what Triton compiles a kernel anew for."""
    if isinstance(argument, TensorDescriptor):
        return argument.base.dtype, *argument.block_shape
    if isinstance(argument, Tensor):
        return argument.dtype, argument.data_ptr() % ALIGNED == 0
    return argument is None, isinstance(argument, int) and abs(argument) >= 2**31


def in_blocks(matrix: Tensor | None, rows: int, columns: int) -> TensorDescriptor | None:
    """Return a matrix, if there is one, as a card's copy engine reads it, in blocks; its rows are dense."""
    return None if matrix is None else TensorDescriptor.from_tensor(matrix, [rows, columns])


def aligned(tensor: Tensor) -> Tensor:
    """Return a tensor's values, dense, at an address that all kernels are compiled for; itself where it is so."""
    dense = tensor.contiguous()
    return dense if dense.data_ptr() % ALIGNED == 0 else dense.clone()


def power_of_two(size: int) -> int:
    """Return the smallest power of two that is no less."""
    return triton.next_power_of_2(size)


@triton.jit
def rounded(x, like):
    """Return float32 values in the dtype that a pointer points to, rounded to nearest, ties to even."""
    if INTERPRETED and like.dtype.element_ty == tl.bfloat16:
        bits = x.to(tl.int32, bitcast=True)  # the interpreter rounds bfloat16 in its own way
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        x = bits.to(tl.float32, bitcast=True)
    return x.to(like.dtype.element_ty)


@triton.jit
def operand(x):
    """Return values as ``tl.dot`` takes them: the interpreter cannot multiply bfloat16, so it gets float32."""
    if INTERPRETED:
        x = x.to(tl.float32)
    return x
