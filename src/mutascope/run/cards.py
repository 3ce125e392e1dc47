"""What a full screen takes on cards that are not here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mutascope.core.errors import MutascopeError, nearest
from mutascope.core.words import duration
from mutascope.run.cost import ScreenCost


@dataclass(frozen=True)
class Card:
    """A card.

    Attributes:
        gbytes: its memory.
        tflops: per second, in float32, as if every mutant were generated from scratch (2 operations per parameter and
            token); the fast engine runs less.
        dollars: of an hour, assumed.
        source: what the rate is from.
    """

    gbytes: int
    tflops: float
    dollars: float
    source: str


CARDS = {
    "H200": Card(
        141, 8.5, 3.5, "measured 2026-11-27: 222 ms a mutant of 140 tokens, dimensions of Llama-2-7b"
    ),
    "H100": Card(80, 8.5, 3.0, "assumed: as the H200, whose arithmetic it has"),
    "A100": Card(80, 2.7, 1.8, "assumed: the H200's, by their peaks in TF32"),
    "L40S": Card(48, 3.1, 1.2, "assumed: the H200's, by their peaks in TF32"),
    "L4": Card(24, 1.0, 0.7, "assumed: the H200's, by their peaks in TF32"),
}
"""Cards by name."""
WORKING = 1.25
"""Memory over that of the weights, at least: the rest is keys and values of the mutants that run together."""


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
        """Return in words what a screen takes: time, cost and memory."""
        card = CARDS[self.name]
        hours = cost.mutants * cost.flop_per_mutant / (card.tflops * 1e12) / 3600
        weights = 4 * cost.parameters / 1e9
        fits = weights * WORKING <= card.gbytes
        return [
            f"on {self.cards} x {self.name}: {duration(3600 * hours / self.cards)}, {hours:,.1f} GPU-hours, about"
            f" {hours * card.dollars:,.0f} dollars at {card.dollars:.2f} an hour",
            f"its rate is {card.source}; failures and the end of the screen come on top (docs/guide/cluster.md)",
            f"weights in float32: {weights:,.1f} of {card.gbytes} GB"
            + ("" if fits else ", which leaves no room to run mutants: try --dtype bfloat16"),
        ]


def card_table() -> str:
    """Return the table of cards, for the documentation."""
    lines = [
        "| card | memory, GB | rate, TFLOP/s | dollars an hour (assumed) | the rate is |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {card.gbytes} | {card.tflops} | {card.dollars:.2f} | {card.source} |"
        for name, card in CARDS.items()
    ]
    return "\n".join(lines)
