"""Find the loci of a model from its modules.

The modules of a known family are in its :class:`mutascope.model.families.FamilySpec`. In other models, every linear map
(``nn.Linear`` or GPT-2's ``Conv1D``) of a layer is matched by the role that its module name states. Modules that hold
several kinds are cut only where their layout is known by name. What has two or more dimensions and no rule is reported
as uncovered.
"""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Genome, Locus
from mutascope.core.kinds import kind_rank
from mutascope.model.families import View, family_of, head_sizes, is_known

_ATTENTION = r"(?:.*\.)?(?:self_attn|self_attention|attn|attention)\."
_MLP = r"(?:mlp|feed_forward|ffn)\."
_ROLES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (_ATTENTION + "q_proj", "q"),
        (_ATTENTION + "k_proj", "k"),
        (_ATTENTION + "v_proj", "v"),
        (_ATTENTION + "(?:o_proj|out_proj|c_proj|dense)", "o"),
        (_MLP + "gate_proj", "gate"),
        (f"(?:{_MLP})?(?:up_proj|c_fc|fc_in|dense_h_to_4h|fc1)", "up"),
        (f"(?:{_MLP})?(?:down_proj|c_proj|fc_out|dense_4h_to_h|fc2)", "down"),
    )
)
_FUSED = {
    "BloomAttention": View("query_key_value", ("q", "k", "v"), by_head=True),
    **dict.fromkeys(("GlmMLP", "Glm4MLP"), View("gate_up_proj", ("gate", "up"))),
    **dict.fromkeys(
        ("Qwen3NextAttention", "Qwen3_5Attention", "Qwen3_5MoeAttention"),
        View("q_proj", ("q", "q_gate"), by_head=True),
    ),
}
"""Modules that hold several kinds, in classes of transformers whose family is not known."""


def find_genome(network: PreTrainedModel) -> Genome:
    """Return the genome of ``network``, which may live on the meta device.

    Raises:
        MutascopeError: when the model has no decoder layers with a known matrix.
    """
    prefix, layers = decoder_layers(network)
    views = {view.module: view for view in family_of(network).views} if is_known(network) else None
    loci: list[Locus] = []
    for index, layer in enumerate(layers):
        for name, module in layer.named_modules():
            view = views.get(name) if views is not None else _view_by_name(layer, name)
            if view is not None and isinstance(module, nn.Linear | Conv1D):
                loci += _split(_whole(index, f"{prefix}.{index}.{name}", module), view, network.config)
    if not loci:
        raise MutascopeError(f"{type(network).__name__} has no attention or MLP matrix that mutascope knows")
    covered = {locus.parameter for locus in loci}
    rest = [
        (name, tuple(parameter.shape))
        for name, parameter in network.named_parameters()
        if parameter.ndim >= 2 and name not in covered
    ]
    config = network.config.get_text_config(decoder=True)
    return Genome(
        loci=tuple(sorted(loci, key=lambda locus: (locus.layer, kind_rank(locus.kind)))),
        hidden_size=config.hidden_size,
        embeddings=tuple(item for item in rest if not item[0].startswith(prefix + ".")),
        uncovered=tuple(item for item in rest if item[0].startswith(prefix + ".")),
    )


def decoder_layers(network: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Return the qualified name of the list of decoder layers, and the list: those of the language model, whatever
    else (a vision tower, an encoder) has as many.

    Raises:
        MutascopeError: when there is none.
    """
    config = network.config.get_text_config(decoder=True)
    expected = getattr(config, "num_hidden_layers", None)
    decoder = network.get_decoder()
    prefix = next((name for name, module in network.named_modules() if module is decoder), "")
    others: list[str] = []
    for name, module in network.named_modules():
        if getattr(module, "config", None) is not None and not _is_of(module, network.config, config):
            others.append(name + ".")
        inside = name.startswith(prefix) and not name.startswith(tuple(others))
        if inside and isinstance(module, nn.ModuleList) and len(module) == expected:
            return name, module
    raise MutascopeError(f"{type(network).__name__} has no list of {expected} decoder layers")


def _is_of(module: nn.Module, *configs: PreTrainedConfig) -> bool:
    """Whether a module that has a config has one of these kinds."""
    return type(module.config) in {type(config) for config in configs}


def _view_by_name(layer: nn.Module, name: str) -> View | None:
    """Return what a module of a layer holds, if its name tells."""
    parent, _, last = name.rpartition(".")
    fused = _FUSED.get(type(layer.get_submodule(parent)).__name__)
    if fused is not None and fused.module == last:
        return fused
    kind = next((kind for pattern, kind in _ROLES if pattern.fullmatch(name)), None)
    if kind is None or (kind == "q" and _holds_a_gate(layer.get_submodule(parent), last)):
        return None
    return View(name, (kind,))


def _holds_a_gate(attention: nn.Module, query: str) -> bool:
    """Whether the map of the queries has twice the features that the output map takes: half of them are a gate."""
    output = next(
        (getattr(attention, name) for name in ("o_proj", "out_proj") if hasattr(attention, name)), None
    )
    rows = len(attention.get_submodule(query).get_parameter("weight"))
    return isinstance(output, nn.Linear) and rows == 2 * output.in_features


def _whole(layer: int, name: str, module: nn.Linear | Conv1D) -> Locus:
    """Return a module as a locus of no kind."""
    if not torch.is_floating_point(module.weight):
        raise MutascopeError(f"{name} holds {module.weight.dtype}: quantised weights cannot be mutated")
    transposed = isinstance(module, Conv1D)
    rows, cols = reversed(module.weight.shape) if transposed else module.weight.shape
    return Locus(layer, "", rows, cols, f"{name}.weight", transposed)


def _split(whole: Locus, view: View, config: PreTrainedConfig) -> list[Locus]:
    """Return the loci of a module: one, or one per kind of a fused module; none where that does not add up."""
    if len(view.kinds) == 1:
        return [replace(whole, kind=view.kinds[0])]
    sizes, head_dim = _fused_sizes(whole, view, config)
    if sum(sizes) != whole.rows:
        return []
    if view.by_head:
        return [
            replace(
                whole, kind=kind, rows=size, offset=i * head_dim, block=head_dim, period=len(sizes) * head_dim
            )
            for i, (kind, size) in enumerate(zip(view.kinds, sizes, strict=True))
        ]
    offsets = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        replace(whole, kind=kind, rows=size, offset=offset, block=size, period=size)
        for kind, size, offset in zip(view.kinds, sizes, offsets, strict=True)
    ]


def _fused_sizes(whole: Locus, view: View, config: PreTrainedConfig) -> tuple[list[int], int]:
    """Return the output features of the kinds of a module, and those of a head."""
    n_heads, n_kv_heads, head_dim = head_sizes(config.get_text_config(decoder=True))
    if view.kinds == ("q", "k", "v"):
        return [n_heads * head_dim, n_kv_heads * head_dim, n_kv_heads * head_dim], head_dim
    return [whole.rows // len(view.kinds)] * len(view.kinds), head_dim
