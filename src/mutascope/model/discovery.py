"""Find the loci of a model from its modules.

The modules of a known family are in its :class:`mutascope.model.families.FamilySpec`. In other models, every linear map
(``nn.Linear`` or GPT-2's ``Conv1D``) of a layer is matched by the role that its module name states
(:mod:`mutascope.model.roles`), and so are experts (:mod:`mutascope.model.experts`). Modules that hold several kinds are
cut only where their layout is known by name. What has two or more dimensions and no rule, or the name of another locus,
is reported as uncovered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Genome, Locus
from mutascope.core.kinds import kind_rank
from mutascope.model.experts import expert_loci, router_locus
from mutascope.model.families import View, family_of, head_sizes, is_known
from mutascope.model.roles import view_by_name

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Of weights that a number can be written over: those in 8 bits have scales beside them."""


def find_genome(network: PreTrainedModel) -> Genome:
    """Return the genome of ``network``, which may live on the meta device.

    Raises:
        MutascopeError: when the model has no decoder layers with a known matrix.
    """
    prefix, layers = decoder_layers(network)
    found = [
        locus
        for index, layer in enumerate(layers)
        for locus in _loci_of(network, index, f"{prefix}.{index}", layer)
    ]
    names = Counter(locus.name for locus in found)
    loci = [locus for locus in found if names[locus.name] == 1]
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


def _loci_of(network: PreTrainedModel, index: int, prefix: str, layer: nn.Module) -> Iterator[Locus]:
    """Yield the loci of a layer."""
    views = {view.module: view for view in family_of(network).views} if is_known(network) else None
    experts = []
    for name, module in layer.named_modules():
        view = views.get(name) if views is not None else view_by_name(layer, name)
        if view is not None and isinstance(module, nn.Linear | Conv1D):
            yield from _split(_whole(index, f"{prefix}.{name}", module), view, network.config)
        elif found := [*expert_loci(index, f"{prefix}.{name}", module)]:
            experts.append(name)
            yield from found
    routers = (router_locus(index, prefix, layer, name) for name in experts)
    yield from (router for router in routers if router is not None)


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
    inside = [*_lists(network, prefix, network.config, config)] or [
        *_lists(network, "", network.config, config)
    ]
    for name, layers in inside:
        if len(layers) == expected:
            return name, layers
    raise MutascopeError(
        f"{type(network).__name__} has no list of decoder layers as long as its configuration says"
        f" (num_hidden_layers: {expected})"
    )


def _lists(
    network: PreTrainedModel, prefix: str, *configs: PreTrainedConfig
) -> Iterator[tuple[str, nn.ModuleList]]:
    """Yield the lists of modules below a module, but for those in parts with a configuration of another kind."""
    others: list[str] = []
    for name, module in network.named_modules():
        if getattr(module, "config", None) is not None and not _is_of(module, *configs):
            others.append(name + ".")
        inside = name.startswith(prefix) and not name.startswith(tuple(others))
        if inside and isinstance(module, nn.ModuleList):
            yield name, module


def _is_of(module: nn.Module, *configs: PreTrainedConfig) -> bool:
    """Whether a module that has a config has one of these kinds."""
    return type(module.config) in {type(config) for config in configs}


def _whole(layer: int, name: str, module: nn.Linear | Conv1D) -> Locus:
    """Return a module as a locus of no kind."""
    if module.weight.dtype not in _DTYPES:
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
