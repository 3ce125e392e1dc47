"""What the decoder and the predictions know of a network of the Llama family: where its parts are, and their sizes."""

from __future__ import annotations

from collections.abc import Sequence
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

from mutascope.core.errors import Unsupported
from mutascope.numerics.install import numerics_of

FAMILIES = (LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM)


class Architecture:
    """The parts of a network.

    Attributes:
        body: the network without its output head.
        blocks: its decoder layers.
        head: weight of the output head, [vocabulary, hidden].
        head_dim: features of a head.
        heads, kv_heads: query heads, and heads of keys and values.
        windows: positions that a token looks back at, itself included, by layer.

    Args:
        network: of one of :data:`FAMILIES`.
        positions: that a text has at most.

    Raises:
        Unsupported: for an architecture that is none of them.
    """

    def __init__(self, network: PreTrainedModel, positions: int) -> None:
        config: Any = network.config
        if type(network) not in FAMILIES:
            raise Unsupported(f"{type(network).__name__} is not implemented")
        if config.hidden_act not in ("silu", "swish"):
            raise Unsupported(f"the activation {config.hidden_act} is not implemented")
        if config.rope_parameters.get("rope_type", "default") in ("dynamic", "longrope"):
            raise Unsupported("rotary embeddings that depend on the length are not implemented")
        self.body: Any = network.model
        self.blocks: Sequence[Any] = list(self.body.layers)
        self.head: Tensor = network.lm_head.weight
        self.head_dim: int = self.blocks[0].self_attn.head_dim
        self.heads: int = config.num_attention_heads
        self.kv_heads: int = config.num_key_value_heads
        self.windows = [_window(block.self_attn, config, positions) for block in self.blocks]
        self._numerics, self._positions = numerics_of(network), positions

    def weight(self, layer: int, kind: str) -> Tensor:
        """Return the matrix of a locus, [outs, ins]."""
        block = self.blocks[layer]
        return getattr(block.self_attn if kind in "qkvo" else block.mlp, f"{kind}_proj").weight

    def rotary(self) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of the rotary embedding, float32 [positions, head_dim], on the CPU."""
        return self._numerics.rotary(self.body.rotary_emb, torch.arange(self._positions))


def _window(attention: Any, config: Any, positions: int) -> int:
    """Return how many positions a token of this layer looks back at, itself included."""
    sliding = getattr(attention, "sliding_window", None)
    if config.model_type == "mistral":
        sliding = config.sliding_window
    return sliding or positions
