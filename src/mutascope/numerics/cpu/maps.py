"""Linear maps with packed weights, and what follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mutascope.numerics.cpu.library import address, floats, library

ACTIVATIONS = {"silu": 1, "gelu": 2, "gelu_tanh": 3}
ACTIVATION_NAMES = {
    **{"silu": "silu", "swish": "silu", "gelu": "gelu"},
    **{"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"},
}
"""The activations that :func:`linear` applies, by their names in a network's config."""


@dataclass(frozen=True)
class Packed:
    """A weight, or a gate and the weight that it gates, in the order in which :func:`linear` reads it.

    Attributes:
        panels: the packed copy, float32; weights in bfloat16 stay so, two of them in an int32.
        biases: of the weight, or of both; None where there is none.
        outs: output features.
        ins: input features.
        paired: whether there are two weights; the result is then act(x @ first) * (x @ second).
    """

    panels: Tensor
    biases: tuple[Tensor | None, Tensor | None]
    outs: int
    ins: int
    paired: bool = False

    @property
    def in_words(self) -> bool:
        """Whether the weights are in bfloat16."""
        return self.panels.dtype == torch.int32

    def entries(self, top: int) -> list[tuple[int, int, int, int]]:
        """Return what a table of :class:`Strips` says of a tile whose outputs have these weights, behind its row: the
        first output feature, their number, whether they are in words, and the address of the panels.
        """
        return [(top, self.outs, self.in_words, self.panels.data_ptr())]


@dataclass(frozen=True)
class Strips:
    """Rows whose mutant writes a tile of the weight: the tile's outputs are computed with weights of their own.

    Attributes:
        table: int64 [strips, 5]: row of the batch, and :meth:`Packed.entries`.
    """

    table: Tensor

    def __len__(self) -> int:
        return len(self.table)


def fitting_rows(maps: Sequence[Packed], most: int) -> int:
    """Return how many rows maps take at a time: all of them."""
    return most


def strips(table: np.ndarray, counts: Sequence[int], device: torch.device | None = None) -> list[Strips]:
    """Return the strips of several maps. The weights must outlive them.

    Args:
        table: int64 [strips, 5], those of a map behind those of the one before.
        counts: strips of every map, one at least.
        device: of the weights; there is but one.
    """
    return [Strips(some) for some in torch.from_numpy(table).split(list(counts))]


def stack(matrices: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Packed:
    """Pack weights [outs, ins] of one input, one below the other, with their biases [outs]; a missing one is 0."""
    if len(matrices) == 1:
        return pack(matrices[0], biases[0])
    if all(bias is None for bias in biases):
        return pack(torch.cat(list(matrices)))
    filled = [
        matrix.new_zeros(len(matrix)) if bias is None else bias
        for matrix, bias in zip(matrices, biases, strict=True)
    ]
    return pack(torch.cat(list(matrices)), torch.cat(filled))


def pack(weight: Tensor, bias: Tensor | None = None) -> Packed:
    """Pack a weight [outs, ins] with its bias [outs]."""
    return _pack(weight, None, (bias, None))


def pack_pair(gate: Tensor, up: Tensor, biases: tuple[Tensor | None, Tensor | None] = (None, None)) -> Packed:
    """Pack a gate and what it gates, both [outs, ins], with their biases [outs], both or none."""
    return _pack(gate, up, biases)


def _pack(weight: Tensor, other: Tensor | None, biases: tuple[Tensor | None, Tensor | None]) -> Packed:
    lib, (outs, ins) = library(), weight.shape
    step = lib.panel if other is None else lib.panel // 2
    count = -(-outs // step)
    if weight.dtype == torch.bfloat16 and (other is None or other.dtype == torch.bfloat16):
        weight, other = weight.contiguous(), None if other is None else other.contiguous()
        panels = torch.empty(count, _words(ins), lib.panel, dtype=torch.int32)
        lib.pack_words(address(weight), address(other), address(panels), outs, ins)
    else:
        weight, other = floats(weight), None if other is None else floats(other)
        panels = torch.empty(count, ins, lib.panel)
        lib.pack(address(weight), address(other), address(panels), outs, ins)
    first, second = (None if bias is None else floats(bias) for bias in biases)
    return Packed(panels, (first, second), outs, ins, other is not None)


def _words(ins: int) -> int:
    """Return the words of a panel or row: one for every two inputs, and one that says how they may be multiplied."""
    return -(-ins // 2) + 1


def linear(
    x: Tensor,
    packed: Packed,
    *,
    act: str | None = None,
    residual: Tensor | None = None,
    strips: Strips | None = None,
    steps: int = 1,
    half: bool = False,
) -> Tensor:
    """Return act(x W^T + bias) + residual, or act(x G^T) * (x U^T) of a pair.

    Args:
        x: [..., ins], dense in the last axis.
        packed: W, or G and U.
        act: name of an activation (:data:`ACTIVATIONS`).
        residual: [..., outs], dense.
        strips: rows with weights of their own.
        steps: consecutive vectors of x that are one row of ``strips``.
        half: round to bfloat16.

    Returns:
        [..., outs].
    """
    x, lib = x.contiguous(), library()
    out = x.new_empty(*x.shape[:-1], packed.outs)
    rows = out.numel() // packed.outs
    first, second = packed.biases
    room = None
    if packed.in_words and lib.multiplies_words:
        room = torch.empty(rows, _words(packed.ins), dtype=torch.int32)
    lib.linear(
        *(
            address(x),
            address(packed.panels),
            address(first),
            address(second),
            address(residual),
            address(out),
            address(room),
        ),
        *(rows, packed.ins, packed.outs, packed.ins),
        *(packed.in_words, packed.paired, ACTIVATIONS[act] if act else 0, half),
        *((address(strips.table), len(strips)) if strips else (None, 0)),
        steps,
    )
    return out


def activate(x: Tensor, act: str, *, half: bool = False) -> Tensor:
    """Return an activation of every element."""
    x = x.contiguous()
    out = torch.empty_like(x)
    library().activate(address(x), address(out), x.numel(), ACTIVATIONS[act], half)
    return out
