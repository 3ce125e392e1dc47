"""Find the loci of a model from its modules.

The decoder layers are the longest ``nn.ModuleList``; within a layer, every linear map (``nn.Linear`` or GPT-2's
``Conv1D``) is matched by the role that its module name states in the Llama, Mistral, Qwen, Gemma, Phi, OPT, GPT-2 and
GPT-NeoX families. What has two or more dimensions and no rule is reported as uncovered.
"""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Genome, Locus, kind_rank

_ATTENTION = r"(?:.*\.)?(?:self_attn|self_attention|attn|attention)\."
_ROLES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), kinds)
    for pattern, kinds in (
        (_ATTENTION + "q_proj", ("q",)),
        (_ATTENTION + "k_proj", ("k",)),
        (_ATTENTION + "v_proj", ("v",)),
        (_ATTENTION + "(?:c_attn|qkv_proj|query_key_value)", ("q", "k", "v")),
        (_ATTENTION + "(?:o_proj|out_proj|c_proj|dense)", ("o",)),
        (r"mlp\.gate_proj", ("gate",)),
        (r"mlp\.gate_up_proj", ("gate", "up")),
        (r"(?:mlp\.)?(?:up_proj|c_fc|dense_h_to_4h|fc1)", ("up",)),
        (r"(?:mlp\.)?(?:down_proj|c_proj|dense_4h_to_h|fc2)", ("down",)),
    )
)
_INTERLEAVED_BY_HEAD = ("GPTNeoXAttention", "BloomAttention")
"""Attention classes whose fused matrix holds [query, key, value] head by head instead of one after the other."""


def find_genome(network: PreTrainedModel) -> Genome:
    """Return the genome of ``network``, which may live on the meta device.

    Raises:
        MutascopeError: when the model has no decoder layers with a known matrix.
    """
    prefix, layers = decoder_layers(network)
    loci: list[Locus] = []
    for index, layer in enumerate(layers):
        loci += _layer_loci(network, index, layer, f"{prefix}.{index}")
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
    """Return the qualified name of the list of decoder layers, and the list.

    Raises:
        MutascopeError: when there is none.
    """
    expected = network.config.get_text_config(decoder=True).num_hidden_layers
    for name, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == expected:
            return name, module
    raise MutascopeError(f"{type(network).__name__} has no list of {expected} decoder layers")


def _layer_loci(network: PreTrainedModel, index: int, layer: nn.Module, prefix: str) -> list[Locus]:
    loci = []
    for name, module in layer.named_modules():
        kinds = next((kinds for pattern, kinds in _ROLES if pattern.fullmatch(name)), ())
        if not kinds or not isinstance(module, nn.Linear | Conv1D):
            continue
        if not torch.is_floating_point(module.weight):
            raise MutascopeError(
                f"{prefix}.{name} holds {module.weight.dtype}: quantised weights cannot be mutated"
            )
        transposed = isinstance(module, Conv1D)
        rows, cols = reversed(module.weight.shape) if transposed else module.weight.shape
        whole = Locus(index, "", rows, cols, f"{prefix}.{name}.weight", transposed)
        attention = layer.get_submodule(name.rpartition(".")[0])
        loci += _split(whole, kinds, network, type(attention).__name__)
    return loci


def _split(whole: Locus, kinds: tuple[str, ...], network: PreTrainedModel, attention: str) -> list[Locus]:
    """Return the loci of a parameter: one, or one per kind of a fused parameter; none when it does not add up."""
    if len(kinds) == 1:
        return [replace(whole, kind=kinds[0])]
    sizes = _fused_sizes(whole, kinds, network)
    if sum(sizes) != whole.rows:
        return []
    if attention in _INTERLEAVED_BY_HEAD:
        width = sizes[0] // network.config.num_attention_heads
        return [
            replace(whole, kind=kind, rows=size, offset=i * width, block=width, period=len(kinds) * width)
            for i, (kind, size) in enumerate(zip(kinds, sizes, strict=True))
        ]
    if "query_key_value" in whole.parameter:
        return []  # other layouts of this name (Falcon's) exist: uncovered is better than wrong
    offsets = [sum(sizes[:i]) for i in range(len(sizes))]
    return [
        replace(whole, kind=kind, rows=size, offset=offset, block=size, period=size)
        for kind, size, offset in zip(kinds, sizes, offsets, strict=True)
    ]


def _fused_sizes(whole: Locus, kinds: tuple[str, ...], network: PreTrainedModel) -> list[int]:
    if kinds != ("q", "k", "v"):
        return [whole.rows // len(kinds)] * len(kinds)
    config = network.config.get_text_config(decoder=True)
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return [heads * width, groups * width, groups * width]
