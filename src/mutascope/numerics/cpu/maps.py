"""Linear maps with packed weights, and what follows them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

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
        panels: the packed copy.
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


class Strips:
    """Rows whose mutant writes a tile of the weight: the tile's outputs are computed with weights of their own.

    Args:
        members: row of the batch, first output feature, and the edited weights of the tile's outputs, packed.
    """

    def __init__(self, members: Sequence[tuple[int, int, Packed]]) -> None:
        self.panels = [packed.panels for _, _, packed in members]
        table = [(row, top, packed.outs, packed.panels.data_ptr()) for row, top, packed in members]
        self.table = torch.tensor(table, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.panels)


def strips(groups: Mapping[Hashable, Sequence[tuple[int, int, Packed]]]) -> dict[Hashable, Strips]:
    """Return the :class:`Strips` of the members of every group."""
    return {key: Strips(members) for key, members in groups.items()}


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
    lib = library()
    weight, other = floats(weight), None if other is None else floats(other)
    outs, ins = weight.shape
    step = lib.panel if other is None else lib.panel // 2
    panels = torch.empty(-(-outs // step), ins, lib.panel)
    lib.pack(address(weight), address(other), address(panels), outs, ins)
    first, second = (None if bias is None else floats(bias) for bias in biases)
    return Packed(panels, (first, second), outs, ins, other is not None)


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
    x = x.contiguous()
    out = x.new_empty(*x.shape[:-1], packed.outs)
    rows = out.numel() // packed.outs
    first, second = packed.biases
    library().linear(
        *(
            address(x),
            address(packed.panels),
            address(first),
            address(second),
            address(residual),
            address(out),
        ),
        *(rows, packed.ins, packed.outs, packed.ins),
        *(packed.paired, ACTIVATIONS[act] if act else 0, half),
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
