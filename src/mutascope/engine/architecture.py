"""A network as its family describes it (:class:`mutascope.model.families.FamilySpec`): its parts, and their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from mutascope.core.errors import Unsupported
from mutascope.model.discovery import decoder_layers, find_genome
from mutascope.model.families import family_of, head_sizes
from mutascope.model.matrices import bias_of, matrix_of, module_of
from mutascope.numerics import cpu
from mutascope.numerics.install import Norm, config_refusal, numerics_of

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines, float32 [positions, rotated features]."""


class Architecture:
    """The parts of a network.

    Attributes:
        spec: what its family computes.
        sizes: of its heads.
        body: the network without its output head.
        blocks: its decoder layers.
        head: weight of the output head, [vocabulary, hidden].
        activation: of the MLP, one of :data:`mutascope.numerics.cpu.ACTIVATIONS`.
        windows: positions that a token looks back at, itself included, by layer.

    Args:
        network: of a known family.
        positions: that a text has at most.

    Raises:
        Unsupported: for an architecture that is not known, or for settings of it that are not implemented.
    """

    def __init__(self, network: PreTrainedModel, positions: int) -> None:
        self.spec = spec = family_of(network)
        if spec.activation not in cpu.ACTIVATION_NAMES:
            raise Unsupported(f"the activation {spec.activation} is not implemented")
        if reason := config_refusal(network.config) or _cache_refusal(network.config, spec.windows):
            raise Unsupported(reason)
        self.activation = cpu.ACTIVATION_NAMES[spec.activation]
        self.sizes = head_sizes(network.config)
        self.body: Any = network.get_decoder()
        self.blocks: list[nn.Module] = list(decoder_layers(network)[1])
        self.head_module: Any = network.get_output_embeddings()
        self.head: Tensor = self.head_module.weight
        self.windows = [window or positions for window in spec.windows]
        self._loci = {(locus.layer, locus.kind): locus for locus in find_genome(network)}
        self._network, self._numerics, self._positions = network, numerics_of(network), positions
        self._tables = cache(self._make_tables)

    def matrix(self, layer: int, kind: str) -> Tensor:
        """Return the matrix of a locus, [outs, ins]."""
        return matrix_of(self._network, self._loci[layer, kind])

    def bias(self, layer: int, kind: str) -> Tensor | None:
        """Return the bias of a locus, [outs], if it has one."""
        return bias_of(self._network, self._loci[layer, kind])

    def packed(self, layer: int, *kinds: str) -> Any:
        """Return the matrices of some kinds with one input, one below the other, packed for the kernels."""
        loci = [self._loci[layer, kind] for kind in kinds]
        modules = tuple(dict.fromkeys(module_of(self._network, locus) for locus in loci))
        if all(locus.block == locus.period for locus in loci):
            return self._numerics.packed(*modules)
        return self._numerics.kept((*modules, *kinds), modules, lambda: self._pack(layer, kinds))

    def packed_pair(self, layer: int) -> Any:
        """Return the gate and what it gates, packed as a pair."""
        modules = tuple(module_of(self._network, self._loci[layer, kind]) for kind in ("gate", "up"))
        return self._numerics.kept((*modules, "pair"), modules, lambda: self._pack_pair(layer))

    def norm(self, layer: int, name: str) -> Norm:
        """Return a norm of a layer by the name of its module."""
        return self._numerics.norm_of(self.blocks[layer].get_submodule(name))

    def final_norm(self) -> Norm:
        """Return the norm behind the last layer."""
        return self._numerics.norm_of(getattr(self.body, self.spec.final_norm))

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return the embeddings of token ids at positions, rounded as the network rounds, [..., hidden]."""
        embedding: Any = self._network.get_input_embeddings()
        hidden = embedding.weight.detach()[tokens]
        if self.spec.embedding_scale:
            hidden = hidden * getattr(embedding, self.spec.embedding_scale).to(hidden.dtype)
        if self.spec.learned_positions:
            hidden = hidden + getattr(self.body, self.spec.learned_positions).weight.detach()[positions]
        return self._numerics.operations.operand(hidden)

    def rotary(self, layer: int) -> Rotary | None:
        """Return the tables of a layer's rotary embedding; None where it has none."""
        types = self.spec.rotary_types
        return self._tables(types[layer] if types else None)

    def _make_tables(self, layer_type: str | None) -> Rotary | None:
        if self.spec.rotary is None:
            return None
        positions = torch.arange(self._positions, device=self.head.device)
        return self._numerics.rotary(getattr(self.body, self.spec.rotary), positions, layer_type)

    def _pack(self, layer: int, kinds: tuple[str, ...]) -> Any:
        matrices = [self.matrix(layer, kind) for kind in kinds]
        return self._numerics.operations.stack(matrices, [self.bias(layer, kind) for kind in kinds])

    def _pack_pair(self, layer: int) -> Any:
        biases = (self.bias(layer, "gate"), self.bias(layer, "up"))
        pair = (self.matrix(layer, "gate"), self.matrix(layer, "up"))
        return self._numerics.operations.pack_pair(*pair, biases)


def _cache_refusal(config: Any, windows: Sequence[int | None]) -> str | None:
    """Return why a cache of transformers forgets keys that attention looks at: it goes by the config alone."""
    types = getattr(config, "layer_types", None)
    stated = any(getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size"))
    forgets = [kind != "full_attention" for kind in types] if types else [stated] * len(windows)
    if any(one and window is None for one, window in zip(forgets, windows, strict=True)):
        return "its config has a sliding window, and its attention has none"
    return None
