"""What the unmodified network computes on a text, which mutants see below the layer that they are mutated in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, whole_blocks
from mutascope.engine.edits import Edits


class ActivationCache:
    """Inputs of layers, keys and values of the unmodified network on a text.

    What a text has in common with a parent that it branches off from is the parent's, and not kept twice.

    Attributes:
        start: tokens of the prompt.
        tokens: generated token ids.
        fed: prompt and generated tokens, but for the last of these, from which nothing is read.
        fork: position of the first token that is not the parent's; 0 where there is no parent.

    Args:
        decoder: of the network.
        prompt: token ids.
        tokens: generated token ids.
        parent: on a text with the same beginning, with all layers run that this one is to run.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompt: Sequence[int],
        tokens: Sequence[int] = (),
        parent: ActivationCache | None = None,
    ) -> None:
        self.decoder, self.parent = decoder, parent
        self.prompt, self.start, self.tokens = tuple(prompt), len(prompt), tuple(tokens)
        self.fed = (*self.prompt, *self.tokens[:-1])
        self.fork = common_length(parent.fed, self.fed) if parent else 0
        self._places = decoder.places(self.fork, len(self.fed))
        self._base = whole_blocks(self.fork + 1) - whole_blocks(1)  # of the block that the fork lies in
        fed = decoder.indices([self.fed[self.fork :]])
        self._inputs = {0: decoder.embed(fed, self._places)}
        self._keys_values: list[Tensor] = []

    @property
    def nbytes(self) -> int:
        """What is kept, in bytes."""
        return sum(tensor.nbytes for tensor in (*self._inputs.values(), *self._keys_values))

    @property
    def depth(self) -> int:
        """Layers that were run."""
        return len(self._keys_values)

    def extend(self, layers: Iterable[int]) -> None:
        """Run the network up to the deepest of ``layers``, and keep the inputs of these and of the deepest so far.

        The input of the final norm is that of one above the last layer.
        """
        missing = set(layers) - set(self._inputs)
        if not missing:
            return
        begin = max(layer for layer in self._inputs if layer <= min(missing))
        hidden, none = self._inputs[begin], Edits()
        room = self.decoder.new_cache(1, self._places.stop)[0]
        for layer in range(begin, max(missing)):
            if self.parent:
                known = self.parent.keys_values(layer, self.fork)
                room[:, 0, :, : known.shape[2]] = known
            hidden = self.decoder.layer(layer, hidden, none, room, self._places)
            if layer == self.depth:
                self._keys_values.append(room[:, 0, :, self._base :].clone())
            if layer + 1 in missing:
                self._inputs[layer + 1] = hidden

    def extend_fully(self) -> ActivationCache:
        """Run all layers and keep all inputs, that of the final norm included; return itself."""
        self.extend(range(len(self.decoder.layers) + 1))
        return self

    def inputs(self, layer: int, begin: int, end: int) -> Tensor:
        """Return the input of a layer at some positions, [positions, hidden]."""
        self.extend([layer])
        own = self._inputs[layer][0, max(0, begin - self.fork) : max(0, end - self.fork)]
        if self.parent is None or begin >= self.fork:
            return own
        return torch.cat([self.parent.inputs(layer, begin, min(end, self.fork)), own])

    def keys_values(self, layer: int, end: int) -> Tensor:
        """Return keys and values of a layer that was run before position ``end``, in whole blocks.

        Returns:
            [2, n_kv_heads, positions, head_dim].
        """
        if self.parent and end <= self._base:
            return self.parent.keys_values(layer, end)
        own = self._keys_values[layer][:, :, : whole_blocks(end) - self._base]
        return torch.cat([self.parent.keys_values(layer, self._base), own], dim=2) if self.parent else own

    def drop_inputs(self) -> None:
        """Free the inputs of all layers."""
        self._inputs.clear()

    def drop_keys_values(self) -> None:
        """Free keys and values: no text branches off from here, and no row goes on from here."""
        self._keys_values.clear()


def common_length(*texts: Sequence[object]) -> int:
    """Return how many items, tokens say, all sequences begin with alike.

    >>> common_length([1, 2, 3], [1, 2, 4, 3])
    2
    """
    columns = enumerate(zip(*texts, strict=False))
    return next((at for at, items in columns if items.count(items[0]) < len(items)), min(map(len, texts)))


def common_beginning(texts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all texts begin with, at least one of each left over.

    >>> common_beginning([[5, 1, 2, 3], [5, 1, 4], [5, 1, 2]])
    2
    """
    return min(common_length(*texts), min(map(len, texts)) - 1)


def runs_alike(texts: Sequence[Sequence[int]]) -> list[range]:
    """Return runs of consecutive texts that begin alike, such as the questions of a subject, which share its examples.

    A text begins a run when it has less in common with the one before than half of what it has in common with the next,
    or than half of what the run has in common.

    >>> runs_alike([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 7, 8, 9, 5], [1, 7, 8, 9, 6]])
    [range(0, 2), range(2, 4)]
    """
    common = [common_length(a, b) for a, b in pairwise(texts)]
    starts, shared = [0], None
    for index, (before, after) in enumerate(zip(common, [*common[1:], 0], strict=False), 1):
        if 2 * before < max(after, shared or 0):
            starts.append(index)
            shared = None
        else:
            shared = before if shared is None else min(shared, before)
    return [range(start, stop) for start, stop in pairwise([*starts, len(texts)])]
