"""Findings in the mean of several seeds: against drawn permutations, their level, and what survives by construction."""

import numpy as np
import polars as pl
import pytest

from analysis.frames import loci_of, records_of_arrays
from mutascope.analysis.seeds import (
    chance_bias,
    chance_lines,
    chance_patterns,
    map_of_seed,
    nsm_chances,
    seed_rates,
    silence_columns,
    survival,
)

SHAPE = (12, 16)


def sites_of(largest: np.ndarray, smallest: np.ndarray, layer: int = 0) -> pl.DataFrame:
    """Chances of max and min [rows, cols] as a frame of sites."""
    row, col = np.indices(largest.shape).reshape(2, -1).astype(np.int32)
    frame = pl.DataFrame({"row": row, "col": col, "max": largest.ravel(), "min": smallest.ravel()})
    return frame.with_columns(layer=pl.lit(layer, pl.Int16), kind=pl.lit("v"))


def test_p_of_a_line_is_the_share_of_permutations_that_reach_it():
    random = np.random.default_rng(3)
    values = random.gamma(0.5, size=SHAPE) / 10
    values[4] += 0.03
    found = chance_lines(sites_of(values, values)).filter(axis="row")
    dealt = random.permuted(np.tile(values.ravel(), (20_000, 1)), axis=1).reshape(-1, *SHAPE).mean(axis=2)
    for index, p in found.select("index", "p").iter_rows():
        share = (dealt[:, index] >= values[index].mean()).mean()
        assert p == pytest.approx(share, abs=0.015), index
    assert found["chance"].to_list() == pytest.approx(values.mean(axis=1).tolist())


def test_a_line_that_all_others_equal_is_not_enriched():
    flat = np.full(SHAPE, 0.3)
    assert set(chance_lines(sites_of(flat, flat))["p"]) == {1.0}


@pytest.mark.parametrize("shape", [0.3, 3.0])
def test_lines_are_called_as_often_as_they_should(shape):
    random = np.random.default_rng(1)
    drawn = [sites_of(random.beta(shape, 1, SHAPE), random.beta(1, 1, SHAPE), layer) for layer in range(60)]
    p = chance_lines(pl.concat(drawn))["p"].to_numpy()
    assert 0.035 < (p <= 0.05).mean() < 0.065
    assert (p <= 0.001).mean() < 0.004


@pytest.mark.parametrize(
    "loci, low, high", [(60, 0.01, 0.1), pytest.param(500, 0.03, 0.07, marks=pytest.mark.slow)]
)
def test_patterns_are_called_as_often_as_they_should(loci, low, high):
    random = np.random.default_rng(2)
    drawn = []
    for layer in range(loci):
        sizes = random.random(SHAPE) * random.random((12, 1)) * random.random((1, 16))
        half = np.where(random.random(SHAPE) < 0.6, sizes, -sizes) / 2
        drawn.append(sites_of(0.5 + half, 0.5 - half, layer))
    found = chance_patterns(pl.concat(drawn), shuffles=100)
    for axis in ("row", "col"):
        assert low < (found.filter(axis=axis)["p"].to_numpy() <= 0.05).mean() < high


@pytest.mark.slow
def test_leaning_is_called_as_often_as_it_should():
    """Chances of max and of min have row and column effects of their own."""
    random = np.random.default_rng(4)
    drawn = []
    for layer in range(1000):
        odds = [
            random.normal(0, 1, (24, 1)) + random.normal(0, 1, 24) + random.normal(size=(24, 24))
            for _ in "+-"
        ]
        largest, smallest = 1 / (1 + np.exp(odds))
        drawn.append(sites_of(largest, smallest, layer))
    assert 0.03 <= (chance_bias(pl.concat(drawn))["p"].to_numpy() <= 0.05).mean() <= 0.07


def test_a_pattern_of_opposite_columns_is_found_and_a_locus_leans_the_way_of_its_chances():
    random = np.random.default_rng(4)
    sign = np.where(random.random(SHAPE[0]) < 0.5, 1, -1)[:, None] * np.where(np.arange(16) % 2, 1, -1)
    noise = random.random(SHAPE) / 4
    dealt = random.permutation(noise.ravel()).reshape(SHAPE)
    largest, smallest = 0.5 + 0.2 * sign + noise, 0.4 - 0.2 * sign + dealt
    sites = pl.concat([sites_of(largest, smallest), sites_of(noise, dealt, 1)])
    patterns = chance_patterns(sites)
    assert (patterns.filter(layer=0)["q"] < 0.01).all()
    assert (patterns.filter(layer=1)["q"] > 0.05).all()
    bias = chance_bias(sites)
    assert bias["difference"].to_list() == pytest.approx([(largest - smallest).mean(), 0.0])
    assert bias["q"][1] == pytest.approx(1.0)


def several_seeds(maps: list[np.ndarray]) -> pl.DataFrame:
    """Records with a map per seed: statuses [rows, cols] of 1 silent, 2 max only, 3 min only, 4 both."""
    parts = [records_of_arrays({(0, "v"): status}) for status in maps]
    chance = pl.when("silent").then(0.9).otherwise(0.1)
    whole = parts[0].with_columns(silence=chance, first_divergence=pl.when(~pl.col("silent")).then(3))
    for seed, part in enumerate(parts[1:], 1):
        columns = part.select(
            chance.alias(f"silence_{seed}"),
            pl.when(~pl.col("silent")).then(5).cast(pl.Int32).alias(f"first_divergence_{seed}"),
        )
        whole = whole.hstack(columns)
    return whole


def test_what_every_seed_has_survives_and_what_one_seed_has_does_not():
    maps = [np.ones((12, 40), dtype=int) for _ in range(4)]
    for seed, status in enumerate(maps):
        status[:, 7] = 4
        status[2 * seed] = 2
    records = several_seeds(maps)
    assert silence_columns(records) == ["silence", "silence_1", "silence_2", "silence_3"]
    assert (
        map_of_seed(records, "silence_2")["silent"].sum() == (maps[2] == 1).sum() * 2 + (maps[2] == 2).sum()
    )
    found = {row["finding"]: row for row in survival(records, loci_of({(0, "v"): (12, 40)})).to_dicts()}
    columns, rows = found["enriched columns"], found["enriched rows"]
    assert (columns["found"], columns["again"], columns["survive"], columns["of_mean"]) == (1, 1, 1, 1)
    assert rows["found"] == 1
    assert rows["again"] == rows["survive"] == 0
    chances = nsm_chances(records, ["silence", "silence_1"])
    assert chances.filter(row=0, col=0).select("max", "min").row(0) == pytest.approx((0.5, 0.1))


def test_two_maps_are_as_alike_as_their_calls():
    maps = [np.ones((2, 4), dtype=int) for _ in range(2)]
    maps[0][0], maps[1][:, 0] = 4, 4
    found = seed_rates(several_seeds(maps))
    assert found["seed"].to_list() == [None, 1]
    assert found["nsm"].to_list() == [8, 4]
    assert found["expected"].to_list() == pytest.approx([8 * 0.9 + 8 * 0.1, 4 * 0.9 + 12 * 0.1])
    assert found["alike"].to_list() == [0.5, 0.5]  # sites (0, 0) and (1, 1) to (1, 3) of eight
    assert found["alike_by_chance"].to_list() == [0.5, 0.5]


def test_a_screen_of_one_seed_has_no_columns():
    assert silence_columns(records_of_arrays({(0, "v"): np.ones(SHAPE, dtype=int)})) == []
