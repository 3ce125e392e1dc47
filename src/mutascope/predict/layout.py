"""Several texts as one sequence of positions: what they begin with in common stands once, then the rest of each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from mutascope.engine.activation_cache import common_beginning

Index = slice | Tensor
"""Positions: a slice where they are neighbours, int64 on the CPU otherwise."""


@dataclass(frozen=True)
class Layout:
    """Where the tokens of the texts stand.

    Attributes:
        tokens: of all positions.
        shared: number of positions that all texts share.
        starts: first position of the rest of each text, ascending, and the number of positions.
    """

    tokens: tuple[int, ...]
    shared: int
    starts: tuple[int, ...]

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], *, share: bool = True) -> Layout:
        """Lay texts (token ids) out; without ``share`` one after the other."""
        shared = common_beginning(texts) if share and len(texts) > 1 else 0
        tokens, starts = list(texts[0][:shared]), [shared]
        for text in texts:
            tokens += text[shared:]
            starts.append(len(tokens))
        return cls(tuple(tokens), shared, tuple(starts))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def longest(self) -> int:
        """Length of the longest text."""
        return self.shared + max(b - a for a, b in pairwise(self.starts))

    def position(self, text: int, place: int) -> int:
        """Return the position of the token at ``place`` of a text, which is not one of the shared ones."""
        return self.starts[text] + place - self.shared

    def places(self) -> Tensor:
        """Return the place of every position in its own text, int64 [positions]."""
        places = torch.arange(len(self))
        for start, stop in zip(self.starts, self.starts[1:], strict=False):
            places[start:stop] -= start - self.shared
        return places

    def owners(self) -> Tensor:
        """Return the text of every position, -1 for the shared ones, int64 [positions]."""
        owners = torch.full((len(self),), -1)
        for text, (start, stop) in enumerate(pairwise(self.starts)):
            owners[start:stop] = text
        return owners

    def seen(self, window: int) -> Tensor:
        """Return which positions a position attends to, bool [positions, positions]."""
        places, owners = self.places(), self.owners()
        back = places[:, None] - places
        return (back >= 0) & (back < window) & ((owners == owners[:, None]) | (owners == -1))


class Reach:
    """Which targets can see which positions.

    Args:
        layout: of the texts.
        targets: position of every target, ascending, none of them a shared one where there are several texts.
    """

    def __init__(self, layout: Layout, targets: Sequence[int]) -> None:
        self.layout, self._targets = layout, list(targets)
        bounds = [bisect_left(self._targets, start) for start in layout.starts]
        self._owned = [slice(*pair) for pair in pairwise(bounds)]

    def blocks(self, size: int) -> Iterator[tuple[slice, Index]]:
        """Yield at most ``size`` targets of one text, and the positions that they see."""
        for owned, start in zip(self._owned, self.layout.starts, strict=False):
            for first in range(owned.start, owned.stop, size):
                some = slice(first, min(first + size, owned.stop))
                yield some, self._up_to(start, self._targets[some.stop - 1])

    def chunks(self, positions: Tensor, size: int) -> Iterator[tuple[Index, Index, slice]]:
        """Yield positions, what they see and who can see them, a few at a time.

        Args:
            positions: ascending, int64, on the CPU.
            size: of a chunk at most; its positions are all shared, or all of one text.
        """
        starts = [0, *self.layout.starts]
        bounds = torch.searchsorted(positions, torch.tensor(starts)).tolist()
        owned = [slice(0, len(self._targets)), *self._owned]
        for whose, start, first, last in zip(owned, starts, bounds, bounds[1:], strict=False):
            for begin in range(first, last, size):
                some = positions[begin : min(begin + size, last)]
                blind = bisect_left(self._targets[whose], int(some[0]))
                yield (
                    _compact(some),
                    self._up_to(start, int(some[-1])),
                    slice(whose.start + blind, whose.stop),
                )

    def _up_to(self, start: int, last: int) -> Index:
        """Return the shared positions and those from ``start`` to ``last``, or to ``last`` where that is shared."""
        if start == 0 or start == self.layout.shared:
            return slice(0, last + 1)
        return torch.cat([torch.arange(self.layout.shared), torch.arange(start, last + 1)])


def _compact(positions: Tensor) -> Index:
    first, last = int(positions[0]), int(positions[-1])
    return slice(first, last + 1) if last - first == len(positions) - 1 else positions
