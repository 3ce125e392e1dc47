from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mutascope.explorer import words
from mutascope.explorer.packing import unpack
from mutascope.explorer.words import word_index, words_of

texts = st.lists(st.none() | st.text("abc ü.\u05e9", max_size=30), max_size=12)


def texts_with(query: str, first: Sequence[str], pieces: Sequence[bytes]) -> set[int] | None:
    """The numbers of the texts that have every word of a query, as the page does it; None without a word.

    A word of three letters or more stands for all that begin with it.
    """
    found = None
    for word in words_of(query):
        mine = _with_word(word, first, pieces)
        found = mine if found is None else found & mine
    return found


def _with_word(word: str, first: Sequence[str], pieces: Sequence[bytes]) -> set[int]:
    last = word + "\uffff" if len(word) > 2 else word
    found: set[int] = set()
    begins = max(bisect_right(first, words._order(word), key=words._order) - 1, 0)
    for piece in pieces[begins : bisect_right(first, words._order(last), key=words._order)]:
        facts, arrays = unpack(piece)
        numbers = np.cumsum(arrays["steps"], dtype=np.uint32)
        for place, other in enumerate(facts["words"]):
            if other == word or (len(word) > 2 and other.startswith(word)):
                found.update(numbers[arrays["start"][place] : arrays["start"][place + 1]].tolist())
    return found


@given(texts, st.text("abc ü", max_size=6), st.integers(1, 9))
def test_what_is_found_has_every_word_that_is_asked_for(said, query, piece):
    kept, words.PIECE = words.PIECE, piece
    try:
        first, pieces = word_index(said)
    finally:
        words.PIECE = kept
    found = texts_with(query, first, pieces)
    if not words_of(query):
        assert found is None
        return
    assert found == {
        number
        for number, text in enumerate(said)
        if all(
            any(other == word or (len(word) > 2 and other.startswith(word)) for other in words_of(text or ""))
            for word in words_of(query)
        )
    }


def test_no_text_is_no_index():
    assert word_index([None, ""]) == ([], [])


def test_long_words_are_cut():
    assert words_of("A" * 100_000) == ["a" * words.LETTERS]
