"""The texts that divergent mutants have written, by what they begin with: most mutants write one that is there."""

from __future__ import annotations

from collections.abc import Container, Iterable, MutableMapping, Sequence
from weakref import WeakSet, WeakValueDictionary

from mutascope.engine.activation_cache import ActivationCache, common_length
from mutascope.engine.decoder import Decoder
from mutascope.engine.rows import Row

_TEXTS = 4096
"""Texts of a prompt that are remembered; when there are more, the rarer half is forgotten."""
_PROMPTS = 4
"""Prompts that have room for as many."""

Text = tuple[int, tuple[int, ...]]
"""Index of a prompt, and what was generated from it."""


class PrefixTree:
    """Texts by how often they were written, and the unmodified network on those that mutants follow.

    Args:
        decoder: of the network.
        wild: tokens of the wild type, by prompt.
        most: bytes that the network's activations may take, but for those of one text; the longest unused go first.
        worth: mutants that must have written a text, and that must wait for it, before the network is run on it.
        keeps: whether activations are kept when no row needs them.
    """

    def __init__(
        self, decoder: Decoder, wild: Sequence[Sequence[int]], most: int, worth: int, *, keeps: bool = True
    ) -> None:
        self.decoder, self.wild, self.most, self.worth = decoder, wild, most, worth
        self._limit = _TEXTS * min(len(wild), _PROMPTS)
        self._counts: dict[Text, int] = {}
        self._texts: dict[Text, list[Text]] = {}
        self._keeps = keeps
        self._branches: MutableMapping[Text, ActivationCache] = {} if keeps else WeakValueDictionary()
        self._alive: WeakSet[ActivationCache] = WeakSet()  # rows that have left a text still need it

    def add(self, row: Row) -> None:
        """Note the text that a divergent mutant has written."""
        text = _text(row)
        if text not in self._counts:
            self._texts.setdefault(self._beginning(text), []).append(text)
        self._counts[text] = self._counts.get(text, 0) + 1
        if len(self._counts) > self._limit:
            common_first = sorted(self._counts, key=self._counts.__getitem__, reverse=True)
            self._counts = {text: self._counts[text] for text in common_first[: self._limit // 2]}
            self._texts = {}
            for text in self._counts:
                self._texts.setdefault(self._beginning(text), []).append(text)

    def follow(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows that may follow a text, with that as their text: those of a text side by side.

        A row follows the commonest text that begins with its tokens, if that is common enough.
        """
        followers: dict[Text, list[Row]] = {}
        for row in rows:
            text = self._commonest(_text(row))
            if text is not None:
                followers.setdefault(text, []).append(row)
        chosen = []
        for text, some in followers.items():
            branch = self._branches.pop(text, None)
            worth = min(len(some), self._counts[text]) >= self.worth
            if branch is None and worth and self._has_room(besides=followers):
                wild = some[0].text.parent or some[0].text
                branch = ActivationCache(self.decoder, wild.prompt, text[1], wild)
                self._alive.add(branch)
            if branch is not None:
                self._branches[text] = branch
                branch.extend(row.layer for row in some)
                for row in some:
                    row.text = branch
                chosen += some
        return chosen

    def _has_room(self, besides: Container[Text]) -> bool:
        """Whether there is room for another text, once the longest unused ones but for some are forgotten."""
        unused = [text for text in self._branches if self._keeps and text not in besides]
        while (full := sum(branch.nbytes for branch in self._alive) > self.most) and unused:
            del self._branches[unused.pop(0)]
        return not full

    def _commonest(self, beginning: Text) -> Text | None:
        _, tokens = beginning
        texts = [
            text
            for text in self._texts.get(self._beginning(beginning), [])
            if text[1][: len(tokens)] == tokens and len(text[1]) > len(tokens)
        ]
        return max(texts, key=self._counts.__getitem__, default=None)

    def _beginning(self, text: Text) -> Text:
        """Return a text's tokens up to the first that is not the wild type's."""
        index, tokens = text
        return index, tokens[: common_length(self.wild[index], tokens) + 1]


def _text(row: Row) -> Text:
    return row.asked.index, tuple(row.tokens)
