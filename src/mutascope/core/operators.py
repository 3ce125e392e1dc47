"""The operators: what a mutation writes over a tile, by name.

Designs, checks, help texts and predictions read this registry; :mod:`mutascope.model.mutations` writes the tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mutascope.core.genome import check_name


@dataclass(frozen=True)
class Fill:
    """New tile = ``scale`` * wild type + ``constant``; the constant may be a 0-dimensional tensor."""

    scale: float
    constant: Any


@dataclass(frozen=True)
class Operator:
    """What a mutation writes.

    Attributes:
        fill: from the largest and the smallest element of the matrix to a fill; such mutations can be predicted.
        write: from a :class:`~mutascope.model.mutations.Tile` to its new values, where there is no fill.
        default: whether a design that names no mutations has it.
        control: whether it checks the method, and says nothing of the parameters.
    """

    fill: Callable[[Any, Any], Fill] | None = None
    write: Callable[[Any], Any] | None = None
    default: bool = False
    control: bool = False


OPERATORS = {
    "max": Operator(lambda largest, smallest: Fill(0, largest), default=True),
    "min": Operator(lambda largest, smallest: Fill(0, smallest), default=True),
    "zero": Operator(lambda largest, smallest: Fill(0, 0)),
    "noop": Operator(lambda largest, smallest: Fill(1, 0), control=True),
    "random": Operator(control=True),
}
"""By name (METHOD, Terms). ``random`` draws with torch: :mod:`mutascope.model.mutations` puts its function here."""


def default_mutations() -> tuple[str, ...]:
    """Return the mutations of a design that names none."""
    return tuple(name for name, operator in OPERATORS.items() if operator.default)


def predictable_mutations() -> tuple[str, ...]:
    """Return the mutations that a prediction can be of, controls apart."""
    return tuple(name for name, operator in OPERATORS.items() if operator.fill and not operator.control)


def check_mutations(names: Iterable[str]) -> None:
    """Raise MutascopeError for a mutation that is not registered."""
    for name in names:
        check_name("mutation", name, list(OPERATORS))
