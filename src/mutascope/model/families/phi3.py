"""Phi-3."""

from __future__ import annotations

from typing import Any

from mutascope.model.families.spec import FamilySpec, View, head_sizes

NETWORKS = ("Phi3ForCausalLM",)

VIEWS = (
    View("self_attn.qkv_proj", ("q", "k", "v")),
    View("self_attn.o_proj", ("o",)),
    View("mlp.gate_up_proj", ("gate", "up")),
    View("mlp.down_proj", ("down",)),
)


def spec(config: Any) -> FamilySpec:
    """Return what a network of this config computes."""
    return FamilySpec(
        views=VIEWS,
        norm="rms",
        norms=("input_layernorm", "post_attention_layernorm"),
        activation=config.hidden_act,
        scales=(head_sizes(config).head_dim ** -0.5,) * config.num_hidden_layers,
        windows=(config.sliding_window,) * config.num_hidden_layers,
    )
