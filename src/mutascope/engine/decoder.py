"""The forward pass of the known families, over rows that each carry one mutation.

The weights are the network's own, packed once; a mutated row has weights of its own for the outputs of its tile
(mutascope.engine.edits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from mutascope.core.errors import Unsupported
from mutascope.engine.architecture import Architecture, Rotary
from mutascope.numerics.cpu import SUMS, Heads
from mutascope.numerics.install import Norm, numerics_of, refusal

if TYPE_CHECKING:
    from mutascope.engine.edits import Edits

MAPS = {"q": "qkv", "k": "qkv", "v": "qkv", "o": "o", "gate": "up", "up": "up", "down": "down"}
"""The decoder's map that computes a kind of locus; ``up`` is a pair where there is a gate."""


@dataclass(frozen=True)
class Layer:
    """What a decoder layer does: packed maps, norms (those behind maps may be missing), attention."""

    first: Norm
    second: Norm
    post: tuple[Norm | None, Norm | None]
    head_norms: tuple[Norm, Norm] | None
    qkv: Any
    o: Any
    up: Any
    down: Any
    attention: Heads
    rotary: Rotary | None


@dataclass(frozen=True)
class Places:
    """Where the tokens of a pass stand: int64 [rows, steps], or [1, steps] where all rows are fed the same; and one
    above the last of them.
    """

    positions: Tensor
    stop: int


