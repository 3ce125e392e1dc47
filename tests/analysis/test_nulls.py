"""Adjusted p-values within families, and the Poisson-binomial tail against enumeration and the binomial."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from mutascope.analysis.nulls import padded, poisson_binomial_tail, q_values


def test_q_values_by_hand():
    frame = pl.DataFrame({"p": [0.04, 0.01, None, 0.03, 1.0]})
    # by rank of four tests: 0.01 * 4, 0.03 * 4 / 2, 0.04 * 4 / 3 (below it), 1
    assert q_values(frame)["q"].to_list() == [
        pytest.approx(0.04 * 4 / 3),
        pytest.approx(0.04),
        None,
        pytest.approx(0.04 * 4 / 3),
        1.0,
    ]


def test_families_are_corrected_each_on_its_own_and_rows_stay_in_place():
    frame = pl.DataFrame({"axis": list("abab"), "p": [0.02, 0.5, 0.04, 0.01]})
    found = q_values(frame, ["axis"])
    assert found.columns == ["axis", "p", "q"]
    assert found["p"].to_list() == frame["p"].to_list()
    assert found["q"].to_list() == [pytest.approx(v) for v in (0.04, 0.5, 0.04, 0.02)]


def test_no_test_has_no_q():
    empty = pl.DataFrame(schema={"axis": pl.String, "p": pl.Float64})
    for family in ([], ["axis"]):
        assert q_values(empty, family).schema["q"] == pl.Float64
    assert q_values(pl.DataFrame({"p": [None]}, schema={"p": pl.Float64}))["q"].to_list() == [None]


@given(npst.arrays(float, 5, elements=st.floats(0, 1)), st.integers(0, 5))
def test_the_tail_is_that_of_all_outcomes(chances, hits):
    total = 0.0
    for outcome in itertools.product([0, 1], repeat=5):
        if sum(outcome) >= hits:
            total += np.prod([c if o else 1 - c for c, o in zip(chances, outcome, strict=True)])
    assert poisson_binomial_tail(np.array([hits]), chances[None])[0] == pytest.approx(
        min(total, 1), abs=1e-12
    )


def test_the_tail_of_equal_chances_is_binomial_down_to_tiny_values():
    chances = np.zeros((3, 60))
    chances[0, :60], chances[1, :10], chances[2, 20:] = 0.01, 0.9, 0.5
    hits = np.array([50, 10, 0])
    expected = [stats.binom.sf(49, 60, 0.01), 0.9**10, 1]
    assert expected[0] < 1e-85
    np.testing.assert_allclose(poisson_binomial_tail(hits, chances), expected, rtol=1e-9)


def test_no_trial_and_no_line():
    assert poisson_binomial_tail(np.array([0, 1]), np.zeros((2, 0))).tolist() == [1, 0]
    assert poisson_binomial_tail(np.array([], dtype=int), np.zeros((0, 3))).shape == (0,)


def test_lists_of_unequal_length_are_filled_up():
    lists = pl.Series([[0.5], [0.1, 0.2, 0.3], [0.4, 0.6]])
    assert padded(lists).tolist() == [[0.5, 0, 0], [0.1, 0.2, 0.3], [0.4, 0.6, 0]]
    assert padded(lists.clear()).shape == (0, 0)
