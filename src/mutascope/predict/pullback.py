"""Gradients of many targets at once, pulled back through one layer after the other.

Gradients are float32 [targets, positions, features]. A target sees the positions up to its own, and targets are in
ascending order of place, so that a *block* of them needs no position beyond that of its last, nor those of other texts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mutascope.predict.layout import Index, Reach
from mutascope.predict.tape import Layer, Norm, Tape, pull_linear, rotated
from mutascope.predict.targets import Directions

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
        reach: which of them see which positions.
    """

    def __init__(self, tape: Tape, targets: Directions, reach: Reach) -> None:
        self.tape = tape
        self._blocks = list(reach.blocks(_BLOCK))
        norm = tape.norm
        at = targets.places
        final = Norm(norm.x[at], norm.scale[at], norm.weight)
        hidden = norm.x.shape[-1]
        self.grad = torch.zeros(len(targets), tape.positions, hidden, device=norm.x.device)
        self.grad[torch.arange(len(targets), device=at.device), at] = final.pull(targets.seeds.clone())

    def new(self, features: int) -> Tensor:
        """Return zeros for gradients of a map's input, [targets, positions, features]."""
        return self.grad.new_zeros(*self.grad.shape[:2], features)

    def through(self, matrix: Tensor) -> Tensor:
        """Return the gradient at the input of a linear map [outs, ins], ``grad`` being that at its output."""
        pulled = self.new(matrix.shape[1])
        for some, seen in self._blocks:
            pulled[some, seen] = pull_linear(matrix, self.grad[some, seen])
        return pulled

    def past_mlp(self, layer: Layer, inner: Tensor) -> None:
        """Move ``grad`` from behind the MLP to before it.

        Args:
            layer: the wild type there.
            inner: gradient at the input of down.
        """
        on = torch.sigmoid(layer.gate)
        to_up = layer.gate * on
        to_gate = layer.up * on * (1 + layer.gate * (1 - on))
        for some, seen in self._blocks:
            here = inner[some, seen]
            grad = pull_linear(layer.matrices["gate"], here * to_gate[seen])
            grad += pull_linear(layer.matrices["up"], here * to_up[seen])
            self.grad[some, seen] += _cut(layer.second, seen).pull(grad)

    def past_attention(self, layer: Layer, mixed: Tensor, apart: Tensor) -> dict[str, Tensor]:
        """Move ``grad`` from behind attention to before it.

        Args:
            layer: the wild type there.
            mixed: gradient at the input of o, [targets, positions, H w].
            apart: queries that the result leaves out, bool [positions].

        Returns:
            Gradients at the outputs of q, k and v, [targets, positions, features]: those of v through all queries,
            those of q and k through all but those that stand apart, and none where that leaves none.
        """
        kept = {kind: self.new(len(layer.matrices[kind])) for kind in "vqk" if kind == "v" or not apart.all()}
        for some, seen in self._blocks:
            q, k, v = self._heads(layer, mixed[some, seen], seen)
            kept["v"][some, seen] = v
            if len(kept) > 1:
                rest = mixed[some, seen].masked_fill(apart[seen][:, None], 0)
                kept["q"][some, seen], kept["k"][some, seen], _ = self._heads(layer, rest, seen)
            grad = pull_linear(layer.matrices["q"], q)
            grad += pull_linear(layer.matrices["k"], k)
            grad += pull_linear(layer.matrices["v"], v)
            self.grad[some, seen] += _cut(layer.first, seen).pull(grad)
        return kept

    def _heads(self, layer: Layer, mixed: Tensor, seen: Index) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients at the outputs of q, k and v for some targets [targets, positions, features]."""
        tape, shared = self.tape, (self.tape.n_kv_heads, self.tape.n_rep)
        mixed = mixed.unflatten(2, (-1, tape.head_dim)).transpose(1, 2)
        weights, q, k, v = (
            layer.weights[:, seen][:, :, seen],
            layer.q[:, seen],
            layer.k[:, seen],
            layer.v[:, seen],
        )
        to_weights = mixed.unflatten(1, shared) @ v[:, None].transpose(-1, -2)
        to_weights = to_weights.flatten(1, 2)
        scores = weights * (to_weights - (to_weights * weights).sum(-1, keepdim=True)) * layer.scale
        to_q = (scores.unflatten(1, shared) @ k[:, None]).flatten(1, 2).transpose(1, 2)
        to_k = (scores.transpose(-1, -2) @ q).unflatten(1, shared).sum(2).transpose(1, 2)
        to_v = (weights.transpose(-1, -2) @ mixed).unflatten(1, shared).sum(2).transpose(1, 2)
        cos, sin = tape.cos[seen][:, None], tape.sin[seen][:, None]
        to_q, to_k = rotated(to_q, cos, -sin), rotated(to_k, cos, -sin)
        if layer.q_norm is not None and layer.k_norm is not None:
            to_q, to_k = _cut(layer.q_norm, seen).pull(to_q), _cut(layer.k_norm, seen).pull(to_k)
        return to_q.flatten(2), to_k.flatten(2), to_v.flatten(2)


def _cut(norm: Norm, seen: Index) -> Norm:
    """Return a norm at some positions."""
    return Norm(norm.x[seen], norm.scale[seen], norm.weight)
