"""Norms over the last axis."""

from __future__ import annotations

import torch
from torch import Tensor

from mutascope.numerics.cpu.library import address, library


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
    """Return rows of x divided by their root mean square, times weight, plus bias.

    Args:
        x: [..., width].
        weight, bias: [width].
        epsilon: added to the mean square.
        centred: whether the mean is taken off first (layer norm).
        early: whether ``half`` rounds before the weight as well, as Llama does and Gemma does not.
        half: round to bfloat16.
    """
    x = x.contiguous()
    out, width = torch.empty_like(x), x.shape[-1]
    bias = torch.zeros_like(weight) if centred and bias is None else bias
    sizes = (x.numel() // width, 1, width, width, width)
    library().norm(
        address(x), address(weight), address(bias), address(out), *sizes, epsilon, centred, early, half
    )
    return out


def norm_heads(
    x: Tensor, first: int, heads: int, weight: Tensor, epsilon: float, *, early: bool, half: bool
) -> None:
    """Norm ``heads`` vectors of every row of x [rows, features], those from feature ``first`` on, in place."""
    width, at = len(weight), x.data_ptr() + 4 * first
    sizes = (len(x), heads, width, x.shape[1], x.shape[1])
    library().norm(at, address(weight), None, at, *sizes, epsilon, False, early, half)
