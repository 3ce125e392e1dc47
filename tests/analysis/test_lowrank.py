"""The low-rank form of predicted maps, and what it says of their patterns."""

import numpy as np
import polars as pl
import pytest

from mutascope.analysis.copa import copa
from mutascope.analysis.lowrank import factors, low_rank_calls, low_rank_shares
from mutascope.analysis.lowrank_patterns import low_rank_by_kind, low_rank_patterns
from mutascope.core.schema import MUTANT_KEY


def predicted(odd: np.ndarray, even: float | np.ndarray) -> pl.DataFrame:
    row, col = (index.ravel().astype(np.int32) for index in np.indices(odd.shape))
    return pl.concat(
        pl.DataFrame({"row": row, "col": col, "margin": (even + sign * odd).ravel()}).with_columns(
            layer=pl.lit(1, pl.Int16), kind=pl.lit("v"), mutation=pl.lit(name)
        )
        for name, sign in (("max", -1), ("min", 1))
    )


def test_an_outer_product_is_of_rank_one_with_its_factors():
    rows, cols = np.array([1.0, -2.0, 0.5]), np.array([2.0, 1.0, -1.0, 1.5])
    given = predicted(np.outer(rows, cols), 1.1)
    share = low_rank_shares(given).row(0, named=True)
    assert share["odd_share"] == pytest.approx(1)
    assert share["share_1"] == pytest.approx(1)
    assert share["null_1"] < 1
    found = factors(given)
    r, c = (found.filter(axis=axis)["factor"].to_numpy() for axis in ("row", "col"))
    assert np.allclose(np.outer(r, c), np.outer(rows, cols))
    calls = low_rank_calls(given)
    margin = given.join(calls, on=[*MUTANT_KEY])
    assert (margin["silent"] == (margin["margin"] >= 0)).all()


def called(predictions: pl.DataFrame) -> pl.DataFrame:
    return predictions.with_columns(silent=pl.col("margin") >= 0)


def test_a_map_of_rank_one_is_its_own_form():
    random = np.random.default_rng(0)
    given = predicted(np.outer(random.uniform(-1, 1, 12), random.uniform(-1, 1, 9)), 0.2)
    found = low_rank_patterns(given, called(given)).row(0, named=True)
    for name in ("agreement", "lines_row", "lines_col", "pairs_row", "pairs_col"):
        assert found[name] == pytest.approx(1), name
    assert found["bias"] == found["form_bias"]
    assert found["strength_row"] == found["form_strength_row"]


def test_strengths_are_those_of_copa():
    random = np.random.default_rng(1)
    calls = called(predicted(random.normal(size=(10, 8)), 0.3))
    loci = pl.DataFrame({"layer": [1], "kind": ["v"], "site_rows": [10], "site_cols": [8]})
    truth = dict(copa(calls, loci).select("axis", "strength").iter_rows())
    found = low_rank_patterns(predicted(random.normal(size=(10, 8)), 0.3), calls).row(0, named=True)
    for axis in ("row", "col"):
        assert found[f"strength_{axis}"] == pytest.approx(truth[axis])


def test_another_map_than_the_predicted_one_is_not_explained():
    random = np.random.default_rng(2)
    given = predicted(np.outer(random.normal(size=40), random.normal(size=40)), 0.4)
    other = called(predicted(np.outer(random.normal(size=40), random.normal(size=40)), 0.4))
    found = low_rank_patterns(given, other).row(0, named=True)
    assert max(found["pairs_row"], found["pairs_col"], found["lines_row"], found["lines_col"]) < 0.2


def test_bias_is_counted_by_hand():
    odd = np.full((4, 5), 1.0)  # max always loses its margin, min never
    odd[0, 0] = -1.0
    given = predicted(odd, 0.5)
    found = low_rank_patterns(given, called(given)).row(0, named=True)
    assert found["bias"] == pytest.approx((19 - 1) / 20)


def test_kinds_are_summed_up_as_medians_over_their_loci():
    random = np.random.default_rng(3)
    maps = [
        predicted(random.normal(size=(6, 5)), 0.3).with_columns(
            layer=pl.lit(layer, pl.Int16), kind=pl.lit(kind)
        )
        for layer, kind in ((0, "v"), (1, "v"), (2, "v"), (0, "up"))
    ]
    given = pl.concat(maps)
    shares, patterns = low_rank_shares(given), low_rank_patterns(given, called(given))
    found = low_rank_by_kind(shares, patterns)
    assert sorted(found.select("kind", "loci").iter_rows()) == [("all", 4), ("up", 1), ("v", 3)]
    v = found.row(by_predicate=pl.col("kind") == "v", named=True)
    own = patterns.filter(kind="v")
    assert v["agreement"] == pytest.approx(sorted(own["agreement"])[1])
    wanted = np.corrcoef(own["bias"], own["form_bias"])[0, 1] ** 2
    assert v["bias_explained"] == pytest.approx(wanted)
    assert found.row(by_predicate=pl.col("kind") == "up", named=True)["bias_explained"] is None
