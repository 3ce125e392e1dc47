"""The architectures whose arithmetic mutascope knows, a file each; a new one is a file, and its name here."""

from __future__ import annotations

from transformers import PreTrainedModel

from mutascope.core.errors import Unsupported
from mutascope.model.families import gemma, gpt2, gpt_neox, llama, phi3, starcoder2
from mutascope.model.families.spec import FamilySpec, View, head_sizes

__all__ = ["FAMILIES", "FamilySpec", "View", "family_of", "head_sizes", "is_known"]

_FILES = (llama, gpt2, gpt_neox, gemma, phi3, starcoder2)
FAMILIES = {name: file.spec for file in _FILES for name in file.NETWORKS}
"""What makes a :class:`FamilySpec` of a config, by the network's type in transformers."""


def is_known(network: PreTrainedModel) -> bool:
    """Whether the network is of a known family; code that comes with a checkpoint never is."""
    kind = type(network)
    return kind.__name__ in FAMILIES and kind.__module__.startswith("transformers.")


def family_of(network: PreTrainedModel) -> FamilySpec:
    """Return what a network computes.

    Raises:
        Unsupported: for an architecture that is not known.
    """
    if not is_known(network):
        raise Unsupported(f"{type(network).__name__} is not implemented")
    return FAMILIES[type(network).__name__](network.config)
