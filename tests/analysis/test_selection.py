"""Which mutants of a screen are looked at again."""

import polars as pl
import pytest

from mutascope import MutascopeError
from mutascope.analysis.selection import Selection, parse_selection, select_mutants

RECORDS = pl.DataFrame(
    {
        "row": range(9),
        "silent": [True, False, False, False, True, False, False, False, False],
        "phenotype": ["wild", "a", "b", "a", "wild", "a", "a", "b", "c"],
    }
)


@pytest.mark.parametrize(
    "words, rows",
    [
        ("distinct phenotypes, at most 3 NSMs each", [1, 2, 3, 5, 7, 8]),
        ("distinct phenotypes, at most 1 NSM each", [1, 2, 8]),
        ("all NSMs", [1, 2, 3, 5, 6, 7, 8]),
        ("at most 2 phenotypes, at most 2 NSMs each", [1, 2, 3, 7]),
        ("Distinct  phenotypes, at most 4 nsms", [1, 2, 3, 5]),
    ],
)
def test_the_first_in_design_order(words, rows):
    assert select_mutants(RECORDS, parse_selection(words))["row"].to_list() == rows


@pytest.mark.parametrize("counted", ["NSMs", "phenotypes", "NSMs each"])
def test_a_huge_limit_is_none(counted):
    for digits in (25, 5000):
        found = select_mutants(RECORDS, parse_selection(f"at most {'9' * digits} {counted}"))
        assert found["row"].to_list() == [1, 2, 3, 5, 6, 7, 8]


def test_limits():
    assert parse_selection(f"at most {'0' * 30}7 NSMs") == Selection(None, None, 7)
    assert parse_selection("distinct phenotypes, at most 3 NSMs each, at most 20 NSMs") == Selection(
        3, None, 20
    )


@pytest.mark.parametrize(
    "words", ["", "some NSMs", "at most three NSMs each", "all NSMs, all NSMs", "at most 0 NSMs"]
)
def test_what_is_no_selection(words):
    with pytest.raises(MutascopeError, match="the selection"):
        parse_selection(words)
