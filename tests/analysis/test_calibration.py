"""Calibration, its scores, and rates that combine predictions with a sample."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from scipy import special

from mutascope.analysis.calibration import (
    auc,
    calibrated,
    calibration_scores,
    cross_fitted,
    expected_calibration_error,
    fit_calibration,
    folds_of,
    reliability,
    weighed,
)
from mutascope.analysis.combined import combined_rates
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

SIDE = 30


def world(seed: int, kinds=("q", "v"), shift=0.0) -> pl.DataFrame:
    """A complete exact map of several loci with risks: log-odds of an NSM are twice the logarithm of the risk."""
    random = np.random.default_rng(seed)
    row, col, mutation = (
        index.ravel() for index in np.meshgrid(range(SIDE), range(SIDE), range(2), indexing="ij")
    )
    frames = []
    for kind in kinds:
        log_risk = random.normal(0, 2, row.size)
        nsm = random.random(row.size) < special.expit(2 * log_risk + shift)
        frames.append(
            pl.DataFrame(
                {
                    "layer": np.full(row.size, 3),
                    "kind": [kind] * row.size,
                    "row": row,
                    "col": col,
                    "mutation": np.array(["max", "min"], dtype=object)[mutation],
                    "risk": np.exp(log_risk),
                    "silent": ~nsm,
                },
                schema_overrides={"layer": pl.Int16, "row": pl.Int32, "col": pl.Int32, "mutation": pl.String},
            )
        )
    return pl.concat(frames)


def sampled(whole: pl.DataFrame, sites: int, random: np.random.Generator) -> pl.DataFrame:
    parts = []
    for _, locus in whole.group_by("kind", maintain_order=True):
        chosen = random.choice(SIDE * SIDE, sites, replace=False)
        parts.append(locus.filter((pl.col("row") * SIDE + pl.col("col")).is_in(chosen.tolist())))
    return pl.concat(parts)


def test_a_calibration_finds_the_curve_that_made_the_calls():
    curve = fit_calibration(world(0, shift=1.0))
    assert curve["kind"].to_list() == [None, "q", "v"]
    for intercept, slope in curve.select("intercept", "slope").iter_rows():
        assert intercept == pytest.approx(1, abs=0.25)
        assert slope == pytest.approx(2, abs=0.25)


def test_a_kind_without_calls_gets_the_curve_of_all():
    whole = world(1)
    curve = fit_calibration(whole.filter(kind="q"))
    p = calibrated(whole.with_columns(kind=pl.lit("new")), curve)["probability"]
    expected = special.expit(curve["intercept"][0] + curve["slope"][0] * np.log(whole["risk"].to_numpy()))
    lapse = curve["lapse"][0]
    assert np.allclose(p.to_numpy(), lapse + (1 - 2 * lapse) * expected, atol=1e-6)


@pytest.mark.parametrize("wrong", [0, 8, 60])
def test_no_probability_is_surer_than_the_wrong_calls_among_the_sure_ones_allow(wrong):
    """2,000 mutants whose risk is far from 1, some of which are not what it says."""
    silent = np.repeat([True, False], 1000)
    lapses = np.linspace(0, 1999, wrong, dtype=int)
    silent[lapses] = ~silent[lapses]
    calls = pl.DataFrame(
        {"kind": "q", "row": np.arange(2000), "risk": np.repeat([1e-4, 1e3], 1000), "silent": silent}
    )
    curve = fit_calibration(calls)
    p = calibrated(calls, curve)["probability"].to_numpy()
    least = (wrong + 0.5) / 2050
    if wrong < 20:  # more of them bend the curve itself
        assert all(0.5 / 2050 <= lapse <= least for lapse in curve["lapse"])
    doubt = np.minimum(p, 1 - p)
    assert doubt.min() >= 0.5 / 2050 - 1e-7
    assert 0.7 * least <= doubt.mean() <= least + 0.011


def test_a_few_calls_that_are_surely_wrong_do_not_flatten_the_curve():
    whole = world(0, shift=1.0).with_row_index("at")
    worst = whole.sort("risk")["at"].gather([*range(9), *range(-9, 0)])
    lapsed = whole.with_columns(silent=pl.col("silent") ^ pl.col("at").is_in(worst.implode()))
    for _, intercept, slope, lapse in fit_calibration(lapsed).iter_rows():
        assert intercept == pytest.approx(1, abs=0.25)
        assert slope == pytest.approx(2, abs=0.25)
        assert lapse > 0.002


def test_without_calls_of_one_sort_probabilities_still_rise_with_the_risk():
    few = world(2).head(4).with_columns(silent=pl.lit(True))
    p = calibrated(world(2, ["q"]), fit_calibration(few)).sort("risk")["probability"].to_numpy()
    assert (np.diff(p) >= 0).all()
    assert 0 < p[len(p) // 2] < 0.5


def test_mutants_of_a_site_are_in_one_fold_and_every_call_is_scored():
    whole = world(3)
    with_fold = whole.with_columns(fold=pl.Series(folds_of(whole)))
    assert with_fold.group_by(*SITE_KEY).agg(pl.col("fold").n_unique())["fold"].max() == 1
    scored = cross_fitted(whole)
    assert scored.drop("probability").equals(whole)
    assert scored["probability"].null_count() == 0


def test_scores_by_hand():
    calls = pl.DataFrame(
        {
            "layer": [0] * 4,
            "kind": ["q"] * 4,
            "row": [0, 1, 2, 3],
            "col": [0] * 4,
            "silent": [True, False, True, False],
            "probability": [0.1, 0.4, 0.6, 0.9],
            "weight": [1.0] * 4,
        }
    )
    row = calibration_scores(calls, resamples=20).row(0, named=True)
    assert (row["group"], row["mutants"], row["nsm"]) == ("all", 4, 2)
    assert row["auc"] == pytest.approx(0.75)  # of 4 pairs, (0.4, 0.6) is the wrong way round
    assert (row["accuracy"], row["recall"], row["precision"]) == (0.5, 0.5, 0.5)
    assert row["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert row["ece"] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4)
    assert np.isnan(auc(np.array([1.0, 2.0]), np.array([True, True])))
    assert expected_calibration_error(np.array([0.5, 0.5]), np.array([True, False]), np.ones(2)) == 0


def two_loci(random: np.random.Generator, sites: int = 60) -> pl.DataFrame:
    """Calls of a large locus that is predicted well and a small one that is not, as many sites of each."""
    site = np.repeat(np.arange(sites), 2)
    parts = []
    for layer, skill in ((0, 3.0), (1, 0.3)):
        truth = np.repeat(random.normal(size=sites), 2)
        silent = truth + 0.3 * random.normal(size=2 * sites) < 0
        odds = skill * truth + random.normal(size=2 * sites)
        parts.append(
            pl.DataFrame(
                {"row": site, "silent": silent, "probability": 1 / (1 + np.exp(-odds))}
            ).with_columns(
                layer=pl.lit(layer),
                kind=pl.lit("q"),
                col=pl.lit(0),
                mutation=pl.Series(["max", "min"] * sites),
            )
        )
    return pl.concat(parts)


def test_scores_weigh_loci_by_their_sites():
    calls = two_loci(np.random.default_rng(0))
    shapes = {"layer": [0, 1], "kind": ["q"] * 2, "site_rows": [600, 60], "site_cols": [1] * 2}
    loci = pl.DataFrame({**shapes, "region_sites": [None, None]}, schema_overrides={"region_sites": pl.Int64})
    told = weighed(calls, loci)
    assert told["weight"].to_list() == [10.0] * 120 + [1.0] * 120
    row = calibration_scores(told, resamples=20).row(0, named=True)
    right = ((calls["probability"] >= 0.5) != calls["silent"]).to_numpy().astype(float)
    assert row["accuracy"] == pytest.approx((10 * right[:120].mean() + right[120:].mean()) / 11)
    # a weighted AUC is that of calls written down as often as they weigh
    copies = calls[np.repeat(np.arange(240), [10] * 120 + [1] * 120)]
    assert row["auc"] == pytest.approx(auc(copies["probability"].to_numpy(), ~copies["silent"].to_numpy()))
    curve = reliability(told)
    whole = (copies["silent"].not_()).mean()
    mass = told.group_by((pl.col("probability") * 10).floor().clip(0, 9).alias("bin")).agg(
        pl.col("weight").sum()
    )
    assert np.average(curve["observed"], weights=mass.sort("bin")["weight"]) == pytest.approx(whole)


@pytest.mark.parametrize("sets", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_intervals_of_scores_cover_with_sites_as_units(sets):
    random = np.random.default_rng(1)
    truth = calibration_scores(two_loci(random, 40_000).with_columns(weight=1.0), resamples=1)["accuracy"][0]
    covered = 0
    for draw in range(sets):
        row = calibration_scores(two_loci(random).with_columns(weight=1.0), seed=draw, resamples=100)
        covered += row["accuracy_low"][0] <= truth <= row["accuracy_high"][0]
    assert 0.9 * sets <= covered <= (0.99 if sets < 500 else 0.97) * sets


def test_a_reliability_curve_lies_on_the_diagonal_when_the_model_is_right():
    curve = reliability(cross_fitted(world(4)).with_columns(weight=1.0))
    assert curve["mutants"].sum() == 2 * SIDE * SIDE * 2
    inside = curve.filter(pl.col("predicted").is_between("observed_low", "observed_high"))
    assert len(inside) >= 8


@pytest.mark.parametrize("biased", [False, True])
def test_combined_intervals_cover_and_are_shorter_than_the_samples(biased):
    whole = world(5)
    truth = (~whole["silent"]).to_numpy().mean()
    if biased:  # half the locus has risks that are far too large
        whole = whole.with_columns(
            risk=pl.when(pl.col("row") < 15).then(pl.col("risk") * 20).otherwise("risk")
        )
    loci = pl.DataFrame(
        {"layer": [3, 3], "kind": ["q", "v"], "region_sites": [SIDE * SIDE] * 2},
        schema_overrides={"layer": pl.Int16},
    )
    random, covered, lengths, own = np.random.default_rng(6), 0, [], []
    for seed in range(40):
        sample = sampled(whole, 40, random)
        row = combined_rates(whole.drop("silent"), sample.drop("risk"), loci, seed=seed).row(0, named=True)
        covered += row["low"] <= truth <= row["high"]
        lengths.append(row["high"] - row["low"])
        own.append(row["sample_high"] - row["sample_low"])
    assert covered >= 35
    assert np.mean(lengths) < (1.0 if biased else 0.75) * np.mean(own)


@pytest.mark.parametrize("sites", [1, 2])
def test_a_sample_of_fewer_sites_than_folds_is_combined(sites):
    whole = world(7)
    sample = sampled(whole, sites, np.random.default_rng(8))
    loci = whole.group_by(*LOCUS_KEY).agg(region_sites=pl.lit(SIDE * SIDE))
    row = combined_rates(whole.drop("silent"), sample.drop("risk"), loci).row(0, named=True)
    assert row["sites"] == 2 * sites
    assert 0.3 < row["predicted"] < 0.7
    assert row["low"] <= row["rate"] <= row["high"]


def test_what_was_run_as_a_whole_has_the_exact_rate():
    whole = world(9)
    loci = whole.group_by(*LOCUS_KEY).agg(region_sites=pl.lit(SIDE * SIDE))
    row = combined_rates(whole.drop("silent"), whole.drop("risk"), loci).row(0, named=True)
    assert row["rate"] == row["low"] == row["high"] == pytest.approx(row["sample_rate"], abs=1e-12)


def test_one_site_per_locus_that_is_predicted_well_gives_a_narrow_interval():
    loud = pl.col("layer") >= 10
    whole = pl.concat(
        world(0, kinds=("q",)).with_columns(layer=pl.lit(layer, pl.Int16)) for layer in range(20)
    ).with_columns(risk=pl.when(loud).then(50.0).otherwise(0.02), silent=~loud)
    sample = whole.filter(row=7, col=7)
    loci = whole.group_by(*LOCUS_KEY).agg(region_sites=pl.lit(SIDE * SIDE))
    row = combined_rates(whole.drop("silent"), sample.drop("risk"), loci).row(0, named=True)
    assert row["low"] <= 0.5 <= row["high"]
    assert row["high"] - row["low"] < 0.2 * (row["sample_high"] - row["sample_low"])


def test_no_prediction_has_no_probability():
    nothing = calibrated(world(1).clear(), fit_calibration(world(1)))
    assert len(nothing) == 0
    assert nothing.schema["probability"] == pl.Float32


def test_calls_that_are_all_alike_have_scores_without_a_warning():
    silent = cross_fitted(world(2).filter("silent")).with_columns(weight=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = calibration_scores(silent, resamples=5).row(0, named=True)
    assert (row["auc"], row["auc_low"], row["recall_high"]) == (None, None, None)
    assert row["brier_low"] <= row["brier"] <= row["brier_high"]
