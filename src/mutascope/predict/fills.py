"""Mutations that a prediction knows: those that write a multiple of the tile plus a constant."""

from __future__ import annotations

from collections.abc import Sequence

from mutascope.core.errors import MutascopeError
from mutascope.core.operators import OPERATORS, Fill


def fills_of(mutations: Sequence[str], largest: float, smallest: float) -> list[Fill]:
    """Return what mutations write, given the extreme elements of the locus.

    Raises:
        MutascopeError: for a mutation that is no such fill.
    """
    fills = {name: operator.fill for name, operator in OPERATORS.items() if operator.fill}
    unknown = [name for name in mutations if name not in fills]
    if unknown:
        raise MutascopeError(f"{unknown[0]} cannot be predicted; predictable are {', '.join(fills)}")
    return [fills[name](largest, smallest) for name in mutations]
