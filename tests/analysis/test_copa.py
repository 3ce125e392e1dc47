"""COPA by hand, against an independent correlation, with planted patterns, and its nulls on random maps."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from analysis.frames import loci_of, records_of, records_of_arrays
from mutascope import MutascopeError
from mutascope.analysis.copa import copa, copa_contrasts, rearrange, sign_map, tail
from mutascope.analysis.sign_nulls import traded_signs
from mutascope.analysis.sites import by_assay

SIGNS = npst.arrays(np.int8, st.tuples(st.integers(1, 6), st.integers(1, 7)), elements=st.integers(-1, 1))


def status_of(signs: np.ndarray) -> np.ndarray:
    """A map with these signs: 0 is a silent site."""
    return np.array([1, 2, 3], dtype=np.int8)[signs]


def copa_of(signs: np.ndarray, **options: Any) -> dict[str, dict]:
    """Rows of one locus by axis."""
    frame = copa(records_of_arrays({(0, "q"): status_of(signs)}), loci_of({(0, "q"): signs.shape}), **options)
    return {row["axis"]: row for row in frame.to_dicts()}


def test_signs():
    assert sign_map(np.arange(5)).tolist() == [0, 0, 1, -1, 0]


def test_the_order_by_hand():
    # columns a = (+,+,-,-), b = -a, c = (+,+,0,-) near a, d = (-,0,+,+) far from it, e constant, f = a
    signs = np.array([[1, -1, 1, -1, 0, 1], [1, -1, 1, 0, 0, 1], [-1, 1, 0, 1, 0, -1], [-1, 1, -1, 1, 0, -1]])
    found = rearrange(signs.astype(np.int8), "col")
    # a, b and f have the same sum of |r|: a is the lowest. f (r = 1) before c; e (r = 0) at the right end.
    assert found.reference == 0
    assert found.order.tolist() == [3, 1, 0, 5, 2, 4]
    assert found.position == 2
    rows = rearrange(signs.T.astype(np.int8).copy(), "row")
    assert rows.order.tolist() == found.order.tolist()


def test_uncorrelated_vectors_lie_to_the_right_in_their_order():
    signs = np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]], dtype=np.int8)
    assert rearrange(signs, "col").order.tolist() == [0, 1, 2]
    assert rearrange(np.zeros((3, 4), dtype=np.int8), "col").order.tolist() == [0, 1, 2, 3]
    with pytest.raises(MutascopeError, match="without a site"):
        rearrange(np.zeros((0, 4), dtype=np.int8), "col")


def pearson(signs: np.ndarray) -> np.ndarray:
    """Correlations of the columns, 0 for constant ones, by NumPy."""
    r = np.zeros((signs.shape[1],) * 2)
    for i, first in enumerate(signs.T):
        for j, second in enumerate(signs.T):
            if np.ptp(first) and np.ptp(second):
                r[i, j] = np.corrcoef(first, second)[0, 1]
    return r


@given(SIGNS)
def test_reordering_is_a_permutation_by_correlation(signs):
    found = rearrange(signs, "col")
    assert sorted(found.order.tolist()) == list(range(signs.shape[1]))
    assert found.order[found.position] == found.reference
    r = pearson(signs)
    sums = np.abs(r).sum(axis=0) - np.abs(np.diag(r))
    assert sums[found.reference] >= sums.max() - 1e-8
    along = np.round(r[found.reference][found.order], 9)
    left, right = along[: found.position], along[found.position + 1 :]
    assert (left < 0).all()
    assert (np.diff(left) <= 0).all()  # the most negative is nearest
    assert (right >= 0).all()
    assert (np.diff(right) <= 0).all()


@given(SIGNS)
def test_strength_is_the_mean_correlation_of_pairs(signs):
    row = copa_of(signs, shuffles=2)["col"]
    varying = np.flatnonzero(np.ptp(signs, axis=0))
    assert row["vectors"] == len(varying)
    if len(varying) < 2:
        assert row["strength"] is row["strength_p"] is None
    else:
        pairs = np.abs(pearson(signs))[varying][:, varying][np.triu_indices(len(varying), 1)]
        assert row["strength"] == pytest.approx(pairs.mean())
    found = rearrange(signs, "col")
    halves = [signs[:, found.order[: found.position]], signs[:, found.order[found.position + 1 :]]]
    left, right = (half.sum() / max(np.abs(half).sum(), 1) for half in halves)
    assert row["asymmetry"] == pytest.approx(abs(right - left) / 2)


def complementary(random: np.random.Generator, rows: int, cols: int, filled: float = 0.6) -> np.ndarray:
    """Every column is a pattern of rows, half of them of each sign, or its complement."""
    pattern, side = random.permutation(np.arange(rows) % 2 * 2 - 1), random.choice([-1, 1], cols)
    return (np.outer(pattern, side) * (random.random((rows, cols)) < filled)).astype(np.int8)


def separated(random: np.random.Generator, rows: int, cols: int) -> np.ndarray:
    """Columns of + on one half of the rows and columns of - on it: one sign per side."""
    side = random.choice([-1, 1], cols)
    reach = np.where(np.arange(rows) < rows // 2, 0.8, 0.05)[:, None]
    return (side * (random.random((rows, cols)) < reach)).astype(np.int8)


def test_a_complementary_pattern_is_strong_and_symmetric():
    row = copa_of(complementary(np.random.default_rng(0), 30, 24), shuffles=99)["col"]
    assert row["strength"] > 2 * row["strength_null"]
    assert row["strength_p"] == pytest.approx(0.01)
    assert row["strength_z"] > 10
    assert row["asymmetry"] < 0.3
    assert 0 < row["left"] < 23


def test_a_pattern_with_one_sign_per_side_is_asymmetric():
    row = copa_of(separated(np.random.default_rng(0), 30, 24), shuffles=99)["col"]
    assert row["asymmetry"] == pytest.approx(1)
    assert row["asymmetry_p"] == pytest.approx(0.01)
    assert row["asymmetry_null"] < 0.3


def test_mirror_images_are_found_beside_leaning_rows():
    random = np.random.default_rng(0)
    row = copa_of(complementary(random, 30, 24))["col"]
    assert row["mirror"] > row["mirror_null"]
    assert row["mirror_p"] < 1e-4  # less than 200 maps can count
    leaning = np.where(np.arange(30)[:, None] < 15, 1, -1) * np.ones((1, 24), int)
    leaning = np.where(random.random((30, 24)) < 0.1, -leaning, leaning)
    row = copa_of(leaning)["col"]
    assert row["strength_p"] < 0.001
    assert row["mirror_p"] > 0.05


def test_traded_maps_keep_sites_and_totals():
    signs = np.random.default_rng(1).choice([-1, 0, 1], (9, 14)).astype(np.int8)
    maps = traded_signs(signs, 30, np.random.default_rng(2))
    assert (maps.sum(axis=1) == signs.sum(axis=0)).all()
    assert (maps.sum(axis=2) == signs.sum(axis=1)).all()
    assert ((maps != 0) == (signs != 0)).all()
    assert len({part.tobytes() for part in maps}) == 30


def test_fitted_tails_are_those_of_many_draws():
    random = np.random.default_rng(3)
    many = random.gamma(9, size=400_000)
    for value in np.quantile(many, [0.99, 0.999, 0.9999]):
        found = [tail(value, random.gamma(9, size=200)) for _ in range(200)]
        assert np.exp(np.mean(np.log(found))) == pytest.approx((many >= value).mean(), rel=0.5)


def test_the_nulls_hold_on_random_maps():
    random = np.random.default_rng(8)
    maps = {(i, "q"): random.choice([1, 2, 3, 4], (12, 10), p=[0.5, 0.2, 0.15, 0.15]) for i in range(150)}
    frame = copa(records_of_arrays(maps), loci_of(dict.fromkeys(maps, (12, 10))), shuffles=39)
    for name in ("strength_p", "asymmetry_p"):
        p = frame.filter(axis="col")[name].to_numpy()
        assert 0.01 <= (p <= 0.05).mean() <= 0.10  # 5 % expected, binomial with 150
        assert 0.4 < p.mean() < 0.62
    assert frame.filter(pl.col("strength_q") <= 0.05).height <= 2


def test_silent_and_one_signed_loci():
    silent = copa_of(np.zeros((3, 4), dtype=np.int8))["row"]
    assert (silent["vectors"], silent["strength"], silent["strength_p"]) == (0, None, None)
    assert (silent["asymmetry"], silent["asymmetry_p"], silent["asymmetry_z"]) == (0, 1, None)
    only_max = copa_of(np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1]], dtype=np.int8))["col"]
    assert only_max["strength_p"] == only_max["asymmetry_p"] == 1  # no sign to shuffle


def test_both_and_unscreened_sites_count_as_zero():
    records = records_of({(1, "up"): "#+ -\n-. +"})
    frame = copa(records, loci_of({(1, "up"): (2, 4)}), shuffles=3)
    assert frame.select("layer", "kind", "axis", "vectors").rows() == [
        (1, "up", "row", 2),
        (1, "up", "col", 3),
    ]
    zero = records.with_columns(mutation=pl.lit("zero"))
    assert copa(zero, loci_of({(1, "up"): (2, 4)})).is_empty()
    with pytest.raises(MutascopeError, match="at least one shuffle"):
        copa(records, loci_of({(1, "up"): (2, 4)}), shuffles=0)


def test_a_locus_has_its_own_reproducible_shuffles():
    random = np.random.default_rng(1)
    maps = {(i, kind): random.integers(1, 5, (8, 6)) for i in range(2) for kind in ("q", "down")}
    records, loci = records_of_arrays(maps), loci_of(dict.fromkeys(maps, (8, 6)))
    whole = copa(records, loci, shuffles=20).drop("strength_q", "asymmetry_q", "mirror_q")
    part = copa(records.filter(layer=1), loci, shuffles=20).drop("strength_q", "asymmetry_q", "mirror_q")
    assert whole.filter(layer=1).equals(part)
    other = copa(records, loci, shuffles=20, seed=1)
    assert not other["strength_null"].equals(whole["strength_null"])
    assert other["strength"].equals(whole["strength"])
    strength = copa(records, loci, shuffles=20, measures=["strength"]).drop("strength_q")
    assert strength.equals(whole.select(strength.columns))


def test_one_assay_with_a_stronger_pattern_than_another():
    random = np.random.default_rng(2)
    keys = [(layer, kind) for layer in range(12) for kind in ("up", "q")]
    strong = {key: status_of(complementary(random, 16, 14)) for key in keys}
    weak = {
        key: status_of(random.choice([-1, 0, 1], (16, 14), p=[0.3, 0.4, 0.3]).astype(np.int8))
        if key[1] == "up"
        else strong[key]
        for key in keys
    }
    loci = loci_of(dict.fromkeys(keys, (16, 14)))
    screens = {"seed 10": records_of_arrays(strong), "seed 0": records_of_arrays(weak)}
    frame = by_assay(screens, lambda records: copa(records, loci, shuffles=19))
    contrasts = copa_contrasts(frame, ["kind", "axis"])
    assert contrasts.select("kind", "axis").rows() == [
        ("q", "row"),
        ("q", "col"),
        ("up", "row"),
        ("up", "col"),
    ]
    assert set(contrasts.select("assay_a", "assay_b", "loci").rows()) == {("seed 10", "seed 0", 12)}
    up, q = (contrasts.filter(kind=kind, axis="col").row(0, named=True) for kind in ("up", "q"))
    assert up["excess_a"] > up["excess_b"] + 0.1
    assert up["q"] < 0.01
    assert (q["p"], q["excess_a"]) == (1, q["excess_b"])
    assert copa_contrasts(frame.filter(assay="seed 0")).is_empty()
