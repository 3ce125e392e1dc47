"""Contrasts of two sorts of items over units: known tests as limits, and the level under effects of both."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from mutascope.analysis.two_way import item_contrast, unit_means, with_unit

FIRST = np.arange(12) < 7


def test_where_only_units_differ_it_is_a_t_test_of_units():
    random = np.random.default_rng(1)
    table = random.normal(size=(6, 1)) + random.normal(0.4, 1, (6, 1)) * FIRST
    found = item_contrast(table, FIRST)
    assert found is not None
    expected = stats.ttest_1samp(table[:, 0] - table[:, -1], 0)
    assert found.p == pytest.approx(expected.pvalue)  # pyright: ignore[reportAttributeAccessIssue]
    interval = expected.confidence_interval()
    assert found.interval == pytest.approx((interval.low, interval.high))


def test_where_only_items_differ_it_is_welchs_test_of_items():
    random = np.random.default_rng(2)
    items = random.normal(size=12) + 0.5 * FIRST
    found = item_contrast(np.tile(items, (4, 1)) + np.arange(4)[:, None], FIRST)
    expected = stats.ttest_ind(items[FIRST], items[~FIRST], equal_var=False)
    assert found is not None
    assert found.p == pytest.approx(expected.pvalue)  # pyright: ignore[reportAttributeAccessIssue]


def test_the_variance_is_that_of_a_two_way_table():
    table = np.random.default_rng(3).normal(size=(3, 5)) + np.arange(3)[:, None] ** 2 * (np.arange(5) < 2)
    first = np.arange(5) < 2
    variance = 0.0
    differences = [row[:2].mean() - row[2:].mean() for row in table]
    own = np.var(differences, ddof=1) / 3
    for part in (table[:, :2], table[:, 2:]):
        n = part.shape[1]
        rest = [
            (part[u, i] - part[u].mean() - part[:, i].mean() + part.mean()) ** 2
            for u in range(3)
            for i in range(n)
        ]
        variance += np.var([part[:, i].mean() for i in range(n)], ddof=1) / n
        own -= sum(rest) / (2 * (n - 1)) / (3 * n)
    found = item_contrast(table, first)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(differences))
    assert found.variance == pytest.approx(max(own + variance, np.var(differences, ddof=1) / 3, variance))


def test_too_few_units_or_items_are_not_tested():
    assert item_contrast(np.zeros((1, 12)), FIRST) is None
    assert item_contrast(np.zeros((3, 4)), np.arange(4) < 1) is None
    nothing = item_contrast(np.ones((3, 12)), FIRST)
    assert nothing is not None
    assert nothing.p == 1


def rejected(
    units: int, sizes: tuple[int, int], sd: tuple[float, float, float], draws: int, seed: int
) -> float:
    """Share of p below .05 where units, items and cells vary, and the sorts do not differ."""
    random, first = np.random.default_rng(seed), np.arange(sum(sizes)) < sizes[0]
    p = []
    for _ in range(draws):
        unit = random.normal(0, sd[0], (units, 1)) + random.normal(0, sd[0], (units, 1)) * first
        cell = random.normal(0, sd[2], (units, len(first)))
        found = item_contrast(unit + random.normal(0, sd[1], len(first)) + cell, first)
        assert found is not None
        p.append(found.p)
    return float(np.mean(np.array(p) < 0.05))


def test_the_level_with_effects_of_both():
    assert rejected(8, (20, 10), (0.5, 0.5, 1), 400, 4) <= 0.09
    # units alone for units, as many tests have it, find a difference of the prompts at hand in most draws
    random = np.random.default_rng(5)
    alone = [
        stats.ttest_1samp(table[:, FIRST].mean(1) - table[:, ~FIRST].mean(1), 0)[1]
        for table in (random.normal(size=(20, 12)) / 3 + random.normal(size=12) for _ in range(100))
    ]
    assert np.mean(np.array(alone) < 0.05) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("units", [3, 8, 20])
@pytest.mark.parametrize("sd", [(1, 0, 1), (0, 1, 1), (1, 1, 1), (0.3, 0.3, 1)])
def test_the_level(units, sd):
    for sizes in ((100, 50), (10, 6)):
        assert 0.01 <= rejected(units, sizes, sd, 1000, units) <= (0.1 if units == 3 else 0.075)


def test_units_are_loci_or_the_fewer_lines_of_one():
    rows = {"layer": [0, 0, 1], "kind": ["v"] * 3, "row": [4, 5, 4], "col": [1, 1, 1]}
    assert with_unit(pl.DataFrame(rows))["unit"].to_list() == [1, 1, 2]
    one = pl.DataFrame({"layer": [0] * 4, "kind": ["v"] * 4, "row": [4, 5, 4, 6], "col": [1, 1, 2, 2]})
    assert with_unit(one)["unit"].to_list() == [1, 1, 2, 2]
    same = one.with_columns(row=pl.lit(4))  # one row: no two units there
    assert with_unit(same)["unit"].to_list() == [1, 1, 2, 2]
    values = one.with_columns(unit=pl.Series([1, 1, 2, 2]), item=pl.lit(0), x=pl.Series([1, 2, 5, 7]))
    assert unit_means(values, "item", "x").tolist() == [[1.5], [6.0]]
