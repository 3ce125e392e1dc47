"""The regressions against general optimisers and explicit design matrices, and the coverage of their intervals."""

import numpy as np
import pytest
from scipy import optimize, special

from mutascope.analysis.regression import centred, fit_linear, fit_logistic, independent


def data(random: np.random.Generator, rows: int = 900, strata: int = 6):
    group = random.integers(0, strata, rows)
    columns = random.normal(size=(rows, 3)) + group[:, None] * 0.3
    log_odds = np.linspace(-1.5, 1, strata)[group] + columns @ [0.8, -0.4, 0.0]
    clusters = np.arange(rows) // 2
    return group, columns, log_odds, clusters


def test_logistic_estimates_are_those_of_the_full_design_matrix():
    random = np.random.default_rng(0)
    strata, columns, log_odds, clusters = data(random)
    y = random.random(len(log_odds)) < special.expit(log_odds)
    design = np.hstack([np.eye(6)[strata], columns])

    def loss(theta: np.ndarray) -> float:
        eta = design @ theta
        return np.logaddexp(0, eta).sum() - y @ eta + theta[6:] @ theta[6:] / 200

    full = optimize.minimize(loss, np.zeros(9), method="BFGS", options={"gtol": 1e-7}).x
    fit = fit_logistic(y, columns, strata, [clusters])
    np.testing.assert_allclose(fit.coefficients, full[6:], atol=1e-4)
    mu = special.expit(design @ full)
    np.testing.assert_allclose(fit.fitted, mu, atol=1e-4)
    # sandwich of the full matrix, clusters summed; leverages are small here
    bread = np.linalg.inv(design.T @ (design * (mu * (1 - mu))[:, None]))
    scores = (design * (y - mu)[:, None]).reshape(-1, 2, 9).sum(axis=1)
    covariance = bread @ scores.T @ scores @ bread
    np.testing.assert_allclose(fit.errors**2, np.diag(covariance)[6:], rtol=0.02)
    share = np.bincount(strata, y) / np.bincount(strata)
    deviance, null = (-(y * np.log(m) + ~y * np.log(1 - m)).sum() for m in (mu, share[strata]))
    assert fit.explained == pytest.approx(1 - deviance / null, abs=1e-4)


def test_linear_estimates_are_least_squares():
    random = np.random.default_rng(1)
    strata, columns, log_odds, clusters = data(random)
    y = log_odds + random.normal(size=len(log_odds))
    design = np.hstack([np.eye(6)[strata], columns])
    full, *_ = np.linalg.lstsq(design, y)
    fit = fit_linear(y, columns, strata, [clusters])
    np.testing.assert_allclose(fit.coefficients, full[6:], atol=1e-10)
    np.testing.assert_allclose(fit.fitted, design @ full, atol=1e-10)
    scores = (design * (y - design @ full)[:, None]).reshape(-1, 2, 9).sum(axis=1)
    bread = np.linalg.inv(design.T @ design)
    np.testing.assert_allclose(fit.errors**2, np.diag(bread @ scores.T @ scores @ bread)[6:], rtol=0.02)
    means = np.bincount(strata, y) / np.bincount(strata)
    rest = ((y - design @ full) ** 2).sum() / ((y - means[strata]) ** 2).sum()
    assert fit.explained == pytest.approx(1 - rest)


def test_a_column_that_separates_the_outcomes_stays_finite():
    y = np.repeat([False, True], 50)
    strata, clusters = np.tile([0, 1], 50), np.arange(100)
    fit = fit_logistic(y, np.where(y, 1.0, -1.0)[:, None], strata, [clusters])
    assert 3 < fit.coefficients[0] < 30
    assert np.isfinite(fit.errors).all()
    assert fit.fitted[:50].max() < 0.02 < 0.98 < fit.fitted[50:].min()


def test_intervals_hold_when_the_rows_of_a_cluster_depend_on_each_other():
    random, covered = np.random.default_rng(2), 0
    for _ in range(200):
        site = random.normal(size=(300, 1))
        first = random.random(300) < special.expit(0.5 * site[:, 0])
        twin = np.where(random.random(300) < 0.9, first, random.random(300) < special.expit(0.5 * site[:, 0]))
        columns = np.repeat(site, 2, axis=0)
        y = np.stack([first, twin], axis=1).ravel()
        fit = fit_logistic(y, columns, np.zeros(600, dtype=int), [np.repeat(np.arange(300), 2)])
        covered += abs(fit.coefficients[0] - 0.5) < 1.96 * fit.errors[0]
    assert covered >= 186  # 178 if every row were a cluster of its own