class Decoder:
    """Runs the layers of a network on batches of rows; ``flop`` counts the arithmetic of floats done.

    Activations of a network in bfloat16 are rounded to it; but for keys and values, they are kept in float32 on a CPU,
    in bfloat16 on a card.

    Args:
        network: of a known family (:mod:`mutascope.model.families`).
        positions: that a text has at most.

    Raises:
        Unsupported: for an architecture, dtype or device that it does not implement.
    """

    def __init__(self, network: PreTrainedModel, positions: int) -> None:
        self.architecture = parts = Architecture(network, positions)
        if reason := refusal(network):
            raise Unsupported(reason)
        numerics = numerics_of(network)
        self.operations = numerics.operations
        self.half, self._dtype = numerics.half, network.dtype
        self.hidden_size = parts.head.shape[1]
        self.layers = [self._layer(index) for index in range(len(parts.blocks))]
        self.norm = parts.final_norm()
        self.head = self.operations.operand(parts.head)
        self.linear_head = parts.spec.logit_softcap is None and parts.head_module.bias is None
        self._head_map = numerics.packed(parts.head_module)
        self._all = torch.arange(positions, device=self.head.device)
        matrices = (p.numel() for p in parts.blocks[0].parameters() if p.ndim == 2)
        self._flop_per_token = 2 * sum(matrices)
        self.flop = 0

    def _layer(self, index: int) -> Layer:
        parts, spec, sizes = self.architecture, self.architecture.spec, self.architecture.sizes
        first, second = (parts.norm(index, name) for name in spec.norms)
        after = [parts.norm(index, name) for name in spec.post_norms or ()]
        of_heads = [parts.norm(index, name) for name in spec.head_norms or ()]
        return Layer(
            first=first,
            second=second,
            post=(after[0], after[1]) if after else (None, None),
            head_norms=(of_heads[0], of_heads[1]) if of_heads else None,
            qkv=parts.packed(index, "q", "k", "v"),
            o=parts.packed(index, "o"),
            up=parts.packed_pair(index) if spec.gated else parts.packed(index, "up"),
            down=parts.packed(index, "down"),
            attention=Heads(*sizes, spec.scales[index], parts.windows[index], spec.softcap or 0.0),
            rotary=parts.rotary(index),
        )

    def offset(self, kind: str) -> int:
        """Return the first output feature of a kind in its map."""
        n_heads, n_kv_heads, head_dim = self.architecture.sizes
        return head_dim * {"k": n_heads, "v": n_heads + n_kv_heads}.get(kind, 0)

    # rows of keys and values

    def new_cache(self, rows: int, positions: int) -> Tensor:
        """Return room for keys and values, [layers, 2, rows, n_kv_heads, positions, head_dim], the last two
        rounded up.
        """
        _, n_kv_heads, head_dim = self.architecture.sizes
        shape, like = (len(self.layers), 2, rows, n_kv_heads), self.architecture.head
        return self.operations.new_cache(*shape, positions=positions, head_dim=head_dim, like=like)

    def new_layer_cache(self, rows: int, positions: int) -> Tensor:
        """Return room for keys and values of one layer, [2, rows, n_kv_heads, positions, head_dim]."""
        _, n_kv_heads, head_dim = self.architecture.sizes
        shape, like = (2, rows, n_kv_heads), self.architecture.head
        return self.operations.new_cache(*shape, positions=positions, head_dim=head_dim, like=like)

    def affordable_rows(self, positions: int, most: int, share: float) -> int:
        """Return how many rows of keys and values fit into a share of the free memory, between 1 and ``most``."""
        free, row = self.operations.free_memory(self.head.device), self.new_cache(1, positions).nbytes
        return max(1, min(most, int(free * share) // row))

    def batch(self, most: int) -> int:
        """Return the rows, ``most`` or fewer, that decoding is best done with."""
        layer = self.layers[0]
        return self.operations.fitting_rows([layer.qkv, layer.o, layer.up, layer.down], most)

    def indices(self, numbers: Sequence[Any] | np.ndarray) -> Tensor:
        """Return whole numbers as a tensor beside the weights."""
        return torch.as_tensor(numbers, dtype=torch.int64).to(self.head.device)

    def places(self, start: int, stop: int) -> Places:
        """Return the places of a pass in which every row is fed positions ``start`` to ``stop``."""
        return Places(self._all[None, start:stop], stop)

    def strips(self, table: np.ndarray, counts: Sequence[int]) -> list[Any]:
        """Return the rows of several maps that have weights of their own (mutascope.engine.edits)."""
        return self.operations.strips(table, counts, self.head.device)

    # the pass

    def embed(self, tokens: Tensor, places: Places) -> Tensor:
        """Return the embeddings of token ids [rows, steps] at their places, [rows, steps, hidden]."""
        return self.architecture.embed(tokens, places.positions)

    def final(self, hidden: Tensor) -> Tensor:
        """Return what the output head sees of the last layer's hidden states, [..., hidden]."""
        return self._norm(self.norm, hidden)

    def logits(self, final: Tensor) -> Tensor:
        """Return the logits of final states [n, hidden], float32 [n, vocabulary]."""
        self.flop += 2 * len(final) * self.head.numel()
        logits = self.operations.linear(final, self._head_map, half=self.half)
        cap = self.architecture.spec.logit_softcap
        if cap is None:
            return logits.float()
        shares = (logits.to(self._dtype) / cap).float()
        return (self.operations.tanh(shares).to(self._dtype) * cap).float()

    def some_logits(self, final: Tensor, rows: Tensor) -> Tensor:
        """Return the logits of some rows of a linear head [m, hidden] for final states [n, hidden], as [n, m].

        The states are packed, and the rows are fed: a product has the same bits either way round.
        """
        self.flop += 2 * final.numel() * len(rows)
        ops = self.operations
        return ops.linear(rows, ops.pack(final), half=self.half).T.contiguous()

    def layer(self, index: int, hidden: Tensor, edits: Edits, cache: Tensor, places: Places) -> Tensor:
        """Run one decoder layer.

        Args:
            index: of the layer.
            hidden: [rows, steps, hidden], dense.
            edits: of the rows.
            cache: keys and values of this layer, [2, rows or more, n_kv_heads, positions, head_dim]; those of
                ``places`` are written.
            places: where the tokens stand.

        Returns:
            The new hidden states, [rows, steps, hidden].
        """
        layer, (rows, steps, _) = self.layers[index], hidden.shape
        self.flop += rows * steps * (self._flop_per_token + 4 * places.stop * layer.o.ins)
        mixed = self._attend(index, hidden, edits, cache, places, read=True)
        assert mixed is not None
        mixed = mixed.view(rows, steps, layer.o.ins)
        if self.architecture.spec.parallel:
            attended = self._map(index, "o", mixed, edits)
            return self._add(self._mlp(index, hidden, edits, attended), hidden)
        hidden = self._joined(index, "o", mixed, edits, hidden, layer.post[0])
        return self._mlp(index, hidden, edits, hidden)

    def _mlp(self, index: int, hidden: Tensor, edits: Edits, residual: Tensor) -> Tensor:
        """Return a residual with what the MLP makes of hidden states added to it."""
        layer = self.layers[index]
        x = self._norm(layer.second, hidden)
        inner = self._map(index, "up", x, edits, act=self.architecture.activation)
        return self._joined(index, "down", inner, edits, residual, layer.post[1])

    def _joined(
        self, index: int, name: str, x: Tensor, edits: Edits, residual: Tensor, norm: Norm | None
    ) -> Tensor:
        """Return a residual with a map of x, behind its norm if it has one, added to it."""
        if norm is None:
            return self._map(index, name, x, edits, residual=residual)
        return self._add(residual, self._norm(norm, self._map(index, name, x, edits)))

    def _map(
        self,
        index: int,
        name: str,
        x: Tensor,
        edits: Edits,
        *,
        act: str | None = None,
        residual: Tensor | None = None,
    ) -> Tensor:
        """Apply a map to x, [rows, steps, ins]; rows that are mutated there have weights of their own."""
        packed = getattr(self.layers[index], name)
        strips = edits.of(index, name)
        return self.operations.linear(
            x, packed, act=act, residual=residual, strips=strips, steps=x.shape[1], half=self.half
        )

    def _add(self, one: Tensor, other: Tensor) -> Tensor:
        """Return a sum of what the kernels do not add."""
        total = one + other
        return total.to(self._dtype).to(total.dtype)

    def remember(self, index: int, hidden: Tensor, edits: Edits, cache: Tensor, places: Places) -> None:
        """Write the keys and values of a layer into its cache, for tokens from which nothing is read in this layer.

        The arguments are those of :meth:`layer`.
        """
        qkv = self.layers[index].qkv
        self.flop += 2 * hidden.shape[0] * hidden.shape[1] * qkv.outs * qkv.ins
        self._attend(index, hidden, edits, cache, places, read=False)

    def _attend(
        self, index: int, hidden: Tensor, edits: Edits, cache: Tensor, places: Places, *, read: bool
    ) -> Tensor | None:
        layer, rows = self.layers[index], len(hidden)
        x = self._norm(layer.first, hidden)
        qkv = self._map(index, "qkv", x, edits).flatten(0, 1)
        if layer.head_norms:
            counts = (layer.attention.n_heads, layer.attention.n_kv_heads)
            for norm, kind, heads in zip(layer.head_norms, "qk", counts, strict=True):
                first = self.offset(kind)
                early = {"early": norm.early, "half": self.half}
                self.operations.norm_heads(qkv, first, heads, norm.weight, norm.epsilon, **early)
        return self.operations.attend(
            qkv, layer.attention, cache, layer.rotary, places.positions, rows, read=read, half=self.half
        )

    def _norm(self, norm: Norm, x: Tensor) -> Tensor:
        same = {"centred": norm.centred, "early": norm.early, "half": self.half}
        return self.operations.norm(x, *norm[:3], **same)


def whole_blocks(positions: int) -> int:
    """Return the positions of a cache that hold the first ``positions``: it is copied in whole blocks.

    >>> whole_blocks(17)
    32
    """
    return -(-positions // SUMS) * SUMS
