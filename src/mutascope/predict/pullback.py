"""Gradients of many targets at once, pulled back through one layer after the other.

Gradients are float32 [targets, positions, features]. A target sees the positions up to its own, and targets are in
ascending order of place, so that a *block* of them needs no position beyond that of its last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mutascope.predict.tape import Layer, Norm, Tape, pull_linear, rotated
from mutascope.predict.targets import Targets

_BLOCK = 32
"""Targets at a time."""


class Pullback:
    """The gradients of all targets, from the output of the last layer downwards.

    Attributes:
        grad: at the residual stream, [targets, positions, hidden]: behind the layer, then between attention and MLP,
            then before the layer.

    Args:
        tape: of the wild type.
        targets: by ascending place.
    """

    def __init__(self, tape: Tape, targets: Targets) -> None:
        self.tape, self.targets = tape, targets
        self._ends = [
            int(targets.places[min(first + _BLOCK, len(targets)) - 1]) + 1
            for first in range(0, len(targets), _BLOCK)
        ]
        norm = tape.norm
        at = targets.places
        final = Norm(norm.x[at], norm.scale[at], norm.weight)
        hidden = norm.x.shape[-1]
        self.grad = torch.zeros(len(targets), tape.positions, hidden, device=norm.x.device)
        self.grad[torch.arange(len(targets), device=at.device), at] = final.pull(targets.seeds.clone())

    def new(self, features: int) -> Tensor:
        """Return zeros for gradients of a map's input, [targets, positions, features]."""
        return self.grad.new_zeros(*self.grad.shape[:2], features)

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Yield targets, and the positions that they see."""
        for index, end in enumerate(self._ends):
            yield slice(index * _BLOCK, min((index + 1) * _BLOCK, len(self.targets))), slice(0, end)

    def through(self, module: Any, features: int) -> Tensor:
        """Return the gradient at the input of a linear map, ``grad`` being that at its output."""
        pulled = self.new(features)
        for some, seen in self.blocks():
            pulled[some, seen] = pull_linear(module, self.grad[some, seen])
        return pulled

    def past_mlp(self, layer: Layer, inner: Tensor) -> None:
        """Move ``grad`` from behind the MLP to before it.

        Args:
            layer: the wild type there.
            inner: gradient at the input of down.
        """
        mlp = layer.block.mlp
        on = torch.sigmoid(layer.gate)
        to_up = layer.gate * on
        to_gate = layer.up * on * (1 + layer.gate * (1 - on))
        for some, seen in self.blocks():
            here = inner[some, seen]
            grad = pull_linear(mlp.gate_proj, here * to_gate[seen])
            grad += pull_linear(mlp.up_proj, here * to_up[seen])
            self.grad[some, seen] += _cut(layer.second, seen).pull(grad)

    def past_attention(self, layer: Layer, mixed: Tensor) -> Tensor:
        """Move ``grad`` from behind attention to before it, and return the gradient at the output of v.

        Args:
            layer: the wild type there.
            mixed: gradient at the input of o, [targets, positions, H w].
        """
        attention = layer.block.self_attn
        values = self.new(layer.v.shape[0] * layer.v.shape[2])
        for some, seen in self.blocks():
            q, k, v = self._heads(layer, mixed[some, seen], seen)
            values[some, seen] = v
            grad = pull_linear(attention.q_proj, q)
            grad += pull_linear(attention.k_proj, k)
            grad += pull_linear(attention.v_proj, v)
            self.grad[some, seen] += _cut(layer.first, seen).pull(grad)
        return values

    def _heads(self, layer: Layer, mixed: Tensor, seen: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients at the outputs of q, k and v for some targets [targets, positions, features]."""
        tape, scaling = self.tape, layer.block.self_attn.scaling
        count, positions = mixed.shape[:2]
        heads, groups, width = len(layer.q), tape.groups, tape.width
        mixed = mixed.view(count, positions, heads, width).transpose(1, 2)
        weights, q, k, v = layer.weights[:, seen, seen], layer.q[:, seen], layer.k[:, seen], layer.v[:, seen]
        shared = (groups, heads // groups)
        to_weights = mixed.unflatten(1, shared) @ v[:, None].transpose(-1, -2)
        to_weights = to_weights.flatten(1, 2)
        scores = weights * (to_weights - (to_weights * weights).sum(-1, keepdim=True)) * scaling
        to_q = (scores.unflatten(1, shared) @ k[:, None]).flatten(1, 2).transpose(1, 2)
        to_k = (scores.transpose(-1, -2) @ q).unflatten(1, shared).sum(2).transpose(1, 2)
        to_v = (weights.transpose(-1, -2) @ mixed).unflatten(1, shared).sum(2).transpose(1, 2)
        cos, sin = tape.cos[seen, None], tape.sin[seen, None]
        to_q, to_k = rotated(to_q, cos, -sin), rotated(to_k, cos, -sin)
        if layer.q_norm is not None and layer.k_norm is not None:
            to_q, to_k = _cut(layer.q_norm, seen).pull(to_q), _cut(layer.k_norm, seen).pull(to_k)
        return to_q.flatten(2), to_k.flatten(2), to_v.flatten(2)


def _cut(norm: Norm, seen: slice) -> Norm:
    """Return a norm at some positions."""
    return Norm(norm.x[seen], norm.scale[seen], norm.weight)
