"""The forward pass of Llama, Mistral, Qwen2 and Qwen3, over rows that each carry one mutation.

The weights are the network's own and are never written: a row's mutation is added to the output of its one linear map,
``out[rows of the tile] += (new - wild type) @ x[columns of the tile]``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    LlamaForCausalLM,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from mutascope.engine.products import Product, fastest_product
from mutascope.genome import Mutant
from mutascope.mutations import Mutagen

FAMILIES = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)


@dataclass(frozen=True)
class Delta:
    """The change that a mutation makes to its matrix: ``change`` [tile rows, tile cols] at (top, left)."""

    layer: int
    kind: str
    top: int
    left: int
    change: Tensor


def delta_of(mutagen: Mutagen, mutant: Mutant) -> Delta:
    """Return a mutant's delta; a ragged edge tile is padded with zeros and moved inside, so that all have one shape."""
    locus = mutagen.locus(mutant)
    top, bottom, left, right = mutagen.tiling.bounds(locus, mutant.row, mutant.col)
    high, wide = min(mutagen.tiling.tile, locus.rows), min(mutagen.tiling.tile, locus.cols)
    change = mutagen.replacement(mutant) - mutagen.wild_type_tile(mutant)
    padded = change.new_zeros(high, wide)
    moved_up, moved_left = high - (bottom - top), wide - (right - left)
    padded[moved_up:, moved_left:] = change
    return Delta(mutant.layer, mutant.kind, top - moved_up, left - moved_left, padded)


class Deltas:
    """The deltas of a batch, grouped by (layer, kind) for one small batched product per group.

    Args:
        deltas: each with the row of the batch that it belongs to, in its own layer.
        device: of the batch.
    """

    def __init__(self, deltas: Iterable[tuple[int, Delta]], device: torch.device) -> None:
        groups: dict[tuple[int, str], list[tuple[int, Delta]]] = {}
        for row, delta in deltas:
            groups.setdefault((delta.layer, delta.kind), []).append((row, delta))
        self._groups = {key: _Group(members, device) for key, members in groups.items()}

    def add(self, layer: int, kind: str, x: Tensor, out: Tensor) -> Tensor:
        """Add the deltas of a linear map to its output, in place.

        Args:
            x: input, [rows, positions, input features].
            out: output, [rows, positions, output features].
        """
        group = self._groups.get((layer, kind))
        if group is not None:
            read, written = group.elements(x, out)
            out.put_(written, x.take(read) @ group.change, accumulate=True)
        return out


