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


def gathered(columns: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two sets on these columns of 20 x 20 sites, and a second mutant elsewhere here and there."""
    first, second = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    first[:5, columns], second[10:, columns] = True, True
    second |= np.random.default_rng(seed).random((20, 20)) < 0.05
    return first, second & ~first


def test_shared_columns_are_found_and_rows_are_not_called():
    first, second = gathered((3, 7, 12, 16))
    table = line_sharing(marked_locus(first, second), FIRST, SECOND)
    column = table.filter(axis="col", layer=0).row(0, named=True)
    counts = {
        "first": 20,
        "second": second.sum(),
        "lines": 4,
        "all_lines": 20,
        "shared": second[:, first.any(0)].sum(),
    }
    assert {name: column[name] for name in counts} == counts
    assert column["expected"] == pytest.approx(4 * 15 * second[:, ~first.any(0)].mean())
    assert column["p"] < 0.001
    row = table.filter(axis="row", layer=0).row(0, named=True)
    assert row["lines"] == 5
    assert row["p"] > 0.5


def test_one_line_alone_says_nothing():
    table = line_sharing(marked_locus(*gathered((7,))), FIRST, SECOND)
    assert table.filter(axis="col")["p"].to_list() == [None, None]


def test_loci_are_pooled():
    sets = [gathered((7,), seed) for seed in range(5)]
    first = sets[0][0]
    lonely = marked_locus(first, np.zeros_like(first), (9, "q"))
    loci = [marked_locus(*pair, (layer, "v")) for layer, pair in enumerate(sets)]
    table = line_sharing(pl.concat([*loci, lonely]), FIRST, SECOND)
    assert table.filter(pl.col("layer") == 9).is_empty()  # it has no second mutant
    pooled = table.filter(pl.col("layer").is_null(), axis="col").row(0, named=True)
    assert (pooled["first"], pooled["second"]) == (25, sum(second.sum() for _, second in sets))
    assert pooled["p"] < 0.005
    assert pooled["q"] == pooled["p"]


def test_a_site_of_both_sets_is_of_the_first():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    first[0, 0] = second[0, 0] = second[3, 3] = True
    twins = pl.concat([marked_locus(first, second), marked_locus(np.zeros_like(first), second)])
    column = line_sharing(twins, FIRST, SECOND).filter(axis="col").row(0, named=True)
    assert (column["first"], column["second"], column["shared"]) == (1, 2, 0)


def test_nothing_to_compare_gives_an_empty_table():
    empty = np.zeros((3, 3), bool)
    for first, second in ((empty, empty), (~empty, empty), (~empty, ~empty)):
        assert line_sharing(marked_locus(first, second), FIRST, SECOND).is_empty()
    assert line_sharing(marked_locus(empty, empty).clear(), FIRST, SECOND).columns[:3] == [
        "layer",
        "kind",
        "axis",
    ]


@given(seed=st.integers(0, 1000))
def test_p_is_a_probability_and_counts_add_up(seed: int):
    random = np.random.default_rng(seed)
    first, second = random.random((2, 5, 7)) < 0.2
    for row in line_sharing(marked_locus(first, second), FIRST, SECOND).iter_rows(named=True):
        assert row["p"] is None or 0 <= row["p"] <= 1
        assert row["shared"] <= row["second"] == (second & ~first).sum()
        assert row["lines"] <= row["all_lines"] == (5 if row["axis"] == "row" else 7)
