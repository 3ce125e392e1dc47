"""A decoder layer's operations in C (kernels.c), compiled where there is a compiler with OpenMP.

They take float32 on a CPU, and share the threads of torch: the OpenMP runtime must be the one that torch has loaded.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from ctypes import CDLL, c_float, c_int, c_long, c_void_p
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from threadpoolctl import threadpool_info
from torch import Tensor

from mutascope.engine.deltas import Group
from mutascope.engine.operations import Operations
from mutascope.engine.places import Places

_FLAGS = "-O3 -march=native -std=gnu11 -fopenmp -fno-math-errno -fno-trapping-math -shared -fPIC"
_PATIENCE = 60
"""Seconds that a compiler may take; it takes one or two."""
_POSITIONS = 2**15
"""Positions whose attention weights fit on a thread's stack."""


class Kernels(Operations):
    """The functions of a compiled kernels.c.

    Args:
        library: the shared library.
    """

    def __init__(self, library: CDLL) -> None:
        self._pack = _function(library, "pack", 2 * [c_void_p] + 2 * [c_long])
        self._product = _function(library, "product", 4 * [c_void_p] + 3 * [c_long])
        self._attend = _function(library, "attend", 5 * [c_void_p] + 8 * [c_long] + [c_float])
        self._rotate = _function(library, "rotate", 3 * [c_void_p] + 5 * [c_long])
        self._place = _function(library, "place", 7 * [c_void_p] + 7 * [c_long])
        self._mutate = _function(library, "mutate", 4 * [c_void_p] + 6 * [c_long])
        self._norm = _function(library, "norm", 3 * [c_void_p] + 2 * [c_long] + [c_float])
        self._gate = _function(library, "gate", 2 * [c_void_p] + [c_long])
        self._panel: int = library.panel_width()
        self._lanes = self._panel // 2

    def pack(self, weight: Tensor) -> Tensor:
        """Return a copy of a weight [outs, ins] in the order in which :meth:`product` reads it."""
        outs, ins = weight.shape
        weight = weight.contiguous()
        panels = weight.new_empty(-(-outs // self._panel), ins, self._panel)
        self._pack(weight.data_ptr(), panels.data_ptr(), outs, ins)
        return panels

    def product(self, x: Tensor, panels: Tensor, bias: Tensor | None, outs: int) -> Tensor:
        """Return the linear map of a packed weight.

        Args:
            x: [..., ins].
            panels: what :meth:`pack` returned.
            bias: [outs], if any.
            outs: rows of the weight.

        Returns:
            [..., outs].
        """
        x = x.contiguous()
        out = x.new_empty(*x.shape[:-1], outs)
        added = None if bias is None else bias.data_ptr()
        at = (x.data_ptr(), panels.data_ptr(), added, out.data_ptr())
        self._product(*at, x.numel() // x.shape[-1], x.shape[-1], outs)
        return out

    def norm(self, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        x = x.contiguous()
        out = torch.empty_like(x)
        width = x.shape[-1]
        self._norm(x.data_ptr(), weight.data_ptr(), out.data_ptr(), x.numel() // width, width, epsilon)
        return out

    def gate(self, gate: Tensor, up: Tensor) -> Tensor:
        self._gate(gate.data_ptr(), up.data_ptr(), gate.numel())
        return gate

    def mutate(self, group: Group, x: Tensor, out: Tensor) -> Tensor:
        members, wide, high = group.change.shape
        at = (x.data_ptr(), group.change.data_ptr(), out.data_ptr(), group.at.data_ptr())
        self._mutate(*at, members, x.shape[1], x.shape[2], out.shape[2], wide, high)
        return out

    def rotate(self, x: Tensor, places: Places) -> Tensor:
        self._rotate(x.data_ptr(), places.cos.data_ptr(), places.sin.data_ptr(), places.stride, *x.shape)
        return x

    def place(self, keys: Tensor, values: Tensor, cache: Tensor, places: Places) -> None:
        to_keys, to_values = cache
        tensors = (keys, values, to_keys, to_values, places.cos, places.sin, places.positions)
        at = (tensor.data_ptr() for tensor in tensors)
        self._place(*at, places.stride, *keys.shape, to_keys.stride(0), to_keys.stride(1))

    def attend(self, q: Tensor, cache: Tensor, places: Places, window: int, scale: float) -> Tensor:
        rows, steps, heads, width = q.shape
        # torch's fused kernel is the faster one from a few tokens per row on
        if steps > 1 or places.stop > _POSITIONS or width % self._lanes:
            return super().attend(q, cache, places, window, scale)
        out = torch.empty_like(q)
        keys, values = cache
        at = (q.data_ptr(), keys.data_ptr(), values.data_ptr(), out.data_ptr(), places.positions.data_ptr())
        sizes = (rows, heads, width, keys.shape[1])
        self._attend(*at, places.stride, *sizes, keys.stride(0), keys.stride(1), window, scale)
        return out.view(rows, 1, -1)


@cache
def kernels() -> Kernels | None:
    """Return the kernels, compiled for this processor; None where ``$CC``, or ``cc``, does not compile them.

    Nor are there any where the compiler brings an OpenMP other than torch's: the threads of both would wait for work on
    the same cores.
    """
    source = resources.files("mutascope.engine") / "kernels.c"
    try:
        command = shlex.split(os.environ.get("CC") or "cc") + shlex.split(_FLAGS)
        with TemporaryDirectory() as folder, resources.as_file(source) as path:
            library = Path(folder) / "kernels.so"
            command += [str(path), "-o", str(library), "-lm"]
            subprocess.run(command, check=True, capture_output=True, timeout=_PATIENCE)
            before = _runtimes()
            compiled = Kernels(CDLL(str(library)))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return compiled if _runtimes() == before else None


def _runtimes() -> set[str]:
    """Return the OpenMP runtimes that are loaded."""
    return {each["filepath"] for each in threadpool_info() if each["user_api"] == "openmp"}


def _function(library: CDLL, name: str, arguments: list[type]) -> Callable[..., None]:
    """Return a function of the library that is given torch's number of threads as its last argument."""
    function = getattr(library, name)
    function.argtypes, function.restype = [*arguments, c_int], None
    return lambda *values: function(*values, torch.get_num_threads())
