"""Gini's coefficient from its definition, its interval and contrasts by simulation, and the test of equal rates."""

import numpy as np
import polars as pl
import pytest
from scipy import special

from mutascope.analysis.evenness import evenness_contrasts, gini, layer_evenness
from mutascope.core.schema import SITE_KEY

NO_RECORDS = pl.DataFrame(
    schema={"layer": pl.Int64, "kind": pl.String, "row": pl.Int64, "col": pl.Int64, "silent": pl.Boolean}
)


def counts_of(values, kind: str = "q", assay: str = "a") -> pl.DataFrame:
    nsm = pl.Series(values, dtype=pl.Float64)
    return pl.DataFrame({"assay": assay, "layer": range(len(nsm)), "kind": kind, "nsm": nsm}).with_columns(
        phenotypes=pl.lit(None, pl.Float64)
    )


def test_gini_is_half_the_mean_difference_over_the_mean():
    values = np.array([3.0, 0, 7, 1, 1])
    pairs = [abs(a - b) for i, a in enumerate(values) for j, b in enumerate(values) if i != j]
    assert gini(values) == pytest.approx(np.mean(pairs) / (2 * values.mean()))
    assert gini(np.array([4.0, 4, 4])) == 0
    assert gini(np.array([0.0, 0, 9])) == 1
    assert np.isnan(gini(np.zeros(3)))


def test_evenness_of_kinds_with_jackknife_by_hand():
    counts = pl.concat([counts_of([2, 5, 9, 4]), counts_of([0, 0, 0, 0], "down")]).with_columns(
        phenotypes=pl.when(kind="q").then(pl.lit(3.0))
    )
    found = layer_evenness(counts, NO_RECORDS)
    assert found.select("kind", "value", "layers", "total").rows() == [
        ("q", "nsm", 4, 20.0),
        ("q", "phenotypes", 4, 12.0),
        ("down", "nsm", 4, 0.0),
        ("down", "phenotypes", 0, 0.0),
    ]
    whole = gini(np.array([2.0, 5, 9, 4]))
    parts = np.array([gini(np.array(p, float)) for p in ([5, 9, 4], [2, 9, 4], [2, 5, 4], [2, 5, 9])])
    logits = special.logit(parts)
    reach = 3.182446305284263 * np.sqrt(3 / 4 * ((logits - logits.mean()) ** 2).sum())
    row = found.row(0, named=True)
    assert row["gini"] == pytest.approx(whole)
    assert row["low"] == pytest.approx(special.expit(special.logit(whole) - reach))
    assert row["high"] == pytest.approx(special.expit(special.logit(whole) + reach))
    assert found["gini"].to_list()[1:] == [0.0, None, None]


def layers_of(random, layers: int, size: int, row: float, col: float, rate: float) -> pl.DataFrame:
    """Records of layers with one rate, whose rows and columns have effects."""
    parts = []
    for layer in range(layers):
        lines = random.normal(0, row, size)[:, None] + random.normal(0, col, size)
        silent = random.random((2, size, size)) >= special.expit(special.logit(rate) + lines)
        r, c = np.indices((size, size)).reshape(2, -1)
        parts += [
            pl.DataFrame({"layer": layer, "row": r, "col": c, "silent": part.ravel()}) for part in silent
        ]
    return pl.concat(parts).select(pl.lit("q").alias("kind"), pl.all()).select(*SITE_KEY, "silent")


def test_layers_of_other_rates_are_told():
    random = np.random.default_rng(0)
    same = layers_of(random, 4, 24, 0.5, 0.5, 0.3)
    fuller = layers_of(random, 1, 24, 0.5, 0.5, 0.7).with_columns(layer=pl.lit(4))
    for records, low, high in ((same, 0.05, 1), (pl.concat([same, fuller]), 0, 1e-4)):
        counts = records.group_by("layer", "kind").agg(nsm=(~pl.col("silent")).sum().cast(pl.Float64))
        table = layer_evenness(counts.with_columns(phenotypes=pl.lit(None, pl.Float64)), records)
        assert low <= table["p"][0] <= high
        assert table["q"][0] == table["p"][0]


@pytest.mark.slow
@pytest.mark.parametrize("row, col, rate, layers", [(1, 1, 0.3, 6), (0.5, 1, 0.05, 12), (0, 1, 0.5, 30)])
def test_the_test_of_equal_rates_keeps_its_level(row, col, rate, layers):
    random, p = np.random.default_rng(1), []
    for _ in range(500):
        records = layers_of(random, layers, 16, row, col, rate)
        p.append(layer_evenness(counts_of([1.0] * layers), records)["p"][0])
    assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.07


@pytest.mark.parametrize("spread", [0.3, 0.5])
def test_the_interval_holds_what_many_layers_have(spread):
    random = np.random.default_rng(2)
    truth = special.erf(spread / 2)  # of a lognormal distribution
    found = [
        layer_evenness(counts_of(random.lognormal(0, spread, 30)), NO_RECORDS).row(0, named=True)
        for _ in range(500)
    ]
    assert 0.91 <= np.mean([row["low"] <= truth <= row["high"] for row in found]) <= 0.98


@pytest.mark.parametrize("paired", [True, False])
def test_contrasts_keep_their_level_and_see_a_difference(paired):
    random, sets = np.random.default_rng(3), []
    for number in range(500):
        base = random.lognormal(0, 0.4, 20) if paired else np.ones(20)
        for assay, size in (("a", 1), ("b", 7)):
            sets.append(counts_of(size * base * random.lognormal(0, 0.5, 20), f"k{number}", assay))
    pairs = [("a", "b")]
    found = evenness_contrasts(pl.concat(sets), pairs, pairs if paired else [])
    assert 0.03 <= np.mean(found["p"].to_numpy() <= 0.05) <= 0.07
    assert found["layers"].unique().to_list() == [20]
    uneven = pl.concat([counts_of([9, 10, 11] * 6), counts_of([1, 5, 30] * 6, assay="b")])
    (row,) = evenness_contrasts(uneven, pairs, pairs if paired else []).rows(named=True)
    assert row["p"] < 0.01
    assert row["gini_a"] < row["gini_b"]
