"""Slopes within loci: known tests as limits, and the level where rows and columns have effects."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from mutascope.analysis.slopes import Slope, slope_within_loci


def mutants(**columns) -> pl.DataFrame:
    size = len(columns["y"])
    given = {"layer": [0] * size, "kind": ["v"] * size, "row": range(size), "col": range(size)}
    return pl.DataFrame({**given, **columns})


def test_of_two_groups_on_lines_of_their_own_it_is_a_welch_test():
    x, y = [True] * 3 + [False] * 5, [3.0, 4.5, 5.0, 1.0, 2.0, 1.5, 0.0, 2.5]
    found = slope_within_loci(mutants(x=x, y=y), "y", "x")
    one, other = np.array(y[:3]), np.array(y[3:])
    assert found.slope == pytest.approx(one.mean() - other.mean())
    variance = one.var(ddof=1) / 3 + other.var(ddof=1) / 5
    freedom = (1 / 3 + 1 / 5) ** 2 / (1 / (9 * 2) + 1 / (25 * 4))  # Bell and McCaffrey's, of equal variances
    t = (one.mean() - other.mean()) / np.sqrt(variance)
    assert found.p == pytest.approx(2 * stats.t.sf(t, freedom))
    assert found.r == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_loci_have_intercepts_of_their_own():
    random = np.random.default_rng(0)
    layer, x = np.repeat([0, 1, 2], 8), random.integers(0, 9, 24)
    y = 0.5 * x + 10 * layer + random.normal(size=24)
    frame = mutants(layer=layer, x=x, y=y)
    dummies = np.column_stack([x, *(layer == each for each in range(3))])
    expected = np.linalg.lstsq(dummies, y, rcond=None)[0][0]
    assert slope_within_loci(frame, "y", "x").slope == pytest.approx(expected)
    apart = frame.vstack(
        frame.head(4).with_columns(pl.lit(9, pl.Int64).alias("layer"), x=pl.lit(3, pl.Int64))
    )
    assert slope_within_loci(apart, "y", "x").slope == pytest.approx(expected)  # no two values there


def test_what_cannot_be_known_is_null():
    assert slope_within_loci(mutants(x=[1, 1, 1], y=[1.0, 2.0, 3.0]), "y", "x") == Slope()
    assert slope_within_loci(mutants(x=[1, 2, 3], y=[1.0, 1.0, 1.0]), "y", "x") == Slope(0.0, None, None)
    assert slope_within_loci(mutants(x=[1, 2, None], y=[None, 2.0, 3.0]), "y", "x") == Slope()
    one_row = mutants(x=[1, 1, 0, 0, 0, 0], y=[5.0, 6.0, 1.0, 2.0, 3.0, 1.0], row=[0, 0, 1, 2, 3, 4])
    found = slope_within_loci(one_row, "y", "x")  # is it the word, or its row?
    assert found.slope == pytest.approx(3.75)
    assert found.p is None


def rejected(
    loci: int, size: int, sd: tuple[float, float], draws: int, *, shared: bool, seed: int = 0
) -> float:
    """Share of p below .05 where rows and columns have effects, and words have none."""
    random = np.random.default_rng(seed)
    p = []
    for _ in range(draws):
        parts = []
        for layer in range(loci):
            rows, cols = random.integers(0, 24, size), random.integers(0, 24, size)
            rare = size // 4
            if shared:
                rows[:rare] = random.integers(0, 24)
            effects = random.normal(0, sd[0], 24)[rows] + random.normal(0, sd[1], 24)[cols] + random.normal()
            parts.append(
                pl.DataFrame(
                    {"row": rows, "col": cols, "x": np.arange(size) < rare, "y": effects}
                ).with_columns(
                    pl.lit(layer).alias("layer"),
                    pl.lit("down").alias("kind"),
                    pl.col("y") + random.normal(size=size),
                )
            )
        found = slope_within_loci(pl.concat(parts), "y", "x")
        assert found.p is not None
        p.append(found.p)
    return float(np.mean(np.array(p) < 0.05))


def test_the_level_where_the_mutants_of_a_word_share_rows():
    assert rejected(6, 12, (1, 0), 120, shared=True) <= 0.11


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("effects", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_the_level(shared, effects):
    for loci, size in ((3, 20), (6, 12), (20, 30)):
        assert rejected(loci, size, effects, 500, shared=shared, seed=loci) <= (0.1 if shared else 0.075)
