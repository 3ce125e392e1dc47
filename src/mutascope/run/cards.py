"""What a full screen takes on cards that are not here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mutascope.core.errors import MutascopeError, nearest
from mutascope.core.words import duration

if TYPE_CHECKING:
    from mutascope.run.cost import ScreenCost

BYTES = {"float32": 4, "bfloat16": 2}
"""Of a weight, by dtype."""


@dataclass(frozen=True)
class Card:
    """A card.

    Attributes:
        gbytes: its memory.
        tflops: per second, by dtype, as if every mutant were generated from scratch (2 operations per parameter and
            token); the fast engine runs less.
        dollars: of an hour, assumed.
        source: what the rates are from.
    """

    gbytes: int
    tflops: dict[str, float]
    dollars: float
    source: str


_MEASURED = {"float32": 31.1, "bfloat16": 152.7}
"""Of an H100: 60.7 and 12.4 ms a mutant (benchmarks/results/gpu.json)."""


def _scaled(peak: float) -> dict[str, float]:
    return {dtype: round(peak * rate, 1) for dtype, rate in _MEASURED.items()}


CARDS = {
    "H200": Card(141, _MEASURED, 3.5, "assumed: as the H100, whose arithmetic it has"),
    "H100": Card(
        80,
        _MEASURED,
        3.0,
        "measured 2026-11-27: mutants of 140 tokens, dimensions of Llama-2-7b, random weights",
    ),
    "A100": Card(80, _scaled(312 / 989), 1.8, "assumed: the H100's, by their peaks in bfloat16"),
    "L40S": Card(48, _scaled(362 / 989), 1.2, "assumed: the H100's, by their peaks in bfloat16"),
    "L4": Card(24, _scaled(121 / 989), 0.7, "assumed: the H100's, by their peaks in bfloat16"),
}
"""Cards by name."""
WORKING = 1.25
"""Memory over that of the weights, at least: the rest is keys and values of the mutants that run together."""


def card_named(told: str) -> str | None:
    """Return which of the cards a driver's name is that of, None for another.

    >>> card_named("NVIDIA H100 80GB HBM3"), card_named("NVIDIA T4")
    ('H100', None)
    """
    return next((word for word in re.split(r"[ -]", told.upper()) if word in CARDS), None)


@dataclass(frozen=True)
class Plan:
    """A number of cards of one kind."""

    cards: int
    name: str

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Return the plan of ``8xH100``.

        Raises:
            MutascopeError: for another form and for a card that is not in the table.

        >>> Plan.parse("8xH100")
        Plan(cards=8, name='H100')
        """
        match = re.fullmatch(r"([1-9]\d{0,5})\s*x\s*(\w+)", text.strip())
        if match is None:
            raise MutascopeError(
                f"--plan {text} is no plan: write a number of cards and their name, such as 8xH100"
            )
        if match[2].upper() not in CARDS:
            raise MutascopeError(
                f"--plan {text}: no figures of {match[2]} are known; {nearest(match[2].upper(), [*CARDS])}"
            )
        return cls(int(match[1]), match[2].upper())

    def told(self, cost: ScreenCost) -> list[str]:
        """Return in words what a screen takes: time, cost and memory, in each dtype."""
        card = CARDS[self.name]
        lines = []
        for dtype, size in BYTES.items():
            hours = cost.mutants * cost.flop_per_mutant / (card.tflops[dtype] * 1e12) / 3600
            weights = size * cost.parameters / 1e9
            fits = weights * WORKING <= card.gbytes
            lines.append(
                f"on {self.cards} x {self.name} in {dtype}: {self.taken(hours)}; weights {weights:,.1f} of"
                f" {card.gbytes} GB, "
                + ("mutants the rest" if fits else "which leaves no room to run mutants")
            )
        return [
            *lines,
            f"these rates are {card.source}; failures and the end of the screen come on top",
        ]

    def taken(self, hours: float) -> str:
        """Return in words how long so many hours of one card take on all of them, and what they cost."""
        return f"{duration(3600 * hours / self.cards)}, {hours:,.1f} GPU-hours, {self.dollars_of(hours)}"

    def dollars_of(self, hours: float) -> str:
        """Return in words what hours of a card cost."""
        dollars = CARDS[self.name].dollars
        return f"about {hours * dollars:,.0f} dollars at {dollars:.2f} an hour of a {self.name} (assumed)"

    def against(self, measured: str, dtype: str) -> float:
        """Return the hours of one of these cards for an hour of another one, by their rates in a dtype."""
        rates = [CARDS[name].tflops for name in (measured, self.name)]
        there, here = (rate.get(dtype, rate["float32"]) for rate in rates)
        return there / here


def card_table() -> str:
    """Return the table of cards, for the documentation."""
    lines = [
        "| card | memory, GB | float32, TFLOP/s | bfloat16, TFLOP/s | dollars an hour (assumed) | the rates are |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, card in CARDS.items():
        rates = " | ".join(f"{card.tflops[dtype]}" for dtype in BYTES)
        lines.append(f"| {name} | {card.gbytes} | {rates} | {card.dollars:.2f} | {card.source} |")
    return "\n".join(lines)
