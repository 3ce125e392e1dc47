"""Texts that mutants are verified against: the wild type's, and those that mutants before them have put out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, Delta, Deltas
from mutascope.genome import Mutant


@dataclass
class Row:
    """A mutant on its way.

    Attributes:
        tokens: what it has picked so far.
        replayed: the reference engine made one of the picks.
        handed_over: it is left to the reference engine altogether.
    """

    mutant: Mutant
    delta: Delta
    tokens: list[int] = field(default_factory=list)
    replayed: bool = False
    handed_over: bool = False


class Trace:
    """The unmutated network, fed one text.

    Attributes:
        tokens: the text's generated token ids.
        begin: first position with hidden states; those before it stand in ``base``, which shares them.
        hidden: input of every layer, [layers, positions from ``begin`` on, hidden]; the position of the last
            generated token is not among them, as nothing is read from it.
        final: output of the last layer, [positions from ``begin`` on, hidden].
        cache: keys and values of all positions, [layers, 2, 1, heads, positions, width].
    """

    def __init__(
        self, decoder: Decoder, prompt: Sequence[int], tokens: Sequence[int], base: Trace | None = None
    ) -> None:
        self.tokens = tuple(tokens)
        pairs = enumerate(zip(self.tokens, base.tokens, strict=False)) if base else ()
        shared = next((i for i, (own, other) in pairs if own != other), 0)
        self.begin = len(prompt) + shared if base else 0
        fed = torch.tensor([*prompt, *self.tokens[:-1]], device=decoder.device)
        self.cache = decoder.new_cache(1, len(fed))
        if base:
            self.cache[..., : self.begin, :] = base.cache[..., : self.begin, :]
        places = decoder.span(self.begin, len(fed))
        hidden, inputs = decoder.embed(fed[self.begin :])[None], []
        for index in range(len(decoder.layers)):
            inputs.append(hidden[0])
            hidden = decoder.layer(index, hidden, Deltas([], decoder.device), self.cache[index], places)
        self.hidden, self.final = torch.stack(inputs), hidden[0]


@dataclass
class Branch:
    """What is known of the mutants that share a history: the first to take it leads, the others wait for its text.

    Attributes:
        tokens: the leader's whole text, None while it is being decoded.
        followers: rows that wait, each with the keys and values of what it has seen.
        trace: of the text, once a follower needed it.
    """

    tokens: tuple[int, ...] | None = None
    followers: list[tuple[Row, Tensor]] = field(default_factory=list)
    trace: Trace | None = None
