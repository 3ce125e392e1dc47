# pyright: reportMissingImports=false
"""Launches of Triton kernels, and what all of them share."""

from __future__ import annotations

from collections.abc import Hashable
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


class Launcher:
    """A kernel with its constants. It remembers what was compiled: Triton asks so much at every launch that most take
    longer to begin than to run.

    Args:
        kernel: specialized on no number among its arguments.
        options: its constants, and those of the compiler.
    """

    def __init__(self, kernel: Any, **options: Any) -> None:
        self.kernel, self.options = kernel, options
        self._compiled: dict[Hashable, tuple[Any, list[Any]]] = {}

    def __call__(self, grid: tuple[int, ...], kinds: Hashable, first: Tensor, *arguments: Any) -> None:
        """Run the kernel on the card of its first argument; additions and products are not fused into one rounding.

        Args:
            grid: of programs, in three dimensions.
            kinds: of the arguments: all that may differ between calls and that Triton compiles the kernel anew for
                (dtypes, alignments, which are None), but for the card.
            first, arguments: those that are not constant, in their order: tensors, matrices in blocks, numbers, None.
        """
        with torch.cuda.device_of(first):
            key = first.get_device(), kinds
            known = self._compiled.get(key)
            if known is not None:
                compiled, constants = known
                compiled[grid](first, *arguments, *constants)
                return
            compiled = self.kernel[grid](first, *arguments, enable_fp_fusion=False, **self.options)
            if not INTERPRETED.value:
                names = self.kernel.arg_names[1 + len(arguments) :]
                self._compiled[key] = compiled, [self.options[name] for name in names]


def is_aligned(tensor: Tensor) -> bool:
    """Whether a tensor begins at an address that Triton knows more of."""
    return tensor.data_ptr() % ALIGNED == 0


def ceil_div(size: int, step: int) -> int:
    """Return how many steps a size takes: ``triton.cdiv``, which a kernel may call too, takes longer."""
    return -(-size // step)


def in_blocks(matrix: Tensor, rows: int, columns: int) -> TensorDescriptor:
    """Return a matrix as a card's copy engine reads it, in blocks; its rows are dense."""
    return TensorDescriptor.from_tensor(matrix, [rows, columns])


def aligned(tensor: Tensor) -> Tensor:
    """Return a tensor's values, dense, at an address that all kernels are compiled for; itself where it is so."""
    dense = tensor.contiguous()
    return dense if is_aligned(dense) else dense.clone()


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
