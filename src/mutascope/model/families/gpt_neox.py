"""GPT-NeoX and Pythia."""

from __future__ import annotations

from typing import Any

from mutascope.model.families.spec import FamilySpec, View, head_sizes

NETWORKS = ("GPTNeoXForCausalLM",)

VIEWS = (
    View("attention.query_key_value", ("q", "k", "v"), by_head=True),
    View("attention.dense", ("o",)),
    View("mlp.dense_h_to_4h", ("up",)),
    View("mlp.dense_4h_to_h", ("down",)),
)


def spec(config: Any) -> FamilySpec:
    """Return what a network of this config computes."""
    return FamilySpec(
        views=VIEWS,
        norm="layer",
        norms=("input_layernorm", "post_attention_layernorm"),
        activation=config.hidden_act,
        scales=(head_sizes(config).head_dim ** -0.5,) * config.num_hidden_layers,
        windows=(None,) * config.num_hidden_layers,
        parallel=config.use_parallel_residual,
        final_norm="final_layer_norm",
    )
