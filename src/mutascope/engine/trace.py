"""A mutant on its way, and the wild type that it is verified against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, Delta, Deltas
from mutascope.genome import Mutant


@dataclass(eq=False)
class Row:
    """A mutant on its way.

    Attributes:
        tokens: what it has picked so far.
        margins: of its picks, as this engine computes them.
        replayed: the reference engine made one of the picks.
        handed_over: it is left to the reference engine altogether.
        values: what was measured along the wild type's continuation.
        seen: keys and values of what it was fed, from its own layer upwards, while it waits to be decoded,
            [layers, 2, heads, positions, width].
    """

    mutant: Mutant
    delta: Delta
    tokens: list[int] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    replayed: bool = False
    handed_over: bool = False
    values: Mapping[str, float | None] = field(default_factory=dict)
    seen: Tensor | None = None

    def take_seen(self) -> Tensor:
        """Return :attr:`seen` and forget it."""
        seen, self.seen = self.seen, None
        assert seen is not None, "only rows that wait to be decoded have seen"
        return seen


class Trace:
    """The wild type in one prompt.

    Attributes:
        tokens: generated token ids.
        cache: keys and values, [layers, 2, 1, heads, positions, width]. The last generated token has none, as nothing
            is read from it.
    """

    def __init__(self, decoder: Decoder, prompt: Sequence[int], tokens: Sequence[int]) -> None:
        self.tokens = tuple(tokens)
        fed = torch.tensor([*prompt, *self.tokens[:-1]], device=decoder.device)
        self.cache = decoder.new_cache(1, len(fed))
        self._inputs = [decoder.embed(fed)[None]]
        places, none = decoder.places(0, len(fed)), Deltas([], decoder.device)
        for index, cache in enumerate(self.cache):
            self._inputs.append(decoder.layer(index, self._inputs[index], none, cache, places))

    def hidden(self, layer: int) -> Tensor:
        """Return the input of a layer (of the final norm, one above the last), [positions, hidden]."""
        return self._inputs[layer][0]

    def forget_states(self) -> None:
        """Free the hidden states; keys and values stay."""
        self._inputs.clear()
