"""The compiled kernels, and the threads that they have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CDLL, c_double, c_float, c_int, c_long, c_void_p
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mutascope.core.cores import available_cores
from mutascope.numerics.build import find_library

SUMS = 16
"""Partial sums of what is added up along a row; caches of keys and values are padded to multiples of it."""

_P, _L, _F, _I = c_void_p, c_long, c_float, c_int

_threads: list[int] = []
"""Number of threads within :func:`threads_for_kernels`."""


@cache
def library() -> _Library:
    """Return the kernels, which are compiled if need be.

    Raises:
        MutascopeError: where that fails.
    """
    return _Library(CDLL(str(find_library())))


class _Library:
    """The functions of kernels.c."""

    def __init__(self, compiled: CDLL) -> None:
        self.pack = _function(compiled, "pack", 3 * [_P] + 2 * [_L])
        self.pack_words = _function(compiled, "pack_words", 3 * [_P] + 2 * [_L])
        self.linear = _function(compiled, "linear", 7 * [_P] + 4 * [_L] + 4 * [_I] + [_P] + 2 * [_L])
        self.norm = _function(compiled, "norm", 4 * [_P] + 5 * [_L] + [_F] + 3 * [_I])
        self.activate = _function(compiled, "activate", 2 * [_P] + [_L] + 2 * [_I])
        self.attend = _function(compiled, "attend", 9 * [_P] + 11 * [_L] + 2 * [_F] + 2 * [_I])
        self.sample = _function(compiled, "sample", 7 * [_P] + 4 * [_L] + 2 * [_F] + [c_double])
        self.sample_rough = _function(
            compiled, "sample_rough", 10 * [_P] + 7 * [_L] + 4 * [_F] + [c_double] + [_I]
        )
        self.shortlist = _alone(compiled, "shortlist", 7 * [_P] + 6 * [_L] + 2 * [_F])
        self.weigh_logits = _function(compiled, "weigh_logits", 2 * [_P] + [_F] + 3 * [_P] + 2 * [_L])
        self.hyperbolic = _alone(compiled, "hyperbolic", 2 * [_P] + [_L])
        self.circle = _alone(compiled, "circle", 3 * [_P] + [_L])
        self.power = _alone(compiled, "power", [c_double] + 2 * [_P] + [_L])
        self.gumbel = _alone(compiled, "gumbel", 2 * [_P] + [_L])
        self.logarithms = _alone(compiled, "logarithms", 2 * [_P] + [_L])
        self.exponentials = _alone(compiled, "exponentials", 2 * [_P] + [_L])
        self.panel: int = compiled.panel_width()
        self.multiplies_words: bool = bool(compiled.multiplies_words())


@contextmanager
def threads_for_kernels() -> Iterator[None]:
    """Leave torch one thread and the kernels all of them: on a busy core torch waits for each of its own threads."""
    threads = torch.get_num_threads()
    _threads.append(_threads[-1] if _threads else min(threads, available_cores()))
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _threads.pop()
        torch.set_num_threads(threads)


def _function(compiled: CDLL, name: str, arguments: list[Any]) -> Callable[..., None]:
    """Return a function that is given the number of threads as its last argument."""
    function = _alone(compiled, name, [*arguments, _I])
    return lambda *values: function(*values, _threads[-1] if _threads else torch.get_num_threads())


def _alone(compiled: CDLL, name: str, arguments: list[Any]) -> Callable[..., None]:
    function = getattr(compiled, name)
    function.argtypes, function.restype = arguments, None
    return function


def address(tensor: Tensor | None) -> int | None:
    """Return where a tensor's first element lies, None of None."""
    return None if tensor is None else tensor.data_ptr()


def floats(tensor: Tensor) -> Tensor:
    """Return a tensor's values as dense float32; itself where it is that already."""
    tensor = tensor.detach()
    if tensor.dtype == torch.float32 and tensor.is_contiguous():
        return tensor
    return tensor.to(torch.float32).contiguous()
