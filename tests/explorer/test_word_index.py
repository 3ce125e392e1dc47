from hypothesis import given
from hypothesis import strategies as st

from mutascope.explorer import words
from mutascope.explorer.words import texts_with, word_index, words_of

texts = st.lists(st.none() | st.text("abc ü.\u05e9", max_size=30), max_size=12)


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
