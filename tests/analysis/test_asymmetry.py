"""Asymmetry of a kind among the others: the distribution of the sum of ranks by enumeration, and its level."""

from itertools import product

import numpy as np
import polars as pl
import pytest

from mutascope.analysis.asymmetry import asymmetry_by_kind

KINDS = ("q", "v", "up", "gate")


def copa_of(p: np.ndarray, assay: str = "java") -> pl.DataFrame:
    """What :func:`copa` says of asymmetries with these p [layers, kinds]."""
    layer, kind = np.indices(p.shape).reshape(2, -1)
    frame = pl.DataFrame({"layer": layer, "kind": [KINDS[i] for i in kind], "asymmetry_p": p.ravel()})
    return frame.with_columns(assay=pl.lit(assay), axis=pl.lit("row"), asymmetry=1 - pl.col("asymmetry_p"))


def test_ranks_by_enumeration():
    p = np.array([[0.5, 0.4, 0.3, 0.001], [0.9, 0.2, 0.7, 0.01], [0.02, 0.6, 0.8, 0.3]])
    found = {row["kind"]: row for row in asymmetry_by_kind(copa_of(p)).iter_rows(named=True)}
    gate = found["gate"]  # most asymmetric in two layers, second in one: ranks 4, 4, 3 of 4
    sums = np.array([sum(throw) for throw in product(range(1, 5), repeat=3)])
    assert gate["p"] == pytest.approx(2 * (np.mean(sums > 11) + np.mean(sums == 11) / 2))
    assert gate["above"] == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert gate["asymmetry"] == pytest.approx(1 - p[:, 3].mean())
    assert gate["other_kinds"] == pytest.approx(1 - p[:, :3].mean())
    assert {row["layers"] for row in found.values()} == {3}


def test_the_level_and_a_kind_that_stands_out():
    random = np.random.default_rng(0)
    null = pl.concat([copa_of(random.random((12, 4)), f"assay {number}") for number in range(250)])
    found = asymmetry_by_kind(null)
    assert 0.03 <= np.mean(found["p"].to_numpy() <= 0.05) <= 0.07
    gate = random.random((12, 4))
    gate[:, 3] **= 6
    (called,) = asymmetry_by_kind(copa_of(gate)).filter(pl.col("q") <= 0.05)["kind"]
    assert called == "gate"


def test_a_layer_of_one_kind_says_nothing():
    assert asymmetry_by_kind(copa_of(np.full((3, 1), 0.5))).is_empty()
