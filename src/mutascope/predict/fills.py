"""Mutations that a prediction knows: those that write a multiple of the tile plus a constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mutascope.core.errors import MutascopeError


@dataclass(frozen=True)
class Fill:
    """New tile = ``scale`` * wild type + ``constant``."""

    scale: float
    constant: float


def fills_of(mutations: Sequence[str], maximum: float, minimum: float) -> list[Fill]:
    """Return what mutations write, given the extreme elements of the locus.

    Raises:
        MutascopeError: for a mutation that is no such fill.
    """
    known = {
        "max": Fill(0, maximum),
        "min": Fill(0, minimum),
        "zero": Fill(0, 0),
        "noop": Fill(1, 0),
    }
    unknown = [name for name in mutations if name not in known]
    if unknown:
        raise MutascopeError(f"{unknown[0]} cannot be predicted; predictable are {', '.join(known)}")
    return [known[name] for name in mutations]
