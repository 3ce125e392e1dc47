"""Functions of single elements."""

from __future__ import annotations

import torch
from torch import Tensor

from mutascope.numerics.cpu.library import address, library


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent of every element."""
    x = x.contiguous()
    out = torch.empty_like(x)
    library().hyperbolic(address(x), address(out), x.numel())
    return out


def cos_sin(angles: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of every element."""
    angles = angles.contiguous()
    cos, sin = torch.empty_like(angles), torch.empty_like(angles)
    library().circle(address(angles), address(cos), address(sin), angles.numel())
    return cos, sin


def power(base: float, exponents: Tensor) -> Tensor:
    """Return a base > 1 to the power of every element, float32, 0 or more."""
    exponents = exponents.contiguous()
    out = torch.empty_like(exponents)
    library().power(base, address(exponents), address(out), exponents.numel())
    return out


def log(x: Tensor) -> Tensor:
    """Return the logarithm of every element, float64, > 0."""
    out = torch.empty_like(x)
    library().logarithms(address(x), address(out), x.numel())
    return out


def exp(x: Tensor) -> Tensor:
    """Return the exponential of every element, float64, <= 0."""
    out = torch.empty_like(x)
    library().exponentials(address(x), address(out), x.numel())
    return out


def gumbel(words: Tensor) -> Tensor:
    """Return -log q of draws q ~ Exponential(1), float32, one for every random int64."""
    out = torch.empty(words.shape)
    library().gumbel(address(words), address(out), words.numel())
    return out
