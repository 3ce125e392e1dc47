"""The mean of sites whose rows and columns depend on each other, by its definition, and the levels of what uses it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from scipy import special, stats

from analysis.frames import loci_of, records_of_arrays
from mutascope.analysis.bias import bias_tests
from mutascope.analysis.comparison import compare_mutants, count_changes
from mutascope.analysis.crossed import crossed_mean
from mutascope.analysis.enrichment import conserved_across_layers
from mutascope.analysis.overlap import overlap_tests

SIZE = 24


def test_the_mean_by_its_definition():
    values = np.random.default_rng(0).normal(1, 2, (5, 7))
    row, col = np.indices(values.shape).reshape(2, -1)
    sites = pl.DataFrame({"layer": 0, "kind": "q", "row": row, "col": col, "d": values.ravel()})
    found = crossed_mean(sites, "d")
    rest = values - values.mean()
    rows = 5 / 4 * (rest.sum(axis=1) ** 2).sum()
    cols = 7 / 6 * (rest.sum(axis=0) ** 2).sum()
    variance = max(rows + cols - (rest**2).sum(), rows, cols) / 35**2
    freedom = (rows + cols) ** 2 / (rows**2 / 4 + cols**2 / 6)
    assert found.mean == pytest.approx(values.mean())
    assert found.variance == pytest.approx(variance)
    assert found.freedom == pytest.approx(freedom)
    assert found.p == pytest.approx(2 * stats.t.sf(values.mean() / np.sqrt(variance), freedom))


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_has_the_same_bits_every_time(seed):
    """Groups come in any order where several threads ask for them."""
    places = np.indices((7, 7)).reshape(2, -1)
    values = np.random.default_rng(seed).normal(size=49)
    sites = pl.DataFrame({"row": places[0], "col": places[1], "x": values}).with_columns(
        layer=0, kind=pl.lit("q")
    )
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(lambda _: crossed_mean(sites, "x"), range(600))
    assert len(set(found)) == 1


def statuses(random: np.random.Generator, row: float, col: float, rate: float) -> np.ndarray:
    """A map in which max, and min, each have row and column effects of their own."""
    nsm = [
        random.random((SIZE, SIZE))
        < special.expit(
            special.logit(rate) + random.normal(0, row, SIZE)[:, None] + random.normal(0, col, SIZE)
        )
        for _ in range(2)
    ]
    return (1 + nsm[0] + 2 * nsm[1]).astype(np.int8)


def screens(row: float, col: float, rate: float, sets: int) -> dict[str, pl.DataFrame]:
    """Records of two screens with as many loci as sets, which have nothing to do with each other."""
    random = np.random.default_rng(4)
    return {
        name: records_of_arrays({(layer, "q"): statuses(random, row, col, rate) for layer in range(sets)})
        for name in "ab"
    }


@pytest.mark.slow
@pytest.mark.parametrize("row, col, rate", [(0.0, 1.0, 0.3), (1.0, 1.0, 0.5), (1.0, 1.0, 0.05)])
def test_changes_and_bias_keep_their_level_where_lines_have_effects(row, col, rate):
    given, loci = (
        screens(row, col, rate, 1000),
        loci_of({(layer, "q"): (SIZE, SIZE) for layer in range(1000)}),
    )
    changes = count_changes(compare_mutants(given, dict.fromkeys(given, loci)), ["layer", "kind"])
    bias = bias_tests(given["a"])
    exact = [
        stats.binomtest(min(pair), sum(pair)).pvalue
        for pair in changes.select("sites_lost", "sites_gained").rows()
    ]
    assert np.mean(np.array(exact) < 0.05) > 0.2  # what counts every site for itself
    for table in (changes, bias):
        assert 0.03 <= np.mean(table["p"].to_numpy() < 0.05) <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize("row, col, rate", [(0.0, 0.0, 0.3), (1.0, 1.0, 0.3)])
def test_overlap_keeps_its_level_where_lines_have_effects(row, col, rate):
    random, p = np.random.default_rng(5), []
    loci = loci_of({(0, "q"): (SIZE, SIZE)})
    for _ in range(500):
        given = {name: records_of_arrays({(0, "q"): statuses(random, row, col, rate)}) for name in "ab"}
        p.append(overlap_tests(given, dict.fromkeys(given, loci), [("a", "b")])["p"][0])
    assert 0.03 <= np.mean(np.array(p) < 0.05) <= 0.07


def test_overlap_that_lines_make_is_told_from_overlap_by_lines_of_their_own():
    given = screens(1.0, 1.0, 0.3, 2)
    loci = dict.fromkeys((*given, "c"), loci_of({(0, "q"): (SIZE, SIZE), (1, "q"): (SIZE, SIZE)}))
    given["c"] = given["a"]
    found = overlap_tests(given, loci, [("a", "b"), ("a", "c")])
    assert found["p"][0] > 0.05
    assert found["p"][1] < 1e-6
    sampled = {name: records.filter(pl.col("row") > 0) for name, records in given.items()}
    assert overlap_tests(sampled, loci, [("a", "b")])["p"].to_list() == [None]


def test_a_locus_that_leans_is_told():
    leaning = np.where(np.random.default_rng(1).random((SIZE, SIZE)) < 0.5, 2, 1).astype(np.int8)
    even = statuses(np.random.default_rng(2), 0.5, 0.5, 0.3)
    found = bias_tests(records_of_arrays({(0, "q"): leaning, (1, "q"): even}))
    assert found["p"][0] < 1e-6
    assert found["q"][1] == found["p"][1] > 0.05


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_conserved_lines_keep_their_level(share):
    random, sets = np.random.default_rng(6), []
    layer, index = np.indices((12, 40)).reshape(2, -1)
    for number in range(60):  # lines that are enriched anywhere, in each layer by itself
        called = random.random((12, 40)) < random.beta(4 * share, 4 * (1 - share), (12, 1))
        columns = {"layer": layer, "index": index, "enriched": called.ravel()}
        sets.append(pl.DataFrame(columns).with_columns(kind=pl.lit(f"k{number}"), axis=pl.lit("row")))
    found = conserved_across_layers(pl.concat(sets))
    assert len(found) > 500
    assert np.mean(found["p"].to_numpy() <= 0.05) <= 0.06  # counts are few: it may be less
    assert not found["conserved"].any()
