"""Maps of single tokens against each other: counts by hand, lines that are shared by construction, and the level."""

import numpy as np
import polars as pl
import pytest

from mutascope.analysis.tokens import lines_across_tokens, token_states

HIGH, WIDE = 12, 16


def screen_of(left: np.ndarray, layer: int = 0) -> pl.DataFrame:
    """Records of max and min from first divergences [2, rows, cols]; -1 is silent."""
    which, row, col = np.indices(left.shape).reshape(3, -1)
    frame = pl.DataFrame(
        {"row": row, "col": col, "which": which, "at": left.ravel()},
        schema={"row": pl.Int32, "col": pl.Int32, "which": pl.Int32, "at": pl.Int32},
    )
    return frame.select(
        pl.lit(layer, pl.Int16).alias("layer"),
        pl.lit("v").alias("kind"),
        "row",
        "col",
        mutation=pl.col("which").replace_strict({0: "max", 1: "min"}),
        silent=pl.col("at") < 0,
        first_divergence=pl.when(pl.col("at") >= 0).then("at"),
    )


def drawn(random: np.random.Generator, early: np.ndarray, late: np.ndarray) -> np.ndarray:
    """First divergences with these chances [rows, 1] of leaving at token 2, and at token 5 of those that are left."""
    first, then = (random.random((2, HIGH, WIDE)) < chance for chance in (early, late))
    return np.where(first, 2, np.where(then, 5, -1))


def test_states_are_counted_by_the_tokens_that_max_and_min_leave_at():
    left = np.array([[[2, 2, 5, -1, 2, -1, 7, -1, -1, 2]], [[2, -1, 2, 5, 2, -1, -1, -1, -1, 2]]])
    found = {(a, b): (n, e) for a, b, n, e, _ in token_states(screen_of(left), 0.1).iter_rows()}
    assert found["2", "2"] == (3, 4 * 4 / 10)
    assert found["silent", "silent"] == (3, 4 * 5 / 10)
    assert found["5", "2"] == (1, 1 * 4 / 10)
    assert found["silent", "5"] == (1, 4 * 1 / 10)
    assert found["another", "silent"] == (1, 1 * 5 / 10)
    assert found["5", "5"] == (0, 0.1)
    assert sum(expected for _, expected in found.values()) == pytest.approx(10)


def test_tokens_with_the_same_rows_are_found_and_those_with_other_columns_are_not():
    random = np.random.default_rng(0)
    rows = np.where(np.arange(HIGH) < 4, 0.7, 0.1)[:, None]
    records = pl.concat([screen_of(drawn(random, rows, rows), layer) for layer in range(3)])
    found = lines_across_tokens(records)
    assert found["token"].to_list() == [2, 2]
    assert found["later"].to_list() == [5, 5]
    of_rows, of_columns = (found.filter(axis=axis).row(0, named=True) for axis in ("row", "col"))
    assert of_rows["r"] > 0.6
    assert of_rows["q"] < 1e-3
    assert (of_rows["loci"], of_rows["lines"]) == (3, 3 * HIGH)
    assert of_columns["q"] > 0.05


def test_a_token_with_no_other_makes_no_pair():
    left = np.full((2, HIGH, WIDE), -1)
    left[0, 3] = 2
    assert lines_across_tokens(screen_of(left)).is_empty()
    left[1, 4] = 5  # min alone, in lines of its own: rates vary in both
    assert len(lines_across_tokens(screen_of(left))) == 1  # all columns have the same rates


@pytest.mark.parametrize(
    "sets, low, high", [(250, 0.02, 0.085), pytest.param(1000, 0.03, 0.07, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("axis", ["row", "col"])
def test_lines_that_have_nothing_to_do_with_each_other_are_called_as_often_as_they_should(
    axis, sets, low, high
):
    """Rows of the two tokens have rates of their own; or both have the same rows, and columns are asked."""
    random, called = np.random.default_rng(7), []
    for _ in range(sets):
        parts = []
        for layer in range(2):
            early, late = random.beta(0.5, 1, (2, HIGH, 1))
            parts.append(screen_of(drawn(random, early, late if axis == "row" else early), layer))
        found = lines_across_tokens(pl.concat(parts), 0.01).filter(axis=axis)
        called.append((found["p"].to_numpy() <= 0.05).any())
    assert low < np.mean(called) < high
