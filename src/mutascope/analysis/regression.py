"""Logistic and linear regression with an intercept per stratum and errors clustered by site, for millions of rows.

With one intercept for each of 224 loci, a design matrix of 3 million rows takes 5 GB in the libraries that fit it.
Here the intercepts never become columns: in every Newton step they are eliminated group by group (the Schur complement
of their diagonal block), which gives the same estimates in the memory of the few columns that are of interest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

_PRIOR_SD = 10.0
"""Width of the normal prior on a logistic coefficient, per standard deviation of its column: far wider than any
effect, and enough to keep a coefficient finite when its column separates the outcomes."""
_STEPS = 50
_CONVERGED = 1e-10
_SCALES = 0.5 ** np.arange(20)
"""Fractions of a Newton step that are tried until one is an ascent; none is, once rounding errors are reached."""


@dataclass(frozen=True)
class Fit:
    """An estimated regression.

    Attributes:
        coefficients: float64 [columns].
        covariance: float64 [columns, columns], the sandwich, clustered.
        fitted: float64 [rows], expected outcomes.
        explained: share of what the intercepts leave unexplained (deviance, or squares) that the columns explain.
        clusters: number of distinct clusters.
    """

    coefficients: np.ndarray
    covariance: np.ndarray
    fitted: np.ndarray
    explained: float
    clusters: int


def fit_logistic(outcome: np.ndarray, columns: np.ndarray, strata: np.ndarray, clusters: np.ndarray) -> Fit:
    """Fit log-odds = intercept of the stratum + columns x coefficients, by Newton's method with halved steps.

    Args:
        outcome: bool [rows]; every stratum has both outcomes.
        columns: float64 [rows, columns], standardised, none a combination of others within the strata.
        strata, clusters: int [rows], codes from 0.
    """
    y = outcome.astype(np.float64)
    intercepts = special.logit(np.bincount(strata, y) / np.bincount(strata))
    beta = np.zeros(columns.shape[1])
    null = value = _objective(y, intercepts[strata], beta)
    for _ in range(_STEPS):
        newton = _Newton.at(y, columns, strata, intercepts, beta)
        for scale in _SCALES:
            trial, trial_beta = intercepts + scale * newton.intercepts, beta + scale * newton.step
            reached = _objective(y, trial[strata] + columns @ trial_beta, trial_beta)
            if reached > value:
                break
        else:
            break
        gain, intercepts, beta, value = reached - value, trial, trial_beta, reached
        if gain <= _CONVERGED * abs(value):
            break
    end = _Newton.at(y, columns, strata, intercepts, beta)
    covariance = _sandwich(end.curvature, end.partial * (y - end.fitted)[:, None], clusters)
    likelihood = value + (beta @ beta) / (2 * _PRIOR_SD**2)
    return Fit(beta, covariance, end.fitted, float(1 - likelihood / null), int(clusters.max()) + 1)


@dataclass(frozen=True)
class _Newton:
    """A Newton step: ``step`` for the coefficients and ``intercepts`` for the strata, and what it was made from."""

    fitted: np.ndarray
    partial: np.ndarray
    curvature: np.ndarray
    step: np.ndarray
    intercepts: np.ndarray

    @classmethod
    def at(
        cls, y: np.ndarray, columns: np.ndarray, strata: np.ndarray, intercepts: np.ndarray, beta: np.ndarray
    ) -> _Newton:
        fitted = special.expit(intercepts[strata] + columns @ beta)
        weights, rest = np.maximum(fitted * (1 - fitted), 1e-12), y - fitted
        partial, means = centred(columns, strata, weights)
        curvature = partial.T @ (weights[:, None] * partial) + np.eye(len(beta)) / _PRIOR_SD**2
        left = np.bincount(strata, rest)
        step = np.linalg.solve(curvature, columns.T @ rest - means.T @ left - beta / _PRIOR_SD**2)
        return cls(fitted, partial, curvature, step, left / np.bincount(strata, weights) - means @ step)


def fit_linear(outcome: np.ndarray, columns: np.ndarray, strata: np.ndarray, clusters: np.ndarray) -> Fit:
    """Fit outcome = intercept of the stratum + columns x coefficients, by least squares; see :func:`fit_logistic`.

    ``outcome`` is float64 [rows] and varies within some stratum.
    """
    partial, _ = centred(columns, strata)
    (rest,), (means,) = (part.T for part in centred(outcome[:, None], strata))
    gram = partial.T @ partial
    beta = np.linalg.solve(gram, partial.T @ rest)
    along = partial @ beta
    covariance = _sandwich(gram, partial * (rest - along)[:, None], clusters)
    explained = float(1 - ((rest - along) ** 2).sum() / (rest**2).sum())
    return Fit(beta, covariance, means[strata] + along, explained, int(clusters.max()) + 1)


def centred(
    columns: np.ndarray, strata: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns [rows, columns] less their (weighted) stratum means, and the means [strata, columns]."""
    total = np.bincount(strata, weights)
    weighted = columns if weights is None else columns * weights[:, None]
    means = np.stack([np.bincount(strata, column) / total for column in weighted.T], axis=1)
    return columns - means[strata], means


def independent(columns: np.ndarray, tolerance: float = 1e-6) -> list[int]:
    """Return the columns of [rows, columns], in order, that are not combinations of those before them.

    A column is dropped when less than ``tolerance`` of its sum of squares is left once the kept ones are taken out.
    """
    gram = columns.T @ columns
    kept: list[int] = []
    for j, squares in enumerate(np.diag(gram)):
        left = squares
        if kept:
            left -= gram[j, kept] @ np.linalg.solve(gram[np.ix_(kept, kept)], gram[kept, j])
        if squares > 0 and left > tolerance * squares:
            kept.append(j)
    return kept


def _objective(y: np.ndarray, log_odds: np.ndarray, beta: np.ndarray) -> float:
    """Log-likelihood plus log prior, without constants."""
    fit = (y * log_odds - np.logaddexp(0, log_odds)).sum()
    return float(fit - beta @ beta / (2 * _PRIOR_SD**2))


def _sandwich(curvature: np.ndarray, scores: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Covariance of the coefficients, when rows of one cluster may depend on each other in any way."""
    sums = np.stack([np.bincount(clusters, score) for score in scores.T], axis=1)
    number = len(sums)
    inverse = np.linalg.inv(curvature)
    return inverse @ (sums.T @ sums) @ inverse * (number / max(number - 1, 1))
