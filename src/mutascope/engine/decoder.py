"""The forward pass of Llama, Mistral, Qwen2 and Qwen3, over rows that each carry one mutation.

The weights are the network's own and are never written: a row's mutation is added to the output of its one linear map
(mutascope.engine.deltas).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LlamaForCausalLM,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2ForCausalLM,
    Qwen3ForCausalLM,
)

from mutascope.engine.deltas import Deltas, Group
from mutascope.engine.kernels import kernels
from mutascope.engine.operations import Operations
from mutascope.engine.places import Places
from mutascope.engine.products import LinearMap, Product, fastest_product

FAMILIES = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)


class Decoder:
    """Runs the layers of a network on batches of rows; ``flop`` counts the arithmetic done.

    Raises:
        ValueError: for an architecture or a rotary embedding that it does not implement.
    """

    def __init__(self, network: PreTrainedModel, positions: int) -> None:
        config: Any = network.config
        if type(network) not in FAMILIES:
            raise ValueError(f"{type(network).__name__} is not implemented")
        if config.hidden_act not in ("silu", "swish"):
            raise ValueError(f"the activation {config.hidden_act} is not implemented")
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
        self._is_float32_on_cpu = self.device.type == "cpu" and all(
            p.dtype == torch.float32 for p in network.parameters()
        )
        self._bytes = sum(parameter.nbytes for parameter in network.parameters())
        self._maps: dict[Any, LinearMap] = {}
        self.flop = 0

    # Compiled and timed when they are first needed: predictions use a decoder that runs nothing.

    @cached_property
    def _operations(self) -> Operations:
        return (self._is_float32_on_cpu and kernels()) or Operations()

    @cached_property
    def _may_copy(self) -> bool:
        return self._bytes < self._free() // 4

    @cached_property
    def _product(self) -> Product:
        return fastest_product(self.layers[0].mlp.gate_proj.weight, self._may_copy)

    @cached_property
    def _head_map(self) -> LinearMap:
        return fastest_product(self.head, self._may_copy)(self.head, None)

    def new_cache(self, rows: int, positions: int) -> Tensor:
        """Return room for keys and values, [layers, 2, rows, key/value heads, positions, width]."""
        shape = (len(self.layers), 2, rows, self.groups, positions, self.width)
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def affordable_rows(self, positions: int, most: int) -> int:
        """Return how many rows of keys and values fit into a quarter of the free memory, between 1 and ``most``."""
        return max(1, min(most, self._free() // 4 // self.new_cache(1, positions).nbytes))

    def _free(self) -> int:
        """Return the memory of the device that can be had, in bytes."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        return available_memory()

    def places(self, start: int, stop: int) -> Places:
        """Return the places of a pass in which every row is fed positions ``start`` to ``stop``."""
        return self._places(self._all[None, start:stop], stop)

    def places_of(self, positions: Tensor) -> Places:
        """Return the places of a pass in which every row is fed its own positions, [rows, steps]."""
        return self._places(positions, int(positions.max()) + 1)

    def _places(self, positions: Tensor, stop: int) -> Places:
        return Places(positions, stop, self._cos[positions, None], self._sin[positions, None])

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings of token ids, [..., hidden]."""
        return self.body.embed_tokens(tokens)

    def final(self, hidden: Tensor) -> Tensor:
        """Return what the output head sees of the last layer's hidden states, [..., hidden]."""
        return self._norm(self.body.norm, hidden)

    def logits(self, final: Tensor) -> Tensor:
        """Return the logits of final states [n, hidden], [n, vocabulary]."""
        self.flop += 2 * len(final) * self.head.numel()
        return self._head_map(final)

    def some_logits(self, final: Tensor, tokens: Tensor) -> Tensor:
        """Return the logits of a few tokens [m] for final states [n, hidden], as [n, m]."""
        self.flop += 2 * final.numel() * len(tokens)
        return final @ self.head.index_select(0, tokens).T

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
        x = self._norm(block.input_layernorm, hidden)
        hidden = self._attend(index, block.self_attn, x, deltas, cache, places).add_(hidden)
        x = self._norm(block.post_attention_layernorm, hidden)
        mlp = block.mlp
        gate = self._linear(mlp.gate_proj, x, deltas.of(index, "gate"))
        up = self._linear(mlp.up_proj, x, deltas.of(index, "up"))
        inner = self._operations.gate(gate, up)
        return self._linear(mlp.down_proj, inner, deltas.of(index, "down")).add_(hidden)

    def _attend(
        self, index: int, block: Any, x: Tensor, deltas: Deltas, cache: Tensor, places: Places
    ) -> Tensor:
        rows, steps = x.shape[:2]
        q = self._linear(block.q_proj, x, deltas.of(index, "q")).view(rows, steps, -1, self.width)
        k = self._linear(block.k_proj, x, deltas.of(index, "k")).view(rows, steps, -1, self.width)
        v = self._linear(block.v_proj, x, deltas.of(index, "v")).view(rows, steps, -1, self.width)
        if hasattr(block, "q_norm"):
            q, k = self._norm(block.q_norm, q), self._norm(block.k_norm, k)
        self._operations.place(k, v, cache, places)
        mixed = self._operations.attend(
            self._operations.rotate(q, places), cache, places, self.windows[index], block.scaling
        )
        return self._linear(block.o_proj, mixed, deltas.of(index, "o"))

    def _norm(self, module: Any, x: Tensor) -> Tensor:
        return self._operations.norm(x, module.weight, module.variance_epsilon)

    def _linear(self, module: Any, x: Tensor, group: Group | None) -> Tensor:
        if module not in self._maps:
            self._maps[module] = self._product(module.weight, module.bias)
        out = self._maps[module](x)
        return self._operations.mutate(group, x, out) if group else out

    def remember(self, index: int, hidden: Tensor, deltas: Deltas, cache: Tensor, places: Places) -> None:
        """Write the keys and values of a layer into its cache, for tokens from which nothing is read in this layer.

        The arguments are those of :meth:`layer`.
        """
        block = self.layers[index].self_attn
        x = self._norm(self.layers[index].input_layernorm, hidden)
        rows, steps = x.shape[:2]
        self.flop += 2 * rows * steps * (block.k_proj.weight.numel() + block.v_proj.weight.numel())
        k = self._linear(block.k_proj, x, deltas.of(index, "k")).view(rows, steps, -1, self.width)
        v = self._linear(block.v_proj, x, deltas.of(index, "v")).view(rows, steps, -1, self.width)
        if hasattr(block, "k_norm"):
            k = self._norm(block.k_norm, k)
        self._operations.place(k, v, cache, places)


def _window(attention: Any, config: Any, positions: int) -> int:
    """Return how many positions a token of this layer looks back at, itself included."""
    sliding = getattr(attention, "sliding_window", None)
    if config.model_type == "mistral":
        sliding = config.sliding_window
    return sliding or positions


def available_memory() -> int:
    """Return the main memory that can be had without swapping, in bytes; all there is where a system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
