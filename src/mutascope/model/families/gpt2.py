"""GPT-2."""

from __future__ import annotations

from typing import Any

from mutascope.model.families.spec import FamilySpec, View, head_sizes

NETWORKS = ("GPT2LMHeadModel",)

VIEWS = (
    View("attn.c_attn", ("q", "k", "v")),
    View("attn.c_proj", ("o",)),
    View("mlp.c_fc", ("up",)),
    View("mlp.c_proj", ("down",)),
)


def spec(config: Any) -> FamilySpec:
    """Return what a network of this config computes."""
    layers = range(config.num_hidden_layers)
    scale = head_sizes(config).head_dim ** -0.5 if config.scale_attn_weights else 1.0
    by_layer = config.scale_attn_by_inverse_layer_idx
    return FamilySpec(
        views=VIEWS,
        norm="layer",
        norms=("ln_1", "ln_2"),
        activation=config.activation_function,
        scales=tuple(scale / float(layer + 1) if by_layer else scale for layer in layers),
        windows=(None,) * len(layers),
        learned_positions="wpe",
        rotary=None,
        final_norm="ln_f",
    )
