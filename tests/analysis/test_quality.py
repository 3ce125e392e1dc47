"""The quality of outputs, by hand."""

import polars as pl
import pytest

from mutascope.analysis.quality import measured_outputs, mutant_quality, output_quality
from mutascope.core.schema import MUTANT_KEY

PANEL = pl.DataFrame(
    {
        "prompt": [0, 1],
        "text": ["The egg and the fly", "Once upon a time"],
        "continuation": ["hatches into a larva", "there was a king, and the queen slept."],
    },
    schema_overrides={"prompt": pl.Int32},
)


def quality(text, prompt=0):
    types = {"prompt": pl.Int32, "continuation": pl.String}
    outputs = pl.DataFrame({"prompt": [prompt], "continuation": [text]}, schema=types)
    return output_quality(outputs, PANEL).row(0, named=True)


def test_words_are_familiar_that_occur_at_another_prompt():
    # of prompt 0 known: once upon a time there was king and the queen slept; egg, fly, hatches are its own
    assert quality("The king hatches an egg")["familiar"] == pytest.approx(2 / 5)
    assert quality("The king hatches an egg", prompt=1)["familiar"] == pytest.approx(3 / 5)
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
    if not text:
        assert (found["distinct"], found["familiar"]) == (1, 0)


def test_of_a_mutant_it_is_the_mean_over_its_outputs():
    rows = [(0, "v", 1, 2, "max", prompt, text) for prompt, text in enumerate(["the king", None])]
    outputs = pl.DataFrame(rows, schema=[*MUTANT_KEY, "prompt", "continuation"], orient="row")
    found = mutant_quality(measured_outputs(outputs.cast({"prompt": pl.Int32}), PANEL))
    assert found.rows() == [(0, "v", 1, 2, "max", 0.0, 1.0, 0.5)]
