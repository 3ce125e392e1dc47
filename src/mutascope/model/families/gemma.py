"""Gemma, Gemma 2 and the text models of Gemma 3."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mutascope.model.families.llama import VIEWS
from mutascope.model.families.spec import FamilySpec, head_sizes, sliding_windows

NETWORKS = ("GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM")


def spec(config: Any) -> FamilySpec:
    """Return what a network of this config computes."""
    layers = config.num_hidden_layers
    first = FamilySpec(
        views=VIEWS,
        norm="rms+1",
        norms=("input_layernorm", "post_attention_layernorm"),
        activation=config.hidden_act if config.model_type == "gemma" else config.hidden_activation,
        scales=(head_sizes(config).head_dim ** -0.5,) * layers,
        windows=(None,) * layers,
        embedding_scale="embed_scale",
    )
    if config.model_type == "gemma":
        return first
    second = replace(
        first,
        norms=("input_layernorm", "pre_feedforward_layernorm"),
        post_norms=("post_attention_layernorm", "post_feedforward_layernorm"),
        scales=(config.query_pre_attn_scalar**-0.5,) * layers,
        windows=sliding_windows(config),
        logit_softcap=config.final_logit_softcapping,
    )
    if config.model_type == "gemma2":
        return replace(second, softcap=config.attn_logit_softcapping)
    return replace(
        second,
        head_norms=("self_attn.q_norm", "self_attn.k_norm"),
        rotary_types=tuple(config.layer_types),
    )
