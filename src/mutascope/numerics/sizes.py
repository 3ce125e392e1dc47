"""How much a device is given at a time."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """How much a device is given at a time, at most, whatever its memory.

    Attributes:
        rows: divergent mutants in flight.
        verified: mutants that are verified together.
        tokens: of a pass: the fewer rows are left, the more positions each is fed before it is looked at.
        states: whose logits are computed together.
    """

    rows: int
    verified: int
    tokens: int
    states: int
