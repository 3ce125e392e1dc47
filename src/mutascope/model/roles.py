"""Which kinds of loci the modules of a layer hold, by their names; for networks whose family is not known."""

from __future__ import annotations

import re

from torch import nn

from mutascope.model.families import View

_ATTENTION = r"(?:.*\.)?(?:self_attn|self_attention|attn|attention|multi_head_attention)\."
_MLP = r"(?:mlp|mlp_block|feed_forward|ffn)\."
_MIXER = r"mixer\."
"""What NemotronH calls attention, MLP and state-space model alike."""
_SHARED = r"(?:mlp|feed_forward|mixer)\.shared_experts?\."
_ROLES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?:{pattern})(?:\.linear)?"), kind)  # some linear modules wrap one of torch
    for pattern, kind in (
        (f"(?:{_ATTENTION}(?:q_proj|query_proj|self\\.query|Wq)|{_MIXER}q_proj)", "q"),
        (f"(?:{_ATTENTION}(?:k_proj|key_proj|self\\.key|Wk)|{_MIXER}k_proj)", "k"),
        (f"(?:{_ATTENTION}(?:v_proj|value_proj|self\\.value|Wv)|{_MIXER}v_proj)", "v"),
        (f"(?:{_ATTENTION}(?:o_proj|out_proj|c_proj|(?:output\\.)?dense|Wo)|{_MIXER}o_proj)", "o"),
        (_ATTENTION + "q_a_proj", "q_a"),
        (_ATTENTION + "q_b_proj", "q_b"),
        (_ATTENTION + "kv_a_proj_with_mqa", "kv_a"),
        (_ATTENTION + "kv_b_proj", "kv_b"),
        (_SHARED + "gate_proj", "gate.shared"),
        (_SHARED + "up_proj", "up.shared"),
        (_SHARED + "down_proj", "down.shared"),
        (f"(?:{_MLP}(?:gate_proj|w1)|ffn\\.ffn\\.w_in\\.w_0)", "gate"),
        (
            f"(?:(?:{_MLP})?(?:up_proj|c_fc|fc_in|dense_h_to_4h|fc1)|{_MLP}w3|{_MIXER}up_proj|intermediate\\.dense"
            "|ffn\\.0|ffn\\.ffn\\.w_in\\.w_1|feed_forward\\.intermediate)",
            "up",
        ),
        (
            f"(?:(?:{_MLP})?(?:down_proj|c_proj|fc_out|dense_4h_to_h|fc2)|{_MLP}(?:w2|Wo)|{_MIXER}down_proj"
            "|output\\.dense|ffn\\.2|ffn\\.ffn\\.w_out|feed_forward\\.output)",
            "down",
        ),
    )
)
_BY_HEAD = View("query_key_value", ("q", "k", "v"), by_head=True)
_FUSED: dict[str, tuple[View, ...]] = {
    **dict.fromkeys(("BloomAttention", "PersimmonAttention", "GPTNeoXJapaneseAttention"), (_BY_HEAD,)),
    **dict.fromkeys(("GlmMLP", "Glm4MLP", "Phi4MultimodalMLP"), (View("gate_up_proj", ("gate", "up")),)),
    "ModernBertDecoderMLP": (View("Wi", ("gate", "up")),),
    "Phi4MultimodalAttention": (View("qkv_proj", ("q", "k", "v")),),
    "DbrxAttention": (View("Wqkv", ("q", "k", "v")),),
    "MoshiGatingMLP": (View("fc1", ("gate", "up")),),
    "JetMoeAttention": (View("kv_proj", ("k", "v")),),
    **dict.fromkeys(
        ("GraniteMoeSharedMLP", "GraniteMoeHybridMLP"),
        (View("input_linear", ("gate.shared", "up.shared")), View("output_linear", ("down.shared",))),
    ),
    **dict.fromkeys(
        ("Qwen3NextAttention", "Qwen3_5Attention", "Qwen3_5MoeAttention"),
        (View("q_proj", ("q", "q_gate"), by_head=True),),
    ),
}
"""Modules that hold several kinds, or whose names say little, in classes of transformers."""


def view_by_name(layer: nn.Module, name: str) -> View | None:
    """Return what a module of a layer holds, if its name tells."""
    parent, _, last = name.rpartition(".")
    owner = layer.get_submodule(parent)
    fused = [view for view in _FUSED.get(type(owner).__name__, ()) if view.module == last]
    if fused:
        return fused[0]
    kind = next((kind for pattern, kind in _ROLES if pattern.fullmatch(name)), None)
    if kind is None or (
        kind == "q" and isinstance(getattr(owner, last), nn.Linear) and _holds_a_gate(owner, last)
    ):
        return None
    return View(name, (kind,))


def _holds_a_gate(attention: nn.Module, query: str) -> bool:
    """Whether the map of the queries has twice the features that the output map takes: half of them are a gate."""
    output = next(
        (getattr(attention, name) for name in ("o_proj", "out_proj") if hasattr(attention, name)), None
    )
    rows = len(attention.get_submodule(query).get_parameter("weight"))
    return isinstance(output, nn.Linear) and rows == 2 * output.in_features
