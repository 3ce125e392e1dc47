"""Logistic and linear regression with an intercept per stratum and clustered errors, for millions of rows.

With one intercept for each of 224 loci, a design matrix of 3 million rows takes 5 GB in the libraries that fit it.
Here the intercepts never become columns: in every Newton step they are eliminated group by group (the Schur complement
of their diagonal block), which gives the same estimates in the memory of the few columns that are of interest.

Errors may be clustered in two ways at once (Cameron, Gelbach and Miller 2011). A column that varies between a few
clusters only, such as a mark of one line in each locus, makes the usual sandwich far too small. So residuals are
corrected for their leverage (CR2), and every coefficient has degrees of freedom of its own (Bell and McCaffrey 2002;
Imbens and Kolesár 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

_PRIOR_SD = 10.0
"""Width of the normal prior on a logistic coefficient, per standard deviation of its column: far wider than any
effect, and enough to keep a coefficient finite when its column separates the outcomes."""
_STEPS = 50
_CONVERGED = 1e-10
_LEVERAGE = 1e-8
"""What is left of a direction that one cluster alone determines: its residual says nothing."""
_SCALES = 0.5 ** np.arange(20)
"""Fractions of a Newton step that are tried until one is an ascent; none is, once rounding errors are reached."""


@dataclass(frozen=True)
class Fit:
    """An estimated regression.

    Attributes:
        coefficients: float64 [columns].
        errors: float64 [columns], standard errors; NaN where one cluster alone determines the coefficient.
        freedom: float64 [columns], degrees of freedom of the t distribution that they go with.
        fitted: float64 [rows], expected outcomes.
        explained: share of what the intercepts leave unexplained (deviance, or squares) that the columns explain.
    """

    coefficients: np.ndarray
    errors: np.ndarray
    freedom: np.ndarray
    fitted: np.ndarray
    explained: float


def fit_logistic(
    outcome: np.ndarray, columns: np.ndarray, strata: np.ndarray, clusters: Sequence[np.ndarray]
) -> Fit:
    """Fit log-odds = intercept of the stratum + columns x coefficients, by Newton's method with halved steps.

    Args:
        outcome: bool [rows]; every stratum has both outcomes.
        columns: float64 [rows, columns], standardised, none a combination of others within the strata.
        strata: int [rows], codes from 0.
        clusters: one or two clusterings, int [rows] each, codes from 0; rows of a cluster may depend on each other in
            any way.
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
    weights = np.maximum(end.fitted * (1 - end.fitted), 1e-12)
    errors, freedom = _errors(end.curvature, end.partial, weights, y - end.fitted, strata, clusters)
    likelihood = value + (beta @ beta) / (2 * _PRIOR_SD**2)
    return Fit(beta, errors, freedom, end.fitted, float(1 - likelihood / null))


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


def fit_linear(
    outcome: np.ndarray, columns: np.ndarray, strata: np.ndarray, clusters: Sequence[np.ndarray]
) -> Fit:
    """Fit outcome = intercept of the stratum + columns x coefficients, by least squares; see :func:`fit_logistic`.

    ``outcome`` is float64 [rows] and varies within some stratum.
    """
    partial, _ = centred(columns, strata)
    (rest,), (means,) = (part.T for part in centred(outcome[:, None], strata))
    gram = partial.T @ partial
    beta = np.linalg.solve(gram, partial.T @ rest)
    along = partial @ beta
    errors, freedom = _errors(gram, partial, np.ones(len(rest)), rest - along, strata, clusters)
    explained = float(1 - ((rest - along) ** 2).sum() / (rest**2).sum())
    return Fit(beta, errors, freedom, means[strata] + along, explained)


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


