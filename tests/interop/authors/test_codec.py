"""Names and escapes of the authors' files."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutascope import MutascopeError
from mutascope.interop.authors.codec import (
    Answers,
    escape_answers,
    escape_text,
    matrix_locus,
    matrix_name,
    unescape_answers,
    unescape_text,
)


@pytest.mark.parametrize(
    "name, locus",
    [
        ("model.layers.12.self_attn.v_proj.weight", (12, "v")),
        ("model.layers.0.mlp.gate_proj.weight", (0, "gate")),
        ("layers.3.mlp.down_proj.weight", (3, "down")),
    ],
)
def test_matrix_names(name: str, locus: tuple[int, str]):
    assert matrix_locus(name) == locus
    assert name.endswith(matrix_name(*locus).removeprefix("model."))


@pytest.mark.parametrize(
    "name", ["lm_head.weight", "model.layers.1.mlp.v_proj.weight", "layers.x.mlp.up_proj.weight", ""]
)
def test_other_names_are_no_matrices(name: str):
    with pytest.raises(MutascopeError, match="is no matrix of a Llama-like model"):
        matrix_locus(name)


def test_kinds_without_a_name():
    with pytest.raises(MutascopeError, match=r"no name for 2\.router"):
        matrix_name(2, "router")


def test_escapes_by_hand():
    assert escape_text("naïve 🙂\n") == "naord(239)ve ord(128578)\n"
    assert unescape_text("naord(239)ve ord(128578)\n") == "naïve 🙂\n"
    # What the script never writes stays as it is: ASCII, leading zeros, surrogates, numbers beyond Unicode.
    same = "ord(65) ord(0239) ord(55296) ord(1114112) ord() ord(x) ord239"
    assert unescape_text(same) == same


@given(st.text())
def test_only_a_literal_escape_is_read_differently(text: str):
    if unescape_text(text) == text:
        assert unescape_text(escape_text(text)) == text
    assert escape_text(text).isascii()


@given(st.text(alphabet=st.sampled_from("ord()0123456789 é")))
def test_two_texts_of_a_file_never_become_one(raw: str):
    if raw.isascii():
        assert escape_text(unescape_text(raw)) == raw


def test_answers_by_hand():
    raw = "A| | B| |^n| |ord9679| |right: 12|3 wrong: 2|4 total: 15|6|21"
    answers = unescape_answers(raw)
    assert answers.answers == ("A", "B", "", "●")
    assert answers.score == 15
    assert answers.text == "A\nB\n\n●"
    assert (answers.kept, answers.gained) == (12, 3)
    assert escape_answers(Answers(("A", "", "●"), 1)) == "A| || |ord9679| |right: -|- wrong: -|- total: 1|2|3"
    assert (
        escape_answers(Answers(("A", "B"), 1, 0, 1), (1, 1)) == "A| |B| |right: 0|1 wrong: 1|0 total: 1|1|2"
    )
    assert unescape_answers(escape_answers(Answers(("A",), None))) == Answers(("A",), None)


SAFE = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="|^o")


@given(st.lists(st.text(SAFE, max_size=4), min_size=1, max_size=21), st.none() | st.just(0) | st.just(1))
def test_answers_survive(answers: list[str], score: int | None):
    stripped = [" ".join(answer.split()) for answer in answers]
    if any(c.isdigit() and not d.isascii() for a in stripped for d, c in pairwise(a)):
        return  # a digit after an escaped character is taken as part of its number
    found = Answers(tuple(stripped), score)
    assert unescape_answers(escape_answers(found)) == found


@pytest.mark.parametrize("raw", ["", "A", "A| |B", "right: 1|1 wrong: 1|1 total: 2|2|4", "A| |right: total:"])
def test_what_is_no_answers(raw: str):
    with pytest.raises(MutascopeError, match="answers and a tally"):
        unescape_answers(raw)