def leverage_by_hand(columns: np.ndarray, rest: np.ndarray, clusters: np.ndarray):
    """Return CR2 variances and Bell and McCaffrey's degrees of freedom, with every matrix written out."""
    bread = np.linalg.inv(columns.T @ columns)
    hat = np.eye(len(rest)) - columns @ bread @ columns.T - 1 / len(rest)  # the intercept
    meat, vectors = 0.0, []
    for code in np.unique(clusters):
        own = clusters == code
        values, axes = np.linalg.eigh(hat[np.ix_(own, own)])
        half = axes @ np.diag(np.where(values > 1e-8, np.abs(values), np.inf) ** -0.5) @ axes.T
        score = columns[own].T @ half @ rest[own]
        meat = meat + np.outer(score, score)
        vectors.append(hat[:, own] @ half @ columns[own] @ bread)
    freedom = []
    for j in range(columns.shape[1]):
        spread = np.stack([vector[:, j] for vector in vectors], axis=1)
        eigen = np.linalg.eigvalsh(spread.T @ spread)
        freedom.append(eigen.sum() ** 2 / (eigen**2).sum())
    return np.diag(bread @ meat @ bread), np.array(freedom)


def test_errors_and_freedom_are_those_of_the_written_out_matrices():
    random = np.random.default_rng(4)
    rows, cols = (axis.ravel() for axis in np.mgrid[:9, :11])
    columns = np.stack([random.normal(size=99), random.normal(size=11)[cols], np.isin(cols, (3, 8))], axis=1)
    columns -= columns.mean(axis=0)
    y = random.normal(size=99) + random.normal(size=11)[cols] + random.normal(size=9)[rows]
    one = fit_linear(y, columns, np.zeros(99, dtype=int), [cols])
    rest = y - one.fitted
    variance, freedom = leverage_by_hand(columns, rest, cols)
    np.testing.assert_allclose(one.errors**2, variance, rtol=1e-8)
    np.testing.assert_allclose(one.freedom, freedom, rtol=1e-8)
    assert one.freedom[2] < 3 < one.freedom[0]  # two marked lines in eleven
    two = fit_linear(y, columns, np.zeros(99, dtype=int), [rows, cols])
    by_row, row_freedom = leverage_by_hand(columns, rest, rows)
    crossed, _ = leverage_by_hand(columns, rest, np.arange(99))
    assert two.errors[0] ** 2 == pytest.approx(variance[0] + by_row[0] - crossed[0])
    together = (variance[0] + by_row[0]) ** 2
    assert two.freedom[0] == pytest.approx(
        together / (variance[0] ** 2 / freedom[0] + by_row[0] ** 2 / row_freedom[0])
    )
    np.testing.assert_allclose(
        two.errors[1:] ** 2, variance[1:]
    )  # constant along a column: rows do not matter
    np.testing.assert_allclose(two.freedom[1:], freedom[1:])


def test_what_one_cluster_alone_determines_has_no_error():
    random = np.random.default_rng(5)
    cols = np.tile(np.arange(8), 9)
    marked = np.stack([cols == 3, random.normal(size=72)], axis=1)
    fit = fit_linear(random.normal(size=72), marked, np.zeros(72, dtype=int), [cols])
    assert np.isnan(fit.errors).tolist() == [True, False]


def test_centring_by_hand():
    values, means = centred(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1]), np.array([3.0, 1.0, 2.0]))
    assert means.tolist() == [[1.5], [5]]
    assert values.tolist() == [[-0.5], [1.5], [0]]


def test_combinations_of_other_columns_are_dropped():
    random = np.random.default_rng(3)
    a, b = random.normal(size=(2, 50))
    columns = np.stack([a, np.zeros(50), 2 * a, b, a - b, b + 1e-2 * random.normal(size=50)], axis=1)
    assert independent(columns) == [0, 3, 5]
