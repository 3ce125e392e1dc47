"""chrF: equal to sacrebleu's, whatever the texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF

from mutascope.analysis.chrf import chrf_scores

FEW_LETTERS = st.text(alphabet="ab é\n\U0001f600", max_size=30)


@given(texts=st.lists(FEW_LETTERS | st.text(max_size=20), min_size=1, max_size=6), reference=FEW_LETTERS)
def test_scores_are_those_of_sacrebleu(texts: list[str], reference: str):
    expected = [CHRF().sentence_score(text, [reference]).score for text in texts]

    assert chrf_scores(texts, reference) == pytest.approx(expected, abs=1e-9)


def test_by_hand():
    # Reference "abc", text "abd". Order 1: 2 of 3 in common both ways; order 2: "ab" of 2; order 3: 0 of 1; higher
    # orders do not count. P = R = (2/3 + 1/2 + 0) / 3, so chrF is 100 P.
    assert chrf_scores(["abd"], "abc") == pytest.approx([100 * (2 / 3 + 1 / 2) / 3])


def test_recall_weighs_four_times_as_much():
    # Text "aa" against "a": P = 1/2, R = 1; F = 5 P R / (4 P + R) = 2.5 / 3.
    assert chrf_scores(["aa"], "a") == pytest.approx([100 * 2.5 / 3])


def test_more_texts_than_a_batch_keep_their_order():
    texts = ["wild type" if index % 7 == 0 else f"{index}" for index in range(4500)]
    scores = chrf_scores(texts, "wild type")
    assert (np.flatnonzero(scores > 99) == np.arange(0, 4500, 7)).all()


def test_without_a_text_or_a_reference():
    assert chrf_scores([], "wild").shape == (0,)
    assert chrf_scores(["", "text"], "").tolist() == [0, 0]
    assert chrf_scores(["", " \n"], "wild").tolist() == [0, 0]
