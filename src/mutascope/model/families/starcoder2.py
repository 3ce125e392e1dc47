"""StarCoder2."""

from __future__ import annotations

from typing import Any

from mutascope.model.families.spec import FamilySpec, View, head_sizes

NETWORKS = ("Starcoder2ForCausalLM",)

VIEWS = (
    *(View(f"self_attn.{kind}_proj", (kind,)) for kind in "qkvo"),
    View("mlp.c_fc", ("up",)),
    View("mlp.c_proj", ("down",)),
)


def spec(config: Any) -> FamilySpec:
    """Return what a network of this config computes."""
    return FamilySpec(
        views=VIEWS,
        norm="layer",
        norms=("input_layernorm", "post_attention_layernorm"),
        activation=config.hidden_act,
        scales=(head_sizes(config).head_dim ** -0.5,) * config.num_hidden_layers,
        windows=(config.sliding_window,) * config.num_hidden_layers,
    )
