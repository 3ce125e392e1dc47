"""How much a device is given at a time."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """How much a device is given at a time.

    Attributes:
        rows: divergent mutants in flight, at most.
        panel: those of a panel, at most: they share less, so that each takes more memory, which bounds them on cards.
        verified: mutants that are verified together, at most.
        tokens: of a pass: the fewer rows are left, the more positions each is fed before it is looked at.
        states: whose logits are computed together.
        followers: mutants for which the network is run on a text that they may follow.
        decoded, checked: shares of the free memory that keys and values of all divergent mutants would take if these
            shared nothing, and those of mutants that are verified.
        leaders: share of the mutants of higher layers that a layer has room for before it grows; main memory is not
            taken until it is written.
    """

    rows: int
    panel: int
    verified: int
    tokens: int
    states: int
    followers: int
    decoded: float
    checked: float
    leaders: float