def _errors(
    curvature: np.ndarray,
    partial: np.ndarray,
    weights: np.ndarray,
    rest: np.ndarray,
    strata: np.ndarray,
    clusters: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return standard errors and degrees of freedom [columns], clustered in one or two ways.

    Args:
        curvature: [columns, columns]; its inverse would be the covariance of independent errors.
        partial: [rows, columns], less the stratum means.
        weights: [rows], inverse variances.
        rest: [rows], what is not explained.
        strata: [rows], each of whole clusters.
        clusters: one or two clusterings.
    """
    values, vectors = np.linalg.eigh(curvature)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    intercept = np.bincount(strata, weights)[strata] ** -0.5
    along = np.column_stack([partial @ root, intercept])
    ways = [_one_way(root, along, weights, rest, strata, codes) for codes in clusters]
    variance, freedom = (np.array(part) for part in zip(*ways, strict=True))
    if len(clusters) == 1:
        return np.sqrt(variance[0]), freedom[0]
    constant = np.array([_constant(partial, codes) for codes in clusters])
    matters = ~constant[::-1] | constant.all(axis=0)  # a column that is constant along a way has no other
    both, _ = _one_way(root, along, weights, rest, strata, _crossed(*clusters))
    parts = np.where(matters, variance, 0)
    total = parts.sum(axis=0)
    freedom = total**2 / np.maximum((parts**2 / np.maximum(freedom, 1)).sum(axis=0), np.finfo(float).tiny)
    crossed = np.where(matters.all(axis=0) & (total > both), both, 0)
    return np.sqrt(total - crossed), np.maximum(freedom, 1.0)


def _constant(partial: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return which columns [columns] do not vary within clusters."""
    within, _ = centred(partial, clusters)
    return (within**2).sum(axis=0) <= _LEVERAGE * (partial**2).sum(axis=0)


def _one_way(
    root: np.ndarray,
    along: np.ndarray,
    weights: np.ndarray,
    rest: np.ndarray,
    strata: np.ndarray,
    clusters: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return variances and degrees of freedom [columns] under one clustering, corrected for leverage (CR2).

    In the coordinates of ``along`` [rows, columns + 1], the columns times the root of the inverse curvature and the
    intercept, the leverage of a cluster is a small matrix, however many rows it has.
    """
    number, width = int(clusters.max()) + 1, along.shape[1]
    sums = np.stack([np.bincount(clusters, part * rest, number) for part in along.T], axis=1)
    leverage = np.empty((number, width, width))
    for i in range(width):
        for j in range(i, width):
            products = weights * along[:, i] * along[:, j]
            leverage[:, i, j] = leverage[:, j, i] = np.bincount(clusters, products, number)
    share, axes = np.linalg.eigh(leverage)
    left = np.maximum(1 - share, 0)
    scale = np.divide(1, np.sqrt(left), out=np.zeros_like(left), where=left > _LEVERAGE)
    shrunk = scale * (sums[:, None] @ axes)[:, 0]
    corrected = (axes[:, :-1] @ shrunk[:, :, None])[:, :, 0]
    turned = axes[:, :-1].mT @ root  # [clusters, axes, columns]
    alone = ((scale == 0)[:, :, None] & (turned**2 > _LEVERAGE * (root**2).sum(axis=0))).any(axis=(0, 1))
    variance = np.where(alone, np.nan, ((corrected @ root) ** 2).sum(axis=0))
    home = np.zeros(number, dtype=np.int64)
    home[clusters] = strata
    return variance, _freedom(share, scale, axes, turned, home)


def _freedom(
    share: np.ndarray, scale: np.ndarray, axes: np.ndarray, turned: np.ndarray, home: np.ndarray
) -> np.ndarray:
    """Return Bell and McCaffrey's degrees of freedom [columns]: of independent errors, by the first two moments.

    Args:
        share, scale: [clusters, axes], eigenvalues of the leverages, and what corrects for them.
        axes: [clusters, columns + 1, axes], their eigenvectors.
        turned: [clusters, axes, columns], the coefficients in them.
        home: [clusters], stratum of each.
    """
    own = np.einsum("gj,gjk->gk", share * scale**2, turned**2)
    others = axes @ ((share * scale)[:, :, None] * turned)
    columns, intercept = others[:, :-1], others[:, -1]
    trace = own.sum(axis=0) - (others**2).sum(axis=(0, 1))
    squares = (own**2).sum(axis=0) - 2 * (own * (others**2).sum(axis=1)).sum(axis=0)
    squares += (np.einsum("gik,gjk->kij", columns, columns) ** 2).sum(axis=(1, 2))
    for part, times in ((columns * intercept[:, None], 2), (intercept[:, None] ** 2, 1)):
        sums = np.zeros((int(home.max()) + 1, *part.shape[1:]))
        np.add.at(sums, home, part)
        squares += times * (sums**2).sum(axis=(0, 1))
    return np.maximum(trace, 0) ** 2 / np.maximum(squares, np.finfo(float).tiny)


def _crossed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Codes from 0 of the pairs of codes that occur."""
    return np.unique(first.astype(np.int64) * (int(second.max()) + 1) + second, return_inverse=True)[1]
