"""The quality of outputs, by hand."""

from collections.abc import Mapping, Sequence

import polars as pl
import pytest

from mutascope.analysis.quality import MEASURES, familiar_words, measured_outputs, mutant_quality
from mutascope.core.schema import MUTANT_KEY

KNOWN = set("once upon a time there was king and the queen slept".split())  # noqa: SIM905


def quality(text):
    outputs = pl.DataFrame({"continuation": [text]}, schema={"continuation": pl.String})
    return measured_outputs(outputs, KNOWN).row(0, named=True)


def test_words_are_familiar_or_not():
    assert quality("The king hatches an egg")["familiar"] == pytest.approx(2 / 5)
    assert quality("THE (king)! 12")["familiar"] == 1


def test_runs_of_three_words_are_distinct():
    assert quality("a b c a b c a")["distinct"] == pytest.approx(3 / 5)  # abc bca cab abc bca
    assert quality("a a a a")["distinct"] == pytest.approx(1 / 2)
    assert quality("a b")["distinct"] == 1


@pytest.mark.parametrize(
    "text, coherent",
    [
        ("Once upon a time there was a queen", True),
        ("Once upon a time there was", False),  # too short
        ("the king the king the king the king the king", False),  # repeats
        ("once upon a time xq zz vv ww yy", False),  # four of nine words are known
        ("", False),
        (None, False),
    ],
)
def test_coherent(text, coherent):
    found = quality(text)
    assert found["coherent"] is coherent
    assert set(found) == set(MEASURES)
    if not text:
        assert (found["distinct"], found["familiar"]) == (1, 0)


def outputs_of(texts: Mapping[int, Sequence[str | None]]) -> pl.DataFrame:
    rows = [(0, "v", row, 0, "max", n, text) for row, some in texts.items() for n, text in enumerate(some)]
    return pl.DataFrame(rows, schema=[*MUTANT_KEY, "prompt", "continuation"], orient="row")


def test_a_familiar_word_is_written_by_two_others():
    panel = pl.DataFrame({"text": ["Say egg:", "Say fly:"], "continuation": ["larva", "pupa"]})
    texts = {
        0: ["larva moth", "moth"],
        1: ["larva", "Moth wing"],
        2: ["leg leg leg", "moth"],
        3: [None, "wing"],
    }
    # larva: the wild type and two mutants; moth: three mutants; wing: two; leg and pupa: one
    assert familiar_words(outputs_of(texts), panel) == {"say", "egg:", "fly:", "larva", "moth"}


def test_among_many_it_takes_one_in_a_hundred():
    panel = pl.DataFrame({"text": [""], "continuation": [""]})
    texts = {row: ["many few" if row < 3 else "many" if row < 4 else "own"] for row in range(300)}
    assert familiar_words(outputs_of(texts), panel) == {"many", "own"}  # 4 and 296 of 300; few: 3


def test_of_a_mutant_it_is_the_mean_over_its_outputs():
    found = mutant_quality(measured_outputs(outputs_of({1: ["the king", None]}), KNOWN))
    assert found.rows() == [(0, "v", 1, 0, "max", 0.0, 1.0, 0.5)]
