"""Llama, Mistral, Qwen2 and Qwen3."""

from __future__ import annotations

from typing import Any

from mutascope.core.kinds import CODES
from mutascope.model.families.spec import FamilySpec, View, head_sizes, sliding_windows

NETWORKS = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")

VIEWS = tuple(View(code, (name,)) for name, code in CODES.items())


def spec(config: Any) -> FamilySpec:
    """Return what a network of this config computes."""
    return FamilySpec(
        views=VIEWS,
        norm="rms",
        norms=("input_layernorm", "post_attention_layernorm"),
        activation=config.hidden_act,
        scales=(head_sizes(config).head_dim ** -0.5,) * config.num_hidden_layers,
        windows=_windows(config),
        head_norms=("self_attn.q_norm", "self_attn.k_norm") if config.model_type == "qwen3" else None,
    )


def _windows(config: Any) -> tuple[int | None, ...]:
    if config.model_type in ("qwen2", "qwen3"):
        return sliding_windows(config)
    window = config.sliding_window if config.model_type == "mistral" else None
    return (window,) * config.num_hidden_layers
