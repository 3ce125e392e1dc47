"""The wild type's forward pass over its own texts, with everything that a pull-back through a layer needs.

Activations are float32 whatever the dtype of the weights; a linear map casts its input to the dtype of its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from mutascope.engine.architecture import Architecture
from mutascope.predict.layout import Layout


@dataclass(frozen=True)
class Norm:
    """An RMS norm over the last axis, y = weight * x * scale.

    Attributes:
        x: input [..., features].
        scale: reciprocal root mean square, [..., 1].
        weight: [features].
    """

    x: Tensor
    scale: Tensor
    weight: Tensor

    @classmethod
    def of(cls, module: Any, x: Tensor) -> Norm:
        """Apply a norm module."""
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + module.variance_epsilon)
        return cls(x, scale, module.weight.float())

    @property
    def y(self) -> Tensor:
        """Output."""
        return self.weight * self.x * self.scale

    def pull(self, grad: Tensor) -> Tensor:
        """Return the gradient at the input of one at the output, [targets, ..., features]."""
        grad = grad * (self.weight * self.scale)
        along = (grad * self.x).mean(-1, keepdim=True) * self.scale.square()
        return grad.addcmul_(self.x, along, value=-1)


@dataclass(frozen=True)
class Layer:
    """The wild type in one decoder layer; N positions, H query heads, G key/value heads of width w.

    Attributes:
        block: the module.
        first, second: norms before attention and before the MLP.
        q_norm, k_norm: norms over the head width, [N, heads, w]; None where the architecture has none.
        q, k, v: rotated queries [H, N, w], rotated keys and values [G, N, w].
        seen: which positions a position attends to, bool [N, N].
        weights: attention, [H, N, N].
        mixed: input of o, [N, H w].
        gate, up: outputs of the two maps, [N, intermediate].
        inner: input of down, [N, intermediate].
        out: output of the layer, [N, hidden].
    """

    block: Any
    first: Norm
    second: Norm
    q_norm: Norm | None
    k_norm: Norm | None
    q: Tensor
    k: Tensor
    v: Tensor
    seen: Tensor
    weights: Tensor
    mixed: Tensor
    gate: Tensor
    up: Tensor
    inner: Tensor
    out: Tensor


class Tape:
    """The wild type's forward pass over its texts.

    Args:
        network: of a family in :data:`mutascope.engine.architecture.FAMILIES`.
        layout: of prompts and continuations, as they were fed.

    Raises:
        Unsupported: for an architecture that it does not implement.
    """

    def __init__(self, network: PreTrainedModel, layout: Layout) -> None:
        self.parts = parts = Architecture(network, layout.longest)
        self.layout, self.positions = layout, len(layout)
        self.width, self.groups, self.queries = parts.head_dim, parts.kv_heads, parts.heads // parts.kv_heads
        self.cos, self.sin = (table[layout.places()].to(network.device) for table in parts.rotary())
        fed = torch.tensor(layout.tokens, device=network.device)
        self._inputs = [parts.body.embed_tokens(fed).float()]
        for index in range(len(parts.blocks)):
            self._inputs.append(self.layer(index).out)
        self.norm = Norm.of(parts.body.norm, self._inputs.pop())

    def __len__(self) -> int:
        return len(self.parts.blocks)

    def layer(self, index: int) -> Layer:
        """Run one layer on the wild type's hidden states."""
        hidden, block = self._inputs[index], self.parts.blocks[index]
        first = Norm.of(block.input_layernorm, hidden)
        attention, x = block.self_attn, first.y
        q, k, v = (
            linear(module, x).view(self.positions, -1, self.width)
            for module in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        q_norm = k_norm = None
        if hasattr(attention, "q_norm"):
            q_norm, k_norm = Norm.of(attention.q_norm, q), Norm.of(attention.k_norm, k)
            q, k = q_norm.y, k_norm.y
        q, k, v = (x.transpose(0, 1).contiguous() for x in (self.rotate(q), self.rotate(k), v))
        scores = (q.view(self.groups, -1, self.width) @ k.transpose(1, 2)).view(
            -1, self.positions, self.positions
        )
        seen = self.layout.seen(self.parts.windows[index]).to(hidden.device)
        weights = (scores * attention.scaling).masked_fill_(~seen, -torch.inf).softmax(-1)
        mixed = weights.view(self.groups, -1, self.positions) @ v
        mixed = mixed.view(-1, self.positions, self.width).transpose(0, 1).reshape(self.positions, -1)
        hidden = hidden + linear(attention.o_proj, mixed)
        second = Norm.of(block.post_attention_layernorm, hidden)
        x = second.y
        gate, up = linear(block.mlp.gate_proj, x), linear(block.mlp.up_proj, x)
        inner = F.silu(gate) * up
        out = hidden + linear(block.mlp.down_proj, inner)
        return Layer(
            block, first, second, q_norm, k_norm, q, k, v, seen, weights, mixed, gate, up, inner, out
        )

    def rotate(self, x: Tensor) -> Tensor:
        """Apply the rotary embedding to [N, heads, w]."""
        return rotated(x, self.cos[:, None], self.sin[:, None])


def linear(module: Any, x: Tensor) -> Tensor:
    """Apply a linear module to float32 activations."""
    return F.linear(x.to(module.weight.dtype), module.weight, module.bias).float()


def pull_linear(module: Any, grad: Tensor) -> Tensor:
    """Return the gradient at the input of a linear module, [..., input features], of one at its output."""
    return (grad.to(module.weight.dtype) @ module.weight).float()


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of features (i, i + w/2) of [..., w]; with -sin it is undone."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1) * sin + x * cos
