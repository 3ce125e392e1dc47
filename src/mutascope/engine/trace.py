"""A mutant on its way, and the texts that it is verified against: the wild type's and those of other mutants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mutascope.core.genome import Mutant
from mutascope.engine.decoder import Decoder, whole_blocks
from mutascope.engine.edits import Edit, Edits


@dataclass(eq=False)
class Row:
    """A mutant on its way.

    Attributes:
        mutant: which.
        layer: the lowest that is its own; below, it sees what the unmodified network sees.
        edit: what it computes otherwise; None for the wild type.
        text: what it was last verified against, and shares its tokens with, up to the last.
        tokens: what it has picked so far.
        finite: whether all of its logits were.
        values: what was measured along the wild type's continuation.
        seen: keys and values of what it was fed, from its own layer upwards, while it waits,
            [layers, 2, n_kv_heads, positions, head_dim].
    """

    mutant: Mutant
    layer: int
    edit: Edit | None
    text: Trace | Branch
    tokens: list[int] = field(default_factory=list)
    finite: bool = True
    values: Mapping[str, float | None] = field(default_factory=dict)
    seen: Tensor | None = None

    def take(self, token: int) -> None:
        """Append the token that it picks; -1 is of logits that are not finite."""
        if token < 0:
            self.finite = False
        else:
            self.tokens.append(token)

    def take_seen(self) -> Tensor:
        """Return :attr:`seen` and forget it."""
        seen, self.seen = self.seen, None
        assert seen is not None, "only rows that wait have seen"
        return seen


class Trace:
    """The wild type in one prompt.

    Attributes:
        tokens: generated token ids.
        cache: keys and values, [layers, 2, 1, n_kv_heads, positions, head_dim]. The last generated token has
            none, as nothing is read from it.
    """

    def __init__(self, decoder: Decoder, prompt: Sequence[int], tokens: Sequence[int]) -> None:
        self.tokens = tuple(tokens)
        self.start = len(prompt)
        fed = torch.tensor([*prompt, *self.tokens[:-1]])
        self.cache = decoder.new_cache(1, len(fed))
        places, none = decoder.places(0, len(fed)), Edits()
        self._inputs = [decoder.embed(fed[None], places)]
        for index, cache in enumerate(self.cache):
            self._inputs.append(decoder.layer(index, self._inputs[index], none, cache, places))

    def hidden(self, layer: int) -> Tensor:
        """Return the input of a layer (of the final norm, one above the last), [positions, hidden]."""
        return self._inputs[layer][0]

    def inputs(self, layer: int, begin: int, end: int) -> Tensor:
        """Return the input of a layer at some positions, [positions, hidden]."""
        return self._inputs[layer][0, begin:end]

    def memory(self, layer: int, end: int) -> Tensor:
        """Return keys and values of a layer before position ``end``, [2, n_kv_heads, whole blocks, head_dim]."""
        return self.cache[layer][:, 0, :, : whole_blocks(end)]

    def forget_states(self) -> None:
        """Free the hidden states; keys and values stay."""
        self._inputs.clear()


class Branch:
    """The unmodified network on a text that leaves the wild type's; what it has in common with it is not kept twice.

    Attributes:
        tokens: generated token ids.
        fork: position of the first token that is not the wild type's.
    """

    def __init__(self, decoder: Decoder, wild: Trace, tokens: Sequence[int]) -> None:
        self.decoder, self.wild, self.tokens = decoder, wild, tuple(tokens)
        shared = common(wild.tokens, tokens)
        self.fork = wild.start + shared
        fed = torch.tensor(self.tokens[shared:-1], dtype=torch.long)
        self._places = decoder.places(self.fork, self.fork + len(fed))
        self._base = whole_blocks(self.fork + 1) - whole_blocks(1)  # of the block that the fork lies in
        self._inputs = {0: decoder.embed(fed[None], self._places)}
        self._memory: list[Tensor] = []

    @property
    def nbytes(self) -> int:
        """What is kept, in bytes."""
        return sum(tensor.nbytes for tensor in (*self._inputs.values(), *self._memory))

    @property
    def depth(self) -> int:
        """Layers that were run."""
        return len(self._memory)

    def extend(self, layers: Iterable[int]) -> None:
        """Run the network up to the deepest of ``layers``, and keep the inputs of these and of the deepest so far."""
        wanted = set(layers)
        missing = wanted - set(self._inputs)
        if not missing:
            return
        begin = max(layer for layer in self._inputs if layer <= min(missing))
        hidden, none = self._inputs[begin], Edits()
        room = self.decoder.new_cache(1, self._places.stop)[0]
        for layer in range(begin, max(wanted)):
            known = self.wild.memory(layer, self.fork)
            room[:, 0, :, : known.shape[2]] = known
            hidden = self.decoder.layer(layer, hidden, none, room, self._places)
            if layer == self.depth:
                self._memory.append(room[:, 0, :, self._base :].clone())
            if layer + 1 in wanted:
                self._inputs[layer + 1] = hidden

    def inputs(self, layer: int, begin: int, end: int) -> Tensor:
        """Return the input of a layer at some positions from the fork on, [positions, hidden]."""
        self.extend([layer])
        return self._inputs[layer][0, begin - self.fork : end - self.fork]

    def memory(self, layer: int, end: int) -> Tensor:
        """Return keys and values of a layer that was run, as :meth:`Trace.memory` does."""
        if end <= self._base:
            return self.wild.memory(layer, end)
        own = self._memory[layer][:, :, : whole_blocks(end) - self._base]
        return torch.cat([self.wild.memory(layer, self._base), own], dim=2)


def common(one: Sequence[object], other: Sequence[object]) -> int:
    """Return how many items, tokens say, two sequences begin with alike.

    >>> common([1, 2, 3], [1, 2, 4, 3])
    2
    """
    pairs = zip(one, other, strict=False)
    return next((at for at, (mine, yours) in enumerate(pairs) if mine != yours), min(len(one), len(other)))
