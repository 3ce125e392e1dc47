"""The texts that divergent mutants have written: most mutants write one that another wrote before."""

from __future__ import annotations

from collections.abc import Container, Sequence
from weakref import WeakSet

from mutascope.engine.decoder import Decoder
from mutascope.engine.trace import Branch, Row, Trace, common

_TEXTS = 4096
"""Texts that are remembered; when there are more, the rarer half is forgotten."""
_WORTH = 3
"""Mutants that must have written a text, and that must wait for it, before the network is run on it."""


class Library:
    """Texts by how often they were written, and the unmodified network on those that mutants follow.

    Args:
        decoder: of the network.
        wild: the wild type.
        most: bytes that the network's states on texts may take, but for those of one text; the longest unused go first.
    """

    def __init__(self, decoder: Decoder, wild: Trace, most: int) -> None:
        self.decoder, self.wild, self.most = decoder, wild, most
        self._counts: dict[tuple[int, ...], int] = {}
        self._texts: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        self._branches: dict[tuple[int, ...], Branch] = {}
        self._alive: WeakSet[Branch] = WeakSet()  # rows that have left a text still need it

    def add(self, tokens: Sequence[int]) -> None:
        """Note that a divergent mutant has written a text."""
        text = tuple(tokens)
        if text not in self._counts:
            self._texts.setdefault(self._beginning(text), []).append(text)
        self._counts[text] = self._counts.get(text, 0) + 1
        if len(self._counts) > _TEXTS:
            common_first = sorted(self._counts, key=self._counts.__getitem__, reverse=True)
            self._counts = {text: self._counts[text] for text in common_first[: _TEXTS // 2]}
            self._texts = {}
            for text in self._counts:
                self._texts.setdefault(self._beginning(text), []).append(text)

    def follow(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that may follow a text, with that as their text: those of a text side by side.

        A row follows the commonest text that begins with its tokens, if that is common enough.
        """
        followers: dict[tuple[int, ...], list[Row]] = {}
        for row in rows:
            text = self._commonest(tuple(row.tokens))
            if text is not None:
                followers.setdefault(text, []).append(row)
        chosen = []
        for text, some in followers.items():
            branch = self._branches.pop(text, None)
            worth = min(len(some), self._counts[text]) >= _WORTH
            if branch is None and worth and self._has_room(besides=followers):
                branch = Branch(self.decoder, self.wild, text)
                self._alive.add(branch)
            if branch is not None:
                self._branches[text] = branch
                branch.extend(row.layer for row in some)
                for row in some:
                    row.text = branch
                chosen += some
        return chosen

    def _has_room(self, besides: Container[tuple[int, ...]]) -> bool:
        """Whether there is room for another text, once the longest unused ones but for some are forgotten."""
        unused = [text for text in self._branches if text not in besides]
        while (full := sum(branch.nbytes for branch in self._alive) > self.most) and unused:
            del self._branches[unused.pop(0)]
        return not full

    def _commonest(self, tokens: tuple[int, ...]) -> tuple[int, ...] | None:
        texts = [
            text
            for text in self._texts.get(self._beginning(tokens), [])
            if text[: len(tokens)] == tokens and len(text) > len(tokens)
        ]
        return max(texts, key=self._counts.__getitem__, default=None)

    def _beginning(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """Return a text's tokens up to the first that is not the wild type's."""
        return tokens[: common(self.wild.tokens, tokens) + 1]
