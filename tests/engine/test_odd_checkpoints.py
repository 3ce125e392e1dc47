"""Checkpoints of every known family whose settings are drawn together, as nobody would choose them."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_fast import MUTATIONS, SAMPLING, disagreements

from builders import FAMILIES, known_families, tiny_model
from mutascope.assays import TextAssay
from mutascope.core.design import Design
from mutascope.model.loading import load_model

HEADS = [(4, 4), (4, 2), (6, 3), (5, 1), (3, 3), (8, 2)]
_ORIGINAL = {"original_max_position_embeddings": 64}
ROTATIONS = [
    {"rope_type": "default", "rope_theta": 1e6},
    {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 5e5}
    | _ORIGINAL,
    {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4} | _ORIGINAL,
]
OWN: dict[str, dict[str, list[Any]]] = {
    "llama": {"attention_bias": [False, True], "mlp_bias": [False, True]},
    "mistral": {"sliding_window": [None, 3, 7, 20]},
    "qwen2": {"use_sliding_window": [False, True], "sliding_window": [4, 11], "max_window_layers": [1]},
    "qwen3": {"attention_bias": [False, True], "use_sliding_window": [False, True], "max_window_layers": [1]},
    "gemma2": {"attn_logit_softcapping": [None, 5.0], "final_logit_softcapping": [None, 10.0]},
    "gemma3": {"attn_logit_softcapping": [None, 50.0], "final_logit_softcapping": [None, 30.0]},
    "phi3": {"sliding_window": [None, 9]},
    "starcoder2": {"sliding_window": [None, 3, 20], "use_bias": [False, True]},
    "gpt_neox": {"use_parallel_residual": [False, True], "attention_bias": [False, True]},
    "gpt2": {"scale_attn_by_inverse_layer_idx": [False, True], "scale_attn_weights": [False, True]},
}
"""Settings that a family has to itself, and what they may be."""


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A family, and changes of its configuration."""
    family = draw(st.sampled_from(known_families()))
    heads, kv_heads = draw(st.sampled_from(HEADS))
    head_dim = 8 if family == "gpt_neox" else draw(st.sampled_from([4, 6, 8, 10, 16, 20]))
    changes = {name: draw(st.sampled_from(values)) for name, values in OWN.get(family, {}).items()}
    layers, inner = draw(st.integers(1, 5)), draw(st.integers(9, 120))
    activation = draw(st.sampled_from(["silu", "gelu", "gelu_pytorch_tanh"]))
    if family == "gpt2":
        sizes = {"n_embd": heads * head_dim, "n_head": heads, "n_inner": inner, "n_layer": layers}
        return family, changes | sizes | {"activation_function": activation}
    changes |= {"hidden_size": heads * head_dim, "num_attention_heads": heads, "intermediate_size": inner}
    changes |= {"num_hidden_layers": layers, "tie_word_embeddings": draw(st.booleans())}
    changes["hidden_activation" if family.startswith("gemma") else "hidden_act"] = activation
    if "num_key_value_heads" in FAMILIES[family][1]:
        changes["num_key_value_heads"] = kv_heads
    if "head_dim" in FAMILIES[family][1]:
        changes["head_dim"] = head_dim
    if family != "gemma3" and draw(st.booleans()):
        known = ROTATIONS[:1] if family == "phi3" else ROTATIONS
        changes["rope_parameters"] = dict(draw(st.sampled_from(known)))
        if family in ("phi3", "gpt_neox"):
            changes["rope_parameters"]["partial_rotary_factor"] = draw(st.sampled_from([0.5, 1.0]))
    return family, changes


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck(each) for each in HealthCheck])
@given(
    checkpoint=checkpoints(),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    std=st.sampled_from([0.05, 0.2, 0.4]),
    ends=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    prompt=st.text("abc XYZ.\né,", min_size=1, max_size=40),
    sampling=SAMPLING,
    seed=st.integers(0, 10_000),
    length=st.integers(1, 45),
    tile=st.integers(1, 33),
    max_batch=st.sampled_from([1, 3, 17]),
)
def test_engines_agree(checkpoint, dtype, std, ends, prompt, sampling, seed, length, tile, max_batch):
    family, changes = checkpoint
    with tempfile.TemporaryDirectory() as folder:
        tiny_model(folder, family, seed, std=std, generation={"eos_token_id": ends}, **changes)
        model = load_model(folder, device="cpu", dtype=dtype)
        assay = TextAssay(name="t", prompt=prompt, seed=seed, max_new_tokens=length, **sampling)
        design = Design(sample=6, sample_seed=seed, mutations=MUTATIONS)
        different, _ = disagreements(model, assay, design, tile, max_batch)
    assert different == []
