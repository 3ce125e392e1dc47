"""The forward pass of Llama, Mistral, Qwen2 and Qwen3, over rows that each carry one mutation.

The weights are the network's own, packed once; a mutated row has weights of its own for the outputs of its tile
(mutascope.engine.edits).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from mutascope.core.errors import Unsupported
from mutascope.engine.architecture import Architecture
from mutascope.numerics import cpu
from mutascope.numerics.install import Norm, norm_of, numerics_of, refusal

if TYPE_CHECKING:
    from mutascope.engine.edits import Edits

SLOTS = {"q": "qkv", "k": "qkv", "v": "qkv", "o": "o", "gate": "gate_up", "up": "gate_up", "down": "down"}
"""The decoder's map that computes a kind of locus."""


@dataclass(frozen=True)
class Layer:
    """What a decoder layer does: packed maps, norms, attention."""

    first: Norm
    second: Norm
    head_norms: tuple[Norm, Norm] | None
    qkv: cpu.Packed
    o: cpu.Packed
    gate_up: cpu.Packed
    down: cpu.Packed
    attention: cpu.Heads


@dataclass(frozen=True)
class Places:
    """Where the tokens of a pass stand: int64 [rows, steps], or [1, steps] where all rows are fed the same; and one
    above the last of them.
    """

    positions: Tensor
    stop: int


