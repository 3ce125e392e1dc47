"""The operations that an engine computes with: those of the device that the weights are on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from mutascope.numerics.cpu import Heads
from mutascope.numerics.sizes import Sizes

BY_DEVICE = {"cpu": "mutascope.numerics.cpu", "cuda": "mutascope.numerics.cuda"}
"""The package of a type of device."""


class Operations(Protocol):
    """What a package of operations offers; :mod:`mutascope.numerics.cpu` describes the functions.

    Attributes:
        SIZES: how much a device is given at a time.
        SYMMETRIC: whether a product has the same bits when its factors are exchanged.
    """

    SIZES: Sizes
    SYMMETRIC: bool

    def name_of(self, dtype: torch.dtype, device: torch.device) -> str | None:
        """Return the name of the numerics of weights, None where there are none."""
        ...

    def free_memory(self, device: torch.device) -> int:
        """Return how many bytes can be had."""
        ...

    def operand(self, tensor: Tensor) -> Tensor:
        """Return a tensor as the operations take activations."""
        ...

    def stack(self, matrices: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Any:
        """Return weights with one input, one below the other."""
        ...

    def pack(self, weight: Tensor, bias: Tensor | None = None) -> Any:
        """Return a weight as :meth:`linear` takes it."""
        ...

    def pack_pair(
        self, gate: Tensor, up: Tensor, biases: tuple[Tensor | None, Tensor | None] = (None, None)
    ) -> Any:
        """Return a gate and what it gates."""
        ...

    def fitting_rows(self, maps: Sequence[Any], most: int) -> int:
        """Return the rows, ``most`` or fewer, for which maps take the least time a row."""
        ...

    def strips(self, table: np.ndarray, counts: Sequence[int], device: torch.device) -> list[Any]:
        """Return the rows of several maps that have weights of their own."""
        ...

    def linear(
        self,
        x: Tensor,
        packed: Any,
        *,
        act: str | None = None,
        residual: Tensor | None = None,
        strips: Any | None = None,
        steps: int = 1,
        half: bool = False,
    ) -> Tensor:
        """Apply a map."""
        ...

    def norm(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        epsilon: float,
        *,
        centred: bool = False,
        early: bool = True,
        half: bool = False,
    ) -> Tensor:
        """Norm the last axis."""
        ...

    def norm_heads(
        self, x: Tensor, first: int, heads: int, weight: Tensor, epsilon: float, *, early: bool, half: bool
    ) -> None:
        """Norm some heads, in place."""
        ...

    def activate(self, x: Tensor, act: str, *, half: bool = False) -> Tensor:
        """Apply an activation."""
        ...

    def tanh(self, x: Tensor) -> Tensor:
        """Return the hyperbolic tangent."""
        ...

    def pick(
        self, logits: Tensor, noise: Tensor | None, steps: Tensor, top_k: int, temperature: float
    ) -> Tensor:
        """Return the tokens that rows pick, or that these are not known; of cards only."""
        ...

    def new_cache(self, *shape: int, positions: int, head_dim: int, like: Tensor) -> Tensor:
        """Return room for keys and values."""
        ...

    def copy_rows(
        self, copies: Iterable[tuple[Tensor, Sequence[int], Sequence[int]]], positions: int
    ) -> None:
        """Copy the first positions of rows of keys and values of several caches, at least one."""
        ...

    def put_rows(self, cache: Tensor, first: int, rows: Sequence[Tensor]) -> None:
        """Write keys and values into rows from the first on."""
        ...

    def attend(
        self,
        qkv: Tensor,
        heads: Heads,
        cache: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        positions: Tensor,
        rows: int,
        *,
        read: bool = True,
        half: bool = False,
    ) -> Tensor | None:
        """Remember keys and values, and return what queries see."""
        ...

    def attend_alone(
        self, q: Tensor, keys: Tensor, values: Tensor, heads: Heads, *, first: int = 0, half: bool = False
    ) -> Tensor:
        """Return what the last tokens of one text see."""
        ...


def operations_on(device: torch.device) -> Operations:
    """Return the operations of a device.

    Raises:
        ImportError: where what they need is not installed.
    """
    return cast(Operations, import_module(BY_DEVICE[device.type]))
