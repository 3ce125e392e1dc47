"""Which words are in which phenotypes: an index in pieces, of which a browser fetches those that a search needs."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable

import numpy as np

from mutascope.explorer.packing import pack

LETTERS = 40
"""Of a longer word, so many letters count."""
PIECE = 2**16
"""Places in a piece of the index, at least, but for the last piece."""
_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case: letters and digits, cut to ``LETTERS``."""
    return [word[:LETTERS] for word in _WORD.findall(text.lower())]


def word_index(texts: Iterable[str | None]) -> tuple[list[str], list[bytes]]:
    """Return an index of the words of texts.

    Args:
        texts: by number; None has no word.

    Returns:
        The first word of every piece; and the pieces, packed: ``words`` in order, and for word i the numbers of the
        texts that have it, in order, as ``start[i]`` to ``start[i + 1]`` of the running sum (modulo 2^32) of ``steps``.
    """
    places: dict[str, array[int]] = {}
    for number, text in enumerate(texts):
        for word in set(words_of(text or "")):
            places.setdefault(word, array("I")).append(number)
    first, pieces, held, size = [], [], [], 0
    words = sorted(places, key=_order)
    for word in words:
        held.append(word)
        size += len(places[word])
        if size >= PIECE or word == words[-1]:
            first.append(held[0])
            pieces.append(_packed({word: places.pop(word) for word in held}))
            held, size = [], 0
    return first, pieces


def _order(word: str) -> bytes:
    """What words are ordered by, here and by a browser: their UTF-16 code units."""
    return word.encode("utf-16-be", "surrogatepass")


def _packed(places: dict[str, array[int]]) -> bytes:
    numbers = np.concatenate([np.frombuffer(each, np.uint32) for each in places.values()])
    start = np.cumsum([0, *map(len, places.values())])
    steps = np.diff(numbers, prepend=np.uint32(0)).astype(np.uint32)
    return pack({"start": start.astype(np.uint32), "steps": steps}, words=list(places))