class Decoder:
    """Runs the layers of a network on batches of rows; ``flop`` counts the arithmetic done.

    Activations are float32; of a network in bfloat16 they are rounded to it.

    Args:
        network: of one of :data:`mutascope.engine.architecture.FAMILIES`.
        positions: that a text has at most.

    Raises:
        Unsupported: for an architecture, dtype or device that it does not implement.
    """

    def __init__(self, network: PreTrainedModel, positions: int) -> None:
        self.architecture = parts = Architecture(network, positions)
        if reason := refusal(network):
            raise Unsupported(reason)
        self.numerics = numerics_of(network)
        self.half = self.numerics.half
        self.hidden_size = parts.head.shape[1]
        self.rotary = parts.rotary()
        self.layers = [self._layer(index) for index in range(len(parts.blocks))]
        self.norm = norm_of(parts.body.norm)
        self.head = cpu.floats(parts.head)
        self._embedding = parts.body.embed_tokens.weight.detach()
        self._head_map = self.numerics.packed(cast(Any, network).lm_head)
        self._all = torch.arange(positions)
        matrices = (p.numel() for p in parts.blocks[0].parameters() if p.ndim == 2)
        self._flop_per_token = 2 * sum(matrices)
        self.flop = 0

    def _layer(self, index: int) -> Layer:
        parts, numerics = self.architecture, self.numerics
        block = parts.blocks[index]
        attention, mlp = block.self_attn, block.mlp
        has_norms = hasattr(attention, "q_norm")
        return Layer(
            first=norm_of(block.input_layernorm),
            second=norm_of(block.post_attention_layernorm),
            head_norms=(norm_of(attention.q_norm), norm_of(attention.k_norm)) if has_norms else None,
            qkv=numerics.packed(attention.q_proj, attention.k_proj, attention.v_proj),
            o=numerics.packed(attention.o_proj),
            gate_up=numerics.packed_pair(mlp.gate_proj, mlp.up_proj),
            down=numerics.packed(mlp.down_proj),
            attention=cpu.Heads(
                parts.heads, parts.kv_heads, parts.head_dim, attention.scaling, parts.windows[index]
            ),
        )

    def offset(self, kind: str) -> int:
        """Return the first output feature of a kind in its map."""
        parts = self.architecture
        before = {"k": parts.heads, "v": parts.heads + parts.kv_heads}.get(kind, 0)
        return parts.head_dim * before

    # rows of keys and values

    def new_cache(self, rows: int, positions: int) -> Tensor:
        """Return room for keys and values, [layers, 2, rows, key/value heads, positions, width], both rounded up."""
        shape = (len(self.layers), 2, rows, self.architecture.kv_heads)
        return cpu.new_cache(*shape, positions=positions, width=self.architecture.head_dim)

    def affordable_rows(self, positions: int, most: int) -> int:
        """Return how many rows of keys and values fit into a quarter of the free memory, between 1 and ``most``."""
        return max(1, min(most, available_memory() // 4 // self.new_cache(1, positions).nbytes))

    def places(self, start: int, stop: int) -> Places:
        """Return the places of a pass in which every row is fed positions ``start`` to ``stop``."""
        return Places(self._all[None, start:stop], stop)

    # the pass

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of token ids, [..., hidden]."""
        return self._embedding[tokens].float()

    def final(self, hidden: Tensor) -> Tensor:
        """Return what the output head sees of the last layer's hidden states, [..., hidden]."""
        return self._norm(self.norm, hidden)

    def logits(self, final: Tensor) -> Tensor:
        """Return the logits of final states [n, hidden], [n, vocabulary]."""
        self.flop += 2 * len(final) * self.head.numel()
        return cpu.linear(final, self._head_map, half=self.half)

    def some_logits(self, final: Tensor, rows: Tensor) -> Tensor:
        """Return the logits of some rows of the head [m, hidden] for final states [n, hidden], as [n, m].

        The states are packed, and the rows are fed: a product has the same bits either way round.
        """
        self.flop += 2 * final.numel() * len(rows)
        return cpu.linear(rows, cpu.pack(final), half=self.half).T.contiguous()

    def layer(self, index: int, hidden: Tensor, edits: Edits, cache: Tensor, places: Places) -> Tensor:
        """Run one decoder layer.

        Args:
            index: of the layer.
            hidden: [rows, steps, hidden], dense.
            edits: of the rows.
            cache: keys and values of this layer, [2, rows or more, heads, positions, width]; those of ``places`` are
                written.
            places: where the tokens stand.

        Returns:
            The new hidden states, [rows, steps, hidden].
        """
        layer, half = self.layers[index], self.half
        rows, steps, _ = hidden.shape
        self.flop += rows * steps * (self._flop_per_token + 4 * places.stop * layer.o.ins)
        mixed = self._attend(index, hidden, edits, cache, places, read=True)
        assert mixed is not None
        strips = edits.of(index, "o")
        hidden = cpu.linear(
            mixed.view(rows, steps, layer.o.ins),
            layer.o,
            residual=hidden,
            strips=strips,
            steps=steps,
            half=half,
        )
        x = self._norm(layer.second, hidden)
        strips = edits.of(index, "gate_up")
        inner = cpu.linear(x, layer.gate_up, act="silu", strips=strips, steps=steps, half=half)
        strips = edits.of(index, "down")
        return cpu.linear(inner, layer.down, residual=hidden, strips=strips, steps=steps, half=half)

    def remember(self, index: int, hidden: Tensor, edits: Edits, cache: Tensor, places: Places) -> None:
        """Write the keys and values of a layer into its cache, for tokens from which nothing is read in this layer.

        The arguments are those of :meth:`layer`.
        """
        self.flop += 2 * hidden.shape[0] * hidden.shape[1] * self.layers[index].qkv.panels.numel()
        self._attend(index, hidden, edits, cache, places, read=False)

    def _attend(
        self, index: int, hidden: Tensor, edits: Edits, cache: Tensor, places: Places, *, read: bool
    ) -> Tensor | None:
        layer, (rows, steps, _) = self.layers[index], hidden.shape
        x = self._norm(layer.first, hidden)
        strips = edits.of(index, "qkv")
        qkv = cpu.linear(x, layer.qkv, strips=strips, steps=steps, half=self.half).flatten(0, 1)
        if layer.head_norms:
            counts = (layer.attention.heads, layer.attention.groups)
            for norm, kind, heads in zip(layer.head_norms, "qk", counts, strict=True):
                first = self.offset(kind)
                cpu.norm_heads(qkv, first, heads, norm.weight, norm.epsilon, early=norm.early, half=self.half)
        return cpu.attend(
            qkv, layer.attention, cache, self.rotary, places.positions, rows, read=read, half=self.half
        )

    def _norm(self, norm: Norm, x: Tensor) -> Tensor:
        return cpu.norm(x, *norm[:3], centred=norm.centred, early=norm.early, half=self.half)


def whole_blocks(positions: int) -> int:
    """Return the positions of a cache that hold the first ``positions``: it is copied in whole blocks.

    >>> whole_blocks(17)
    32
    """
    return -(-positions // cpu.SUMS) * cpu.SUMS


def available_memory() -> int:
    """Return the main memory that can be had without swapping, in bytes; all there is where a system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