class _Group:
    """The deltas of one matrix: ``change`` [members, tile cols, tile rows]."""

    def __init__(self, members: Sequence[tuple[int, Delta]], device: torch.device) -> None:
        high, wide = members[0][1].change.shape
        at = torch.tensor([(row, delta.left, delta.top) for row, delta in members], device=device)
        self._row, left, top = at[:, :, None, None].unbind(1)
        self._left = left + torch.arange(wide, device=device)
        self._top = top + torch.arange(high, device=device)
        self.change = torch.stack([delta.change.T for _, delta in members])
        self._elements: dict[int, tuple[Tensor, Tensor]] = {}

    def elements(self, x: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the tiles read and write, as indices into all elements, [members, positions, tile side]."""
        steps = x.shape[1]
        if steps not in self._elements:
            places = self._row * steps + torch.arange(steps, device=x.device)[:, None]
            self._elements[steps] = (places * x.shape[2] + self._left, places * out.shape[2] + self._top)
        return self._elements[steps]


@dataclass(frozen=True)
class Places:
    """Where the tokens of a pass stand, and what they see: the same in every layer, so computed once.

    Attributes:
        positions: of the tokens, [rows, steps]; one row where all rows are fed the same.
        stop: one above the last position.
        cos, sin: rotary embedding, [rows, steps, 1, width].
        masks: additive attention mask by window, [rows, 1, queries per key/value head * steps, stop]; none for a single
            token that all rows are fed at the same position, which sees all that its window holds.
    """

    positions: Tensor
    stop: int
    cos: Tensor
    sin: Tensor
    masks: dict[int, Tensor]

    def store(self, cache: Tensor, keys: Tensor, values: Tensor) -> None:
        """Write keys and values [rows, steps, heads, width] into a layer's cache [2, rows or more, heads, ...]."""
        rows = len(keys)
        if len(self.positions) == 1:
            here = slice(self.stop - keys.shape[1], self.stop)
            cache[0, :rows, :, here], cache[1, :rows, :, here] = keys.transpose(1, 2), values.transpose(1, 2)
        else:
            row, at = torch.arange(rows, device=keys.device)[:, None], self.positions[:rows]
            cache[0][row, :, at], cache[1][row, :, at] = keys, values


class Decoder:
    """Runs the layers of a network on batches of rows; ``flop`` counts the arithmetic done.

    Raises:
        ValueError: for an architecture or a rotary embedding that it does not implement.
    """

    def __init__(self, network: PreTrainedModel, positions: int) -> None:
        config: Any = network.config
        if type(network) not in FAMILIES:
            raise ValueError(f"{type(network).__name__} is not implemented")
        if config.rope_parameters.get("rope_type", "default") in ("dynamic", "longrope"):
            raise ValueError("rotary embeddings that depend on the length are not implemented")
        body: Any = network.model
        self.body = body
        self.head: Tensor = network.lm_head.weight
        self.layers: Sequence[Any] = list(body.layers)
        attention = self.layers[0].self_attn
        self.width: int = attention.head_dim
        self.groups: int = config.num_key_value_heads
        self.queries: int = config.num_attention_heads // config.num_key_value_heads
        self.dtype, self.device = network.dtype, network.device
        places = torch.arange(positions, device=self.device)
        cos, sin = body.rotary_emb(self.head[:1, :1], places[None])
        self._cos, self._sin = cos[0], sin[0]
        self.windows = [_window(layer.self_attn, config, positions) for layer in self.layers]
        self._all = places
        matrices = (p.numel() for p in self.layers[0].parameters() if p.ndim == 2)
        self._flop_per_token = 2 * sum(matrices)
        self._product = fastest_product(self.layers[0].mlp.gate_proj.weight)
        self.flop = 0

    @cached_property
    def _head_product(self) -> Product:
        """Timed when it is first needed: on a large head that takes a second, and predictions have their own."""
        return fastest_product(self.head)

    def new_cache(self, rows: int, positions: int) -> Tensor:
        """Return room for keys and values, [layers, 2, rows, key/value heads, positions, width]."""
        shape = (len(self.layers), 2, rows, self.groups, positions, self.width)
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def affordable_rows(self, positions: int, most: int) -> int:
        """Return how many rows of keys and values fit into a quarter of the free memory, between 1 and ``most``."""
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
        else:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(most, free // 4 // self.new_cache(1, positions).nbytes))

    def places(self, start: int, stop: int) -> Places:
        """Return the places of a pass in which every row is fed positions ``start`` to ``stop``."""
        return self._places(self._all[None, start:stop], stop)

    def places_of(self, positions: Tensor) -> Places:
        """Return the places of a pass in which every row is fed its own positions, [rows, steps]."""
        return self._places(positions, int(positions.max()) + 1)

    def _places(self, positions: Tensor, stop: int) -> Places:
        masks = {}
        if positions.numel() > 1:
            keys, own = self._all[:stop], positions[:, None, :, None]
            for window in set(self.windows):
                seen = (keys <= own) & (keys > own - window)
                mask = torch.zeros(seen.shape, dtype=self.dtype, device=self.device)
                masks[window] = mask.masked_fill_(~seen, -torch.inf).repeat(1, 1, self.queries, 1)
        return Places(positions, stop, self._cos[positions, None], self._sin[positions, None], masks)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of token ids, [..., hidden]."""
        return self.body.embed_tokens(tokens)

    def final(self, hidden: Tensor) -> Tensor:
        """Return what the output head sees of the last layer's hidden states, [..., hidden]."""
        return _norm(self.body.norm, hidden)

    def logits(self, final: Tensor) -> Tensor:
        """Return the logits of final states [n, hidden], [n, vocabulary]."""
        self.flop += 2 * len(final) * self.head.numel()
        return self._head_product(final, self.head, None)

    def some_logits(self, final: Tensor, tokens: Tensor) -> Tensor:
        """Return the logits of a few tokens [m] for final states [n, hidden], as [n, m]."""
        self.flop += 2 * final.numel() * len(tokens)
        return final @ self.head[tokens].T

    def layer(self, index: int, hidden: Tensor, deltas: Deltas, cache: Tensor, places: Places) -> Tensor:
        """Run one decoder layer.

        Args:
            index: of the layer.
            hidden: [rows, positions, hidden].
            deltas: of the rows.
            cache: keys and values of this layer, [2, rows or more, heads, positions, width]; those of ``places`` are
                written.
            places: where the tokens stand.

        Returns:
            The new hidden states, [rows, positions, hidden].
        """
        block = self.layers[index]
        tokens = hidden.shape[0] * hidden.shape[1]
        self.flop += tokens * (
            self._flop_per_token + 4 * places.stop * self.groups * self.queries * self.width
        )
        x = _norm(block.input_layernorm, hidden)
        hidden = hidden + self._attend(index, block.self_attn, x, deltas, cache, places)
        x = _norm(block.post_attention_layernorm, hidden)
        mlp = block.mlp
        gate = deltas.add(index, "gate", x, self._linear(mlp.gate_proj, x))
        up = deltas.add(index, "up", x, self._linear(mlp.up_proj, x))
        inner = mlp.act_fn(gate).mul_(up)
        return deltas.add(index, "down", inner, self._linear(mlp.down_proj, inner)).add_(hidden)

    def _attend(
        self, index: int, block: Any, x: Tensor, deltas: Deltas, cache: Tensor, places: Places
    ) -> Tensor:
        rows, steps = x.shape[:2]
        q = deltas.add(index, "q", x, self._linear(block.q_proj, x)).view(rows, steps, -1, self.width)
        k = deltas.add(index, "k", x, self._linear(block.k_proj, x)).view(rows, steps, -1, self.width)
        v = deltas.add(index, "v", x, self._linear(block.v_proj, x)).view(rows, steps, -1, self.width)
        if hasattr(block, "q_norm"):
            q, k = _norm(block.q_norm, q), _norm(block.k_norm, k)
        q, k = _rotate(q, places), _rotate(k, places)
        places.store(cache, k, v)
        # the queries of a key/value head are packed along the positions: no repeated keys and values
        packed = q.view(rows, steps, self.groups, self.queries, self.width).permute(0, 2, 3, 1, 4)
        packed = packed.reshape(rows, self.groups, self.queries * steps, self.width)
        window = self.windows[index]
        seen = slice(0 if places.masks else max(0, places.stop - window), places.stop)
        keys, values = cache[0, :rows, :, seen], cache[1, :rows, :, seen]
        if places.masks:
            mask = places.masks[window][:rows]
            mixed = F.scaled_dot_product_attention(packed, keys, values, attn_mask=mask, scale=block.scaling)
        else:  # a few queries per row: two small products are faster than the fused kernel
            mixed = packed.mul_(block.scaling).matmul(keys.transpose(2, 3)).softmax(-1).matmul(values)
        mixed = mixed.view(rows, self.groups, self.queries, steps, self.width).permute(0, 3, 1, 2, 4)
        mixed = mixed.reshape(rows, steps, -1)
        return deltas.add(index, "o", mixed, self._linear(block.o_proj, mixed))

    def _linear(self, module: Any, x: Tensor) -> Tensor:
        return self._product(x, module.weight, module.bias)

    def remember(self, index: int, hidden: Tensor, deltas: Deltas, cache: Tensor, places: Places) -> None:
        """Write the keys and values of a layer into its cache, for tokens from which nothing is read in this layer.

        The arguments are those of :meth:`layer`.
        """
        block = self.layers[index].self_attn
        x = _norm(self.layers[index].input_layernorm, hidden)
        rows, steps = x.shape[:2]
        self.flop += 2 * rows * steps * (block.k_proj.weight.numel() + block.v_proj.weight.numel())
        k = deltas.add(index, "k", x, self._linear(block.k_proj, x)).view(rows, steps, -1, self.width)
        v = deltas.add(index, "v", x, self._linear(block.v_proj, x)).view(rows, steps, -1, self.width)
        if hasattr(block, "k_norm"):
            k = _norm(block.k_norm, k)
        places.store(cache, _rotate(k, places), v)


def _rotate(x: Tensor, places: Places) -> Tensor:
    """Apply the rotary embedding to [rows, steps, heads, width]."""
    first, second = x.chunk(2, dim=-1)
    sin, cos = places.sin[: len(x)], places.cos[: len(x)]
    return torch.cat((-second, first), dim=-1).mul_(sin).addcmul_(x, cos)


def _norm(module: Any, x: Tensor) -> Tensor:
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True).add_(module.variance_epsilon))
    return (x * scale).mul_(module.weight)


def _window(attention: Any, config: Any, positions: int) -> int:
    """Return how many positions a token of this layer looks back at, itself included."""
    sliding = getattr(attention, "sliding_window", None)
    if config.model_type == "mistral":
        sliding = config.sliding_window
    return sliding or positions
