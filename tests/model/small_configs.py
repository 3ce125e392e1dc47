"""A small configuration of every type of causal language model in transformers: two layers, sizes of a few dozen."""

from __future__ import annotations

from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

from builders import tiny_tokenizer

HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, LAYERS = 64, 96, 4, 2, 2
_LATENT = {"num_key_value_heads": HEADS, "head_dim": 8, "num_experts_per_tok": 2}
"""Latent attention has keys and values for every head, and a head has the rotated features alone."""
_HEAD = {"head_dim": 16}


_LAYERS = (
    *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers"),
    *("num_encoder_layers", "num_decoder_layers"),
)


def _named(names: str, value: int) -> dict[str, int]:
    return dict.fromkeys(names.split(), value)


_SMALL: dict[str, int] = {
    **_named(
        "hidden_size d_model n_embd embed_dim emb_dim dim embedding_size n_embed word_embed_proj_dim", HIDDEN
    ),
    **_named("dim_model", HIDDEN),
    **_named(
        "intermediate_size ffn_dim d_ff n_inner decoder_ffn_dim encoder_ffn_dim dim_ff dff", INTERMEDIATE
    ),
    **_named("ffn_hidden_size", INTERMEDIATE),
    **_named("moe_intermediate_size shared_expert_intermediate_size shared_intermediate_size", 32),
    **_named(
        "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads", HEADS
    ),
    **_named("num_key_value_heads n_head_kv num_kv_heads", KV_HEADS),
    **dict.fromkeys(_LAYERS, LAYERS),
    **_named("num_experts num_local_experts n_routed_experts moe_num_experts", 4),
    **_named("num_experts_per_tok moe_topk moe_k moe_top_k", 2),
    **_named("max_position_embeddings n_positions max_seq_len n_ctx", 512),
    **_named("head_dim qk_nope_head_dim v_head_dim mamba_d_head", 16),
    **_named("qk_rope_head_dim rotary_dim mamba_d_state state_size mamba_n_heads num_memory_blocks", 8),
    **_named("q_lora_rank kv_lora_rank qk_head_dim", 24),
    **_named("n_group num_group topk_group n_groups mamba_n_groups", 1),
    **{"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "sliding_window": 16, "mamba_d_ssm": 128},
    **{"mamba_expand": 2, "image_size": 28, "patch_size": 14, "vocab_size": len(tiny_tokenizer())},
}
"""Sizes by name of field."""
_OVERRIDES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32"), _LATENT),
    **dict.fromkeys(("dots3_note", "dots3_note_text", "glm4_moe_lite", "glm_moe_dsa", "hy_v4"), _LATENT),
    **dict.fromkeys(("kimi_linear", "longcat_flash", "minicpm3", "youtu"), _LATENT),
    **dict.fromkeys(("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral"), _HEAD),
    "bailing_hybrid": {
        **_LATENT,
        "n_group": 1,
        "topk_group": 1,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gemma4_unified_assistant": {"num_kv_shared_layers": 0},
    "bamba": {"attn_layer_indices": [1]},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 96, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "dots1": {
        "n_shared_experts": 1,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
    },
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "nemotron": {**_HEAD, "num_key_value_heads": KV_HEADS},
    "reformer": {"is_decoder": True, "attn_layers": ["local", "local"], "axial_pos_embds": False},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}
"""What else a type needs to be made and run with these sizes."""


def small_config(model_type: str) -> PreTrainedConfig:
    """Return a small configuration of a type."""
    kind = CONFIG_MAPPING[model_type]
    return kind(**{**_small_fields(kind), **_OVERRIDES.get(model_type, {})})


def cut_config(model_type: str) -> PreTrainedConfig:
    """Return the usual configuration of a type with two layers, for what cannot be made small."""
    kind = CONFIG_MAPPING[model_type]
    usual = kind().to_dict()
    cut: dict[str, Any] = {name: LAYERS for name in _LAYERS if isinstance(usual.get(name), int)}
    return kind(**cut)


def _small_fields(kind: type[PreTrainedConfig]) -> dict[str, Any]:
    """Return small values of the fields of a configuration, those of its parts too."""
    usual = kind().to_dict()
    layers = next((usual[name] for name in _LAYERS if isinstance(usual.get(name), int)), 0)
    fields: dict[str, Any] = {}
    for name, value in usual.items():
        part = value.get("model_type") if isinstance(value, dict) else None
        if part is not None and part in CONFIG_MAPPING:
            fields[name] = {
                **_small_fields(CONFIG_MAPPING[part]),
                **_OVERRIDES.get(part, {}),
                "model_type": part,
            }
        elif isinstance(value, list | tuple) and layers and len(value) == layers:
            fields[name] = _first_of_each(list(value))
        elif name in _SMALL and isinstance(value, int):
            fields[name] = _SMALL[name]
    return fields


def _first_of_each(values: list[Any]) -> list[Any]:
    """Return two values of a list with one per layer, different ones where there are."""
    if not all(isinstance(value, str) for value in values):
        return values[:LAYERS]
    return ([*dict.fromkeys(values)][-LAYERS:] * LAYERS)[:LAYERS]
