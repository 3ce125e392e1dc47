"""NSM rates from all predictions and an exact sample: unbiased like the sample, and narrower.

The difference estimator of survey sampling, with cross-fitted predictions (Breidt and Opsomer, *Model-assisted survey
estimation with modern prediction techniques*, 2017; prediction-powered inference in machine learning): the mean of the
predicted probabilities over all mutants, plus the mean over the sample of exact minus predicted. The second term
removes whatever bias the predictions have, and only its sampling error counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mutascope.analysis.calibration import calibrated, fit_calibration, folds_of
from mutascope.analysis.rates import filled_variances, interval, nsm_rates
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY, SITE_KEY


def combined_rates(
    predictions: pl.DataFrame, sample: pl.DataFrame, loci: pl.DataFrame, by: Sequence[str] = (), seed: int = 0
) -> pl.DataFrame:
    """Return the NSM rate of every group of ``by``, from predictions and sample, beside the sample's own.

    With N_l sites in a locus, n_l of them sampled, f the predicted share of a site's mutants that are NSMs and d_i the
    exact minus the predicted share of a sampled site (its prediction calibrated on other sites), the rate is
    sum_l N_l (mean of f + mean of d) / sum_l N_l, and its variance that of a stratified mean of d; a locus whose sites
    were all run has its exact rate. The variance of a stratum is not taken below mean p (1 - p) / mutants of a site,
    which is what calibrated predictions leave, so that a sample without a single wrong call is not taken for certainty.
    Intervals as in :func:`~mutascope.analysis.rates.nsm_rates`.

    Args:
        predictions: a row per mutant of the region: columns layer, kind, row, col, mutation, risk.
        sample: exact calls of sites drawn at random within loci: columns layer, kind, row, col, mutation, silent.
        loci: columns layer, kind, region_sites.
        by: among layer, kind, mutation.
        seed: of the folds.

    Returns:
        As of :func:`rates_of`.
    """
    return rates_of(*cross_fitted_differences(predictions, sample, seed), loci, by)


def cross_fitted_differences(
    predictions: pl.DataFrame, sample: pl.DataFrame, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what combined rates are made of; arguments as of :func:`combined_rates`.

    Returns:
        All predictions with their mean ``probability`` over the calibrations of the folds, and the sample that was
        predicted with the ``difference`` of each exact call from the calibration that did not see its site.
    """
    known = sample.join(
        predictions.select(*MUTANT_KEY, "risk"), on=MUTANT_KEY, how="inner", maintain_order="left"
    )
    fold = folds_of(known, seed)
    total = np.zeros(len(predictions))
    apart = []
    for index in np.unique(fold):  # fewer sites than folds leave some empty
        own = pl.Series(fold == index)
        curve = fit_calibration(known.filter(~own))
        total += calibrated(predictions, curve)["probability"].to_numpy()
        apart.append(calibrated(known.filter(own), curve))
    difference = (~pl.col("silent")).cast(pl.Float64) - pl.col("probability")
    everything = predictions.with_columns(probability=pl.Series(total / len(apart)))
    return everything, pl.concat(apart).with_columns(difference=difference)


def rates_of(
    everything: pl.DataFrame, differences: pl.DataFrame, loci: pl.DataFrame, by: Sequence[str] = ()
) -> pl.DataFrame:
    """Return the rates of :func:`combined_rates` from :func:`cross_fitted_differences`, of the same mutations both.

    Returns:
        Columns of ``by``, then loci, sites, mutants, rate, low, high (combined), predicted (mean probability alone),
        sample_rate, sample_low, sample_high.
    """
    keys = [*dict.fromkeys([*LOCUS_KEY, *by])]
    population = everything.group_by(keys, maintain_order=True).agg(
        mean=pl.col("probability").mean(), spread=(pl.col("probability") * (1 - pl.col("probability"))).mean()
    )
    sites = differences.group_by([*dict.fromkeys([*SITE_KEY, *by])], maintain_order=True).agg(
        difference=pl.col("difference").mean(),
        exact=(~pl.col("silent")).mean(),
        mutants=pl.len(),
    )
    strata = (
        sites.group_by(keys, maintain_order=True)
        .agg(
            sites=pl.len(),
            mutants=pl.col("mutants").sum(),
            offset=pl.col("difference").mean(),
            variance=pl.col("difference").var(),
            exact=pl.col("exact").mean(),
        )
        .join(population, on=keys, maintain_order="left")
        .join(loci.select(*LOCUS_KEY, "region_sites"), on=LOCUS_KEY, maintain_order="left")
        .with_columns(mean=pl.col("mean").cast(pl.Float64))
        .sort(keys)
    )
    own = nsm_rates(differences, loci, by).select(
        *by, pl.col("rate", "low", "high").cast(pl.Float64).name.prefix("sample_")
    )
    if not by:
        return pl.concat([pl.DataFrame([_pooled(strata)]), own], how="horizontal")
    rows = [
        {**dict(zip(by, key, strict=True)), **_pooled(group)}
        for key, group in strata.group_by(list(by), maintain_order=True)
    ]
    frame = pl.DataFrame(rows, schema_overrides={name: differences.schema[name] for name in by})
    return frame.join(own, on=list(by), how="left", maintain_order="left").sort(list(by))


def _pooled(strata: pl.DataFrame) -> dict[str, float | int | None]:
    counts = {
        "loci": strata.select(LOCUS_KEY).n_unique(),
        "sites": int(strata["sites"].sum()),
        "mutants": int(strata["mutants"].sum()),
    }
    if strata["region_sites"].null_count():
        predicted = float(strata["mean"].to_numpy().mean())
        return {**counts, "rate": None, "low": None, "high": None, "predicted": predicted}
    population, sampled = strata["region_sites"].to_numpy(), strata["sites"].to_numpy()
    weights = population / population.sum()
    mean = strata["mean"].to_numpy()
    complete = sampled == population
    rates = np.where(complete, strata["exact"].to_numpy(), mean + strata["offset"].to_numpy())
    rate = float(np.clip(weights @ rates, 0, 1))
    least = strata["spread"].to_numpy() * sampled / strata["mutants"].to_numpy()
    variances = np.maximum(filled_variances(strata.with_columns(mean="offset")), least)
    variance = float((weights**2 * (1 - sampled / population) * variances / sampled).sum())
    low, high = interval(rate, variance, sampled, complete=bool(complete.all()))
    return {**counts, "rate": rate, "low": low, "high": high, "predicted": float(weights @ mean)}
