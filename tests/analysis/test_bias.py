"""Bias by hand, its thresholds, and agreement between assays."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from analysis.frames import records_of, records_of_arrays
from mutascope.analysis.bias import bias_agreement, bias_shares, cohens_kappa, locus_bias
from mutascope.analysis.sites import by_assay


def test_bias_by_hand():
    row = locus_bias(records_of({(2, "down"): "+++-##....."})).row(0, named=True)
    assert row == {
        "layer": 2,
        "kind": "down",
        "sites": 11,
        "max_nsm": 5,
        "min_nsm": 3,
        "max_only": 3,
        "min_only": 1,
        "score": pytest.approx(2 / 3),
        "one_sided": pytest.approx(4 / 11),
        "lean": "max",
    }


@pytest.mark.parametrize(
    "text, score, lean",
    [
        ("-" * 5 + "+" * 4 + "." * 11, 1 / 5, "none"),  # 20 % is not above 20 %
        ("-" * 6 + "+" * 4 + "." * 11, 2 / 6, "min"),
        ("+." + "." * 18, 1.0, "none"),  # 5 % of the sites
        ("++" + "." * 18, 1.0, "none"),  # 10 % is not above 10 %
        ("+++" + "." * 17, 1.0, "max"),
        ("++--" + "." * 6, 0.0, "none"),
        ("####", None, "none"),
        ("....", None, "none"),
        ("---", 1.0, "min"),
    ],
)
def test_thresholds(text, score, lean):
    row = locus_bias(records_of({(0, "q"): text})).row(0, named=True)
    assert row["score"] == (None if score is None else pytest.approx(score))
    assert row["lean"] == lean


def test_only_sites_with_both_mutations_count():
    records = records_of({(0, "q"): "+-.+"}).filter((pl.col("col") < 3) | (pl.col("mutation") == "max"))
    row = locus_bias(records).row(0, named=True)
    assert (row["sites"], row["max_nsm"], row["min_nsm"]) == (3, 1, 1)
    zero = records.with_columns(mutation=pl.lit("zero"))
    assert locus_bias(zero).is_empty()
    assert locus_bias(records.clear()).is_empty()


MAX, MIN, EVEN = "+++.", "---.", "+-.."


def test_shares_of_biased_loci():
    records = records_of({(0, "q"): MAX, (0, "k"): MIN, (1, "q"): MAX, (1, "k"): EVEN})
    bias = locus_bias(records)
    assert bias_shares(bias).row(0) == (4, 2, 1, 0.5, 0.25)
    assert bias_shares(bias, ["kind"]).rows() == [("q", 2, 2, 0, 1.0, 0.0), ("k", 2, 0, 1, 0.0, 0.5)]
    several = by_assay({"z": records, "a": records.filter(kind="k")}, locus_bias)
    assert bias_shares(several, ["assay"]).select("assay", "biased_max").rows() == [("z", 2), ("a", 0)]
    assert bias_shares(bias.clear()).row(0) == (0, 0, 0, None, None)


def test_agreement_by_hand():
    keys = [(i, "q") for i in range(6)]
    a = records_of(dict(zip(keys, [MAX, MAX, MIN, MIN, EVEN, EVEN], strict=True)))
    b = records_of(dict(zip(keys, [MAX, MIN, MIN, EVEN, EVEN, MAX], strict=True)))
    frame = bias_agreement({"a": a, "b": b, "c": b.filter(layer=9)})
    assert frame.select("assay_a", "assay_b").rows() == [("a", "b"), ("a", "c"), ("b", "c")]
    row = frame.row(0, named=True)
    assert (row["loci"], row["biased_both"], row["same_lean"]) == (6, 3, 2)
    assert row["share_same"] == pytest.approx(2 / 3)
    assert row["kappa"] == pytest.approx((3 / 6 - 12 / 36) / (1 - 12 / 36))  # each label twice in a and in b
    assert frame.row(1, named=True)["kappa"] is frame.row(1, named=True)["share_same"] is None


def test_kappa_by_hand():
    # 35 of 50 agree, chance agrees on half of them
    assert cohens_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
    assert cohens_kappa(np.array([[0, 0], [0, 7]])) is None
    assert cohens_kappa(np.array([[0, 3], [3, 0]])) == pytest.approx(-1)


MAP = npst.arrays(np.int8, (4, 5), elements=st.integers(1, 4))


@given(MAP, st.randoms(use_true_random=False))
def test_a_permuted_map_has_the_same_bias(status, random):
    moved = status.ravel().tolist()
    random.shuffle(moved)
    shuffled = np.array(moved, dtype=np.int8).reshape(4, 5)
    first, other = (locus_bias(records_of_arrays({(0, "q"): m})) for m in (status, shuffled))
    assert first.equals(other)


@given(MAP)
def test_swapping_max_and_min_swaps_the_lean(status):
    swapped = np.array([0, 1, 3, 2, 4], dtype=np.int8)[status]
    first, other = (
        locus_bias(records_of_arrays({(0, "q"): m})).row(0, named=True) for m in (status, swapped)
    )
    assert first["score"] == other["score"]
    assert {"max": "min", "min": "max", "none": "none"}[first["lean"]] == other["lean"]
