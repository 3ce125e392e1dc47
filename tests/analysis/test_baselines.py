"""Baselines of predictions: what they are, and how AUCs and gains come out where the truth is known."""

import numpy as np
import polars as pl
import pytest

from mutascope.analysis.baselines import baseline_scores, with_baselines
from mutascope.analysis.calibration import auc

SITES = 40


def calls(seed: int = 0, signal: float = 3.0) -> pl.DataFrame:
    """Calls of four loci: the prediction and the gradient know the truth equally well, other baselines nothing."""
    random = np.random.default_rng(seed)
    frames = []
    for layer in range(2):
        for kind in ("v", "down"):
            nsm = random.random(2 * SITES) < 0.5
            known = [np.where(nsm, signal, 0.0) + random.normal(size=2 * SITES) for _ in range(2)]
            frames.append(
                pl.DataFrame(
                    {
                        "row": np.repeat(np.arange(SITES), 2),
                        "mutation": ["max", "min"] * SITES,
                        "silent": ~nsm,
                        "probability": 1 / (1 + np.exp(-known[0])),
                        "gradient_change": np.exp(known[1]),
                        "wanda": random.lognormal(size=2 * SITES),
                        "gradient_weight": random.lognormal(size=2 * SITES),
                        "change": random.lognormal(size=2 * SITES),
                    }
                ).with_columns(layer=pl.lit(layer), kind=pl.lit(kind), col=pl.lit(0), weight=pl.lit(1.0))
            )
    return pl.concat(frames)


def test_each_mutant_gets_the_change_that_it_makes():
    scored = {
        f"{name}_{way}": [sign * value]
        for name, values, sign in (
            ("change", (3, 4, 5), 1),
            ("wanda", (6, 7, 8), 1),
            ("gradient", (1, 2, 9), -1),
        )
        for way, value in zip(("max", "min", "zero"), values, strict=True)
    }
    sites = pl.DataFrame({"layer": [0], "kind": ["v"], "row": [1], "col": [2], **scored})
    mutants = sites.select("layer", "kind", "row", "col").join(
        pl.DataFrame({"mutation": ["max", "min", "zero", "random"]}), how="cross"
    )
    found = with_baselines(mutants, sites)
    assert found["change"].to_list() == [3, 4, 5, None]
    assert found["wanda"].to_list() == [6, 7, 8, None]
    assert found["gradient_change"].to_list() == [1, 2, 9, None]
    assert found["gradient_weight"].to_list() == [9] * 4


def test_what_knows_scores_and_what_does_not_is_at_chance():
    found = {row["score"]: row for row in baseline_scores(calls()).iter_rows(named=True)}
    known = calls()
    expected = auc(known["probability"].to_numpy(), (~known["silent"]).to_numpy())
    assert found["prediction"]["auc"] == pytest.approx(expected)
    assert found["prediction"]["gain"] == found["prediction"]["gain_high"] == 0
    assert found["gradient_change"]["auc"] == pytest.approx(expected, abs=0.03)
    assert found["gradient_change"]["gain_low"] < 0 < found["gradient_change"]["gain_high"]
    for name in ("wanda", "gradient_weight", "change"):
        row = found[name]
        assert row["auc_low"] < 0.55
        assert row["gain_low"] > 0.3
        assert row["gain"] == pytest.approx(found["prediction"]["auc"] - row["auc"])


def test_the_scale_of_a_baseline_does_not_count():
    scaled = calls().with_columns(gradient_change=pl.col("gradient_change") * 1e6)
    assert baseline_scores(scaled).equals(baseline_scores(calls()))


def test_mutants_without_a_baseline_are_left_out_of_all():
    some = calls().with_columns(wanda=pl.when(pl.col("layer") == 0).then("wanda"))
    found = baseline_scores(some)
    assert found["mutants"].to_list() == [4 * SITES] * 5


@pytest.mark.slow
def test_the_interval_of_a_gain_of_nothing_holds_zero_in_95_of_100():
    """500 data sets in which prediction and gradient are equally good."""
    missed = 0
    for seed in range(500):
        row = (
            baseline_scores(calls(seed, signal=1.5), resamples=100, seed=seed)
            .filter(score="gradient_change")
            .row(0, named=True)
        )
        missed += not row["gain_low"] <= 0 <= row["gain_high"]
    assert 0.02 <= missed / 500 <= 0.08
