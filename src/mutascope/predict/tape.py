"""The wild type's forward pass over its own texts, with everything that a pull-back through a layer needs.

Activations are float32 whatever the dtype of the weights; a linear map casts its input to the dtype of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from mutascope.core.errors import Unsupported
from mutascope.core.kinds import CODES
from mutascope.engine.architecture import Architecture
from mutascope.model.families import FamilySpec
from mutascope.numerics.install import Norm as Arguments
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
    def of(cls, norm: Arguments, x: Tensor) -> Norm:
        """Apply a norm of the network."""
        return cls(x, torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.epsilon), norm.weight)

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
    """The wild type in one decoder layer; N positions, H query heads, G key/value heads, w features of a head.

    Attributes:
        matrices: weights by kind, [outs, ins].
        scale: of the scores.
        first, second: norms before attention and before the MLP.
        q_norm, k_norm: norms over a head, [N, heads, w]; None where the architecture has none.
        q, k, v: rotated queries [H, N, w], rotated keys and values [G, N, w].
        seen: which positions a position attends to, bool [N, N].
        weights: attention, [H, N, N].
        mixed: input of o, [N, H w].
        gate, up: outputs of the two maps, [N, intermediate].
        inner: input of down, [N, intermediate].
        out: output of the layer, [N, hidden].
    """

    matrices: Mapping[str, Tensor]
    scale: float
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
        network: of a known family whose layers are like those of Llama: RMS norms before attention and MLP, gated SiLU.
        layout: of prompts and continuations, as they were fed.

    Raises:
        Unsupported: for an architecture that it does not implement.
    """

    def __init__(self, network: PreTrainedModel, layout: Layout) -> None:
        self.parts = parts = Architecture(network, layout.longest)
        if not _is_like_llama(parts.spec, parts.activation):
            raise Unsupported(f"{type(network).__name__} has layers whose gradients are not written out")
        self.layout, self.positions = layout, len(layout)
        n_heads, self.n_kv_heads, self.head_dim = parts.sizes
        self.n_rep = n_heads // self.n_kv_heads
        tables = parts.rotary(0)
        assert tables is not None
        self.cos, self.sin = (table[layout.places()].to(network.device) for table in tables)
        self._seen = {window: layout.seen(window).to(network.device) for window in set(parts.windows)}
        fed = torch.tensor(layout.tokens, device=network.device)
        self._inputs = [parts.embed(fed, layout.places().to(network.device)).float()]
        for index in range(len(parts.blocks)):
            self._inputs.append(self.layer(index).out)
        self.norm = Norm.of(parts.final_norm(), self._inputs.pop())

    def __len__(self) -> int:
        return len(self.parts.blocks)

    def layer(self, index: int) -> Layer:
        """Run one layer on the wild type's hidden states."""
        hidden, parts = self._inputs[index], self.parts
        matrices = {kind: parts.matrix(index, kind) for kind in CODES}

        def linear(kind: str, x: Tensor) -> Tensor:
            matrix = matrices[kind]
            return F.linear(x.to(matrix.dtype), matrix, parts.bias(index, kind)).float()

        before, behind = (parts.norm(index, name) for name in parts.spec.norms)
        first, scale = Norm.of(before, hidden), parts.spec.scales[index]
        q, k, v = (linear(kind, first.y).view(self.positions, -1, self.head_dim) for kind in "qkv")
        q_norm = k_norm = None
        if parts.spec.head_norms:
            q_norm, k_norm = (
                Norm.of(parts.norm(index, name), x)
                for name, x in zip(parts.spec.head_norms, (q, k), strict=True)
            )
            q, k = q_norm.y, k_norm.y
        q, k, v = (x.transpose(0, 1).contiguous() for x in (self.rotate(q), self.rotate(k), v))
        scores = (q.unflatten(0, (-1, self.n_rep)) @ k[:, None].transpose(-1, -2)).flatten(0, 1)
        seen = self._seen[parts.windows[index]]
        weights = (scores * scale).masked_fill_(~seen, -torch.inf).softmax(-1)
        mixed = (weights.unflatten(0, (-1, self.n_rep)) @ v[:, None]).flatten(0, 1).transpose(0, 1).flatten(1)
        hidden = hidden + linear("o", mixed)
        second = Norm.of(behind, hidden)
        gate, up = linear("gate", second.y), linear("up", second.y)
        inner = F.silu(gate) * up
        out = hidden + linear("down", inner)
        return Layer(
            *(matrices, scale, first, second, q_norm, k_norm, q, k, v),
            *(seen, weights, mixed, gate, up, inner, out),
        )

    def rotate(self, x: Tensor) -> Tensor:
        """Apply the rotary embedding to [N, heads, w]."""
        return rotated(x, self.cos[:, None], self.sin[:, None])


def _is_like_llama(spec: FamilySpec, activation: str) -> bool:
    capped = spec.softcap or spec.logit_softcap
    plain = not (spec.parallel or spec.post_norms or spec.rotary_types or spec.embedding_scale or capped)
    return plain and spec.norm == "rms" and spec.gated and spec.rotary is not None and activation == "silu"


def pull_linear(matrix: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient at the input of a linear map [outs, ins], [..., ins], of one at its output."""
    return (grad.to(matrix.dtype) @ matrix).float()


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of features (i, i + r/2) among the first r of [..., w]; with -sin it is undone."""
    turned, rest = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], dim=-1)
    first, second = turned.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1) * sin + turned * cos
    return torch.cat((turned, rest.expand(*turned.shape[:-1], -1)), dim=-1)
