"""The tensors that a locus is a view of, as they are now."""

from __future__ import annotations

from operator import attrgetter

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from mutascope.core.genome import Locus


def module_of(network: PreTrainedModel, locus: Locus) -> nn.Module:
    """Return the linear module that holds a locus, and maybe others."""
    return network.get_submodule(locus.parameter.rpartition(".")[0])


def parameter_of(network: PreTrainedModel, locus: Locus) -> Tensor:
    """Return the parameter that holds a locus, [outs, ins], maybe among others."""
    weight: Tensor = attrgetter(locus.parameter)(network).detach()  # get_parameter takes five times as long
    if locus.expert is not None:
        index, number = locus.expert
        weight = weight.view(number, -1, weight.shape[-1])[index]
    return weight.T if locus.transposed else weight


def features_of(locus: Locus, start: int, stop: int) -> slice | Tensor:
    """Return the output features of the parameter that are rows of a locus: a slice where they are neighbours."""
    first, last = locus.features(start, start + 1)[0], locus.features(stop - 1, stop)[0]
    if last - first == stop - start - 1:
        return slice(first, last + 1)
    return torch.tensor(locus.features(start, stop))


def matrix_of(network: PreTrainedModel, locus: Locus) -> Tensor:
    """Return the matrix of a locus, [outs, ins]: a view where the rows are neighbours, else a copy."""
    return parameter_of(network, locus)[features_of(locus, 0, locus.rows)]


def bias_of(network: PreTrainedModel, locus: Locus) -> Tensor | None:
    """Return what is added to the outputs of a locus, [outs], if anything is."""
    bias: Tensor | None = getattr(module_of(network, locus), "bias", None)
    return None if bias is None else bias.detach()[features_of(locus, 0, locus.rows)]
