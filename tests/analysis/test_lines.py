"""Rows and columns that hold mutants of interest, and the test of two sets sharing them."""

import numpy as np
import polars as pl
import pytest
from frames import records_of, records_of_arrays
from hypothesis import given
from hypothesis import strategies as st

from mutascope.analysis.lines import line_counts, line_sharing, top_lines

MUTANTS = records_of({(1, "v"): "+..\n#..\n..-", (0, "q"): ".+."}).filter(~pl.col("silent"))


def test_counts_by_hand():
    rows = line_counts(MUTANTS).rows()
    assert rows == [
        (0, "q", "col", 1, 1),
        (1, "v", "col", 0, 3),
        (1, "v", "col", 2, 1),
        (0, "q", "row", 0, 1),
        (1, "v", "row", 0, 1),
        (1, "v", "row", 1, 2),
        (1, "v", "row", 2, 1),
    ]


def test_top_lines_by_hand():
    columns = top_lines(MUTANTS).filter(axis="col")
    assert columns.select("layer", "kind", "index", "rank").rows() == [
        (1, "v", 0, 1),
        (0, "q", 1, 2),
        (1, "v", 2, 3),
    ]
    assert columns["share"].to_list() == pytest.approx([0.6, 0.2, 0.2])
    assert columns["cumulative"].to_list() == pytest.approx([0.6, 0.8, 1.0])
    rows = top_lines(MUTANTS).filter(axis="row")
    assert rows["rank"].to_list() == [1, 2, 3, 4]
    assert rows["cumulative"].to_list() == pytest.approx([0.4, 0.6, 0.8, 1.0])


def test_no_mutant_has_no_line():
    assert line_counts(MUTANTS.clear()).is_empty()
    assert top_lines(MUTANTS.clear()).is_empty()


def marked_locus(first: np.ndarray, second: np.ndarray, locus: tuple[int, str] = (0, "v")) -> pl.DataFrame:
    """Records of a locus: its max mutants are of the first set where ``first``, of the second where ``second``."""
    records = records_of_arrays({locus: np.full(first.shape, 2)})
    flags = [pl.Series("first", first.ravel()), pl.Series("second", second.ravel())]
    return records.filter(mutation="max").with_columns(flags)


FIRST, SECOND = pl.col("first"), pl.col("second")


def test_a_shared_column_is_found_and_rows_are_not_called():
    first, second = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    first[:5, 7], second[10:, 7] = True, True
    table = line_sharing(marked_locus(first, second), FIRST, SECOND)
    column = table.filter(axis="col", layer=0).row(0, named=True)
    assert {name: column[name] for name in ("first", "second", "lines", "all_lines", "shared")} == {
        **{"first": 5, "second": 10, "lines": 1, "all_lines": 20},
        "shared": 10,
    }
    # One column of twenty holds all the second mutants: the null meets it one time in twenty.
    assert column["p"] == pytest.approx(1 / 20, abs=0.02)
    assert column["expected"] == pytest.approx(10 / 20, abs=0.1)
    row = table.filter(axis="row", layer=0).row(0, named=True)
    assert (row["lines"], row["shared"], row["p"]) == (5, 0, 1)


def test_loci_are_pooled():
    first, second = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    first[:5, 7], second[10:, 7] = True, True
    lonely = marked_locus(first, np.zeros_like(second), (9, "q"))
    loci = [marked_locus(first, second, (layer, "v")) for layer in range(3)]
    table = line_sharing(pl.concat([*loci, lonely]), FIRST, SECOND)
    assert table.filter(pl.col("layer") == 9).is_empty()  # it has no second mutant
    pooled = table.filter(pl.col("layer").is_null(), axis="col").row(0, named=True)
    assert (pooled["first"], pooled["second"], pooled["shared"]) == (15, 30, 30)
    assert pooled["p"] < 0.005


def test_a_mutant_of_both_sets_is_of_the_first():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    first[0, 0] = second[0, 0] = second[3, 3] = True
    column = line_sharing(marked_locus(first, second), FIRST, SECOND).filter(axis="col").row(0, named=True)
    assert (column["first"], column["second"], column["shared"]) == (1, 1, 0)


def test_lines_are_shuffled_among_lines_with_as_many_sites():
    # Three columns of ten sites hold everything, thirty columns have one screened site: the shuffle stays within
    # the three, so that one of three holding first mutants is no finding.
    rows = [(row, col) for col in range(3) for row in range(10)] + [(0, col) for col in range(3, 33)]
    flags = [(row, col, (col == 0 and row < 5), (col == 0 and row >= 5)) for row, col in rows]
    records = pl.DataFrame(flags, schema=["row", "col", "first", "second"], orient="row").with_columns(
        layer=pl.lit(0, pl.Int16), kind=pl.lit("v")
    )
    column = line_sharing(records, FIRST, SECOND).filter(axis="col").row(0, named=True)
    assert column["p"] == pytest.approx(1 / 3, abs=0.04)


def test_nothing_to_compare_gives_an_empty_table():
    empty = np.zeros((3, 3), bool)
    for first, second in ((empty, empty), (~empty, empty), (~empty, ~empty)):
        assert line_sharing(marked_locus(first, second), FIRST, SECOND).is_empty()
    assert line_sharing(marked_locus(empty, empty).clear(), FIRST, SECOND).columns[:3] == [
        "layer",
        "kind",
        "axis",
    ]


def test_p_values_of_unrelated_sets_are_not_small():
    random = np.random.default_rng(0)
    p_values = []
    for draw in range(200):
        first, second = random.random((2, 16, 16)) < 0.05
        # Each set gathers on a column of its own, which is no sharing.
        first[:, random.integers(16)] |= random.random(16) < 0.5
        second[:, random.integers(16)] |= random.random(16) < 0.5
        table = line_sharing(marked_locus(first, second), FIRST, SECOND, permutations=199, seed=draw)
        p_values += table.filter(pl.col("layer").is_not_null())["p"].to_list()
    assert np.mean(np.array(p_values) <= 0.05) <= 0.08
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.15)


@given(seed=st.integers(0, 1000))
def test_p_is_a_probability_and_counts_add_up(seed: int):
    random = np.random.default_rng(seed)
    first, second = random.random((2, 5, 7)) < 0.2
    for row in line_sharing(marked_locus(first, second), FIRST, SECOND, permutations=49).iter_rows(
        named=True
    ):
        assert 1 / 50 <= row["p"] <= 1
        assert row["shared"] <= row["second"] == (second & ~first).sum()
        assert row["lines"] <= row["all_lines"] == (5 if row["axis"] == "row" else 7)
