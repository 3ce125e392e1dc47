"""NSM rates: a hand-computed case, an independent estimator, and the coverage of the intervals."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from mutascope.analysis.rates import nsm_rates


def records_of(rows: list[tuple]) -> pl.DataFrame:
    schema = {"layer": pl.Int16, "kind": pl.String, "row": pl.Int32, "col": pl.Int32, "mutation": pl.String}
    return pl.DataFrame(rows, schema={**schema, "silent": pl.Boolean}, orient="row")


def loci_of(sizes: dict[tuple[int, str], int | None]) -> pl.DataFrame:
    rows = [(layer, kind, size) for (layer, kind), size in sizes.items()]
    return pl.DataFrame(
        rows, schema={"layer": pl.Int16, "kind": pl.String, "region_sites": pl.Int64}, orient="row"
    )


def sites(layer: int, kind: str, shares: list[tuple[bool, bool]]) -> list[tuple]:
    """Records of a locus from (max is NSM, min is NSM) by site."""
    return [
        (layer, kind, 0, col, mutation, not nsm)
        for col, pair in enumerate(shares)
        for mutation, nsm in zip(("max", "min"), pair, strict=True)
    ]


# By hand: locus 0.q has 10 sites, 4 sampled, with NSM shares 1, 0.5, 0, 0.5: mean 0.5, variance 1/6.
# Locus 0.v has 30 sites, 3 sampled, with shares 0, 0, 0.5: mean 1/6, variance 1/12.
# Rate: (10 * 1/2 + 30 * 1/6) / 40 = 0.25.
# Variance: (10/40)^2 * (1 - 4/10) * (1/6) / 4 + (30/40)^2 * (1 - 3/30) * (1/12) / 3 = 0.0015625 + 0.0140625.
Q = [(True, True), (True, False), (False, False), (False, True)]
V = [(False, False), (False, False), (True, False)]
RECORDS = records_of(sites(0, "q", Q) + sites(0, "v", V))
LOCI = loci_of({(0, "q"): 10, (0, "v"): 30})


def wilson(rate: float, variance: float, freedom: int) -> tuple[float, float]:
    """Roots of (p - rate)^2 = t^2 p (1 - p) / n at n = rate (1 - rate) / variance, solved as a quadratic."""
    t, n = float(stats.t.ppf(0.975, freedom)), rate * (1 - rate) / variance
    a, b, c = 1 + t * t / n, -(2 * rate + t * t / n), rate * rate
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_a_pooled_rate_by_hand():
    row = nsm_rates(RECORDS, LOCI).row(0, named=True)
    assert (row["loci"], row["sites"], row["mutants"], row["nsm"]) == (2, 7, 14, 5)
    assert row["rate"] == pytest.approx(0.25)
    low, high = wilson(0.25, 0.0015625 + 0.0140625, freedom=7 - 2)
    assert row["low"] == pytest.approx(low)
    assert row["high"] == pytest.approx(high)
    assert 0 < low < 0.25 < high < 1


def test_rates_by_kind_and_mutation_by_hand():
    by_kind = {row["kind"]: row for row in nsm_rates(RECORDS, LOCI, ["kind"]).iter_rows(named=True)}
    assert by_kind["q"]["rate"] == pytest.approx(0.5)
    assert by_kind["v"]["rate"] == pytest.approx(1 / 6)
    low, high = wilson(0.5, 0.6 * (1 / 6) / 4, freedom=3)
    assert (by_kind["q"]["low"], by_kind["q"]["high"]) == pytest.approx((low, high))
    by_mutation = {
        row["mutation"]: row for row in nsm_rates(RECORDS, LOCI, ["mutation"]).iter_rows(named=True)
    }
    assert by_mutation["max"]["rate"] == pytest.approx((10 * 2 / 4 + 30 * 1 / 3) / 40)
    assert by_mutation["min"]["rate"] == pytest.approx((10 * 2 / 4 + 0) / 40)
    assert by_mutation["max"]["mutants"] == 7


def test_a_complete_screen_has_no_interval_width():
    loci = loci_of({(0, "q"): 4, (0, "v"): 3})
    row = nsm_rates(RECORDS, loci).row(0, named=True)
    assert row["rate"] == row["low"] == row["high"] == pytest.approx(5 / 14)


def test_a_list_of_mutants_has_no_interval():
    row = nsm_rates(RECORDS, loci_of({(0, "q"): None, (0, "v"): None})).row(0, named=True)
    assert row["rate"] == pytest.approx(5 / 14)
    assert row["low"] is row["high"] is None


@pytest.mark.parametrize("nsm", [True, False])
def test_no_or_only_nsms_still_leave_doubt(nsm):
    records = records_of(sites(0, "q", [(nsm, nsm)] * 10))
    row = nsm_rates(records, loci_of({(0, "q"): 1000})).row(0, named=True)
    assert row["rate"] == float(nsm)
    width = row["high"] - row["low"]
    assert 0.1 < width < 0.5
    assert row["low"] >= 0
    assert row["high"] <= 1


def test_one_site_in_each_locus_is_enough_for_an_interval():
    shares = [(True, True), (False, False), (True, False), (False, False), (True, True), (False, True)]
    records = records_of([row for i, pair in enumerate(shares) for row in sites(i, "q", [pair])])
    row = nsm_rates(records, loci_of({(i, "q"): 50 for i in range(6)})).row(0, named=True)
    assert row["rate"] == pytest.approx(0.5)
    assert 0 < row["low"] < 0.5 < row["high"] < 1


def population(seed: int) -> dict[tuple[int, str], np.ndarray]:
    """NSM flags [sites, 2] of six loci of unequal size and rate, the two mutations of a site alike in 80 %."""
    random = np.random.default_rng(seed)
    loci = {}
    for (layer, kind), size, rate in zip(
        [(0, "q"), (0, "v"), (0, "down"), (1, "q"), (1, "v"), (1, "down")],
        [400, 130, 1100, 400, 130, 1100],
        [0.1, 0.7, 0.3, 0.2, 0.55, 0.45],
        strict=True,
    ):
        first = random.random(size) < rate
        second = np.where(random.random(size) < 0.8, first, random.random(size) < rate)
        loci[layer, kind] = np.stack([first, second], axis=1)
    return loci


def draw(loci: dict[tuple[int, str], np.ndarray], each: int, random: np.random.Generator) -> pl.DataFrame:
    frames = []
    for (layer, kind), flags in loci.items():
        chosen = random.choice(len(flags), each, replace=False)
        frames += [
            pl.DataFrame({"col": chosen, "silent": ~flags[chosen, i]}).with_columns(
                layer=pl.lit(layer, pl.Int16), kind=pl.lit(kind), row=pl.lit(0), mutation=pl.lit(mutation)
            )
            for i, mutation in enumerate(("max", "min"))
        ]
    return pl.concat(frames)


@pytest.mark.parametrize("each", [4, 25])
def test_intervals_cover_the_true_rate(each):
    """Nominal 95 %: at least 90 % of 300 samples, and a width that says something."""
    loci = population(1)
    frame = loci_of({key: len(flags) for key, flags in loci.items()})
    truth = sum(flags.sum() for flags in loci.values()) / sum(flags.size for flags in loci.values())
    random = np.random.default_rng(2)
    covered, rates, widths = 0, [], []
    for _ in range(300):
        row = nsm_rates(draw(loci, each, random), frame).row(0, named=True)
        covered += row["low"] <= truth <= row["high"]
        rates.append(row["rate"])
        widths.append(row["high"] - row["low"])
    assert covered >= 270
    assert np.mean(rates) == pytest.approx(truth, abs=4 * float(np.std(rates)) / math.sqrt(300))
    assert np.mean(widths) < 2.6 * 1.96 * np.std(rates)  # not covering by being useless


def test_the_estimator_equals_an_independent_computation():
    loci = population(3)
    records = draw(loci, 9, np.random.default_rng(4))
    total = sum(len(flags) for flags in loci.values())
    rate = variance = 0.0
    for (layer, kind), flags in loci.items():
        mine = records.filter(layer=layer, kind=kind)
        shares = [float((~mine.filter(col=col)["silent"]).to_numpy().mean()) for col in mine["col"].unique()]
        weight = len(flags) / total
        rate += weight * float(np.mean(shares))
        variance += weight**2 * (1 - 9 / len(flags)) * float(np.var(shares, ddof=1)) / 9
    row = nsm_rates(records, loci_of({key: len(flags) for key, flags in loci.items()})).row(0, named=True)
    assert row["rate"] == pytest.approx(rate)
    assert (row["low"], row["high"]) == pytest.approx(wilson(rate, variance, 9 * 6 - 6))
