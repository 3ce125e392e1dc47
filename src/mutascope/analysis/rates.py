"""NSM rates of complete and sampled screens, with intervals (METHOD, Statistics: Sampled screens)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.sites import kinds_of, site_number
from mutascope.core.schema import LOCUS_KEY

CONFIDENCE = 0.95


def nsm_rates(records: pl.DataFrame, loci: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return the NSM rate of every group of ``by`` with its interval.

    Sites were drawn within loci, so loci are strata and sites are clusters of mutants. With N_l sites in a locus, n_l
    of them sampled and y_i the share of site i's mutants that are NSMs, the rate is sum_l N_l mean(y) / sum_l N_l and
    its variance sum_l (N_l / N)^2 (1 - n_l / N_l) s_l^2 / n_l. The interval is Wilson's at the effective sample size
    rate (1 - rate) / variance, with the t quantile of the design's degrees of freedom; it has no width when every
    site was screened.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        loci: columns layer, kind, region_sites (null where sites were not drawn at random).
        by: columns of the records that make the groups, among layer, kind, mutation.

    Returns:
        Columns of ``by``, then loci, sites, mutants, nsm, rate, low, high. ``low`` and ``high`` are null where no
        probability sample was drawn (an explicit list of mutants).
    """
    return pooled_rates(locus_rates(records, loci, by_mutation="mutation" in by), by)


def locus_rates(records: pl.DataFrame, loci: pl.DataFrame, *, by_mutation: bool) -> pl.DataFrame:
    """Return what every locus (with every mutation) contributes to the rates of :func:`nsm_rates`.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        loci: columns layer, kind, region_sites (null where sites were not drawn at random).
        by_mutation: a row per locus and mutation, instead of one per locus.

    Returns:
        Columns layer, kind, mutation (if asked for), sites, mutants, nsm, mean and variance of the share of a site's
        mutants that are NSMs, region_sites; by these keys.
    """
    keys = [*LOCUS_KEY, "mutation"] if by_mutation else [*LOCUS_KEY]
    nsm = (~pl.col("silent")).cast(pl.UInt32)
    if by_mutation:  # a site has one mutant of a mutation
        sites = records.select(*keys, mutants=pl.lit(1, pl.UInt32), nsm=nsm, share=nsm.cast(pl.Float64))
    else:
        site = site_number(kinds_of(records["kind"]))
        coded = records.select(*keys, site=site, nsm=nsm)
        sites = (
            coded.group_by("site", maintain_order=True)
            .agg(pl.col(keys).first(), mutants=pl.len(), nsm=pl.col("nsm").sum())
            .with_columns(share=pl.col("nsm") / pl.col("mutants"))
        )
    return (
        sites.group_by(keys, maintain_order=True)
        .agg(
            sites=pl.len(),
            mutants=pl.col("mutants").sum(),
            nsm=pl.col("nsm").sum(),
            mean=pl.col("share").mean(),
            variance=pl.col("share").var(),
        )
        .join(loci.select(*LOCUS_KEY, "region_sites"), on=LOCUS_KEY, how="left", maintain_order="left")
        .sort(keys)
    )


def pooled_rates(strata: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return the rates of :func:`nsm_rates`, pooled over the rows of :func:`locus_rates` in every group of ``by``."""
    if not by:
        return pl.DataFrame([_pooled(strata)])
    rows = []
    for key, group in strata.group_by(list(by), maintain_order=True):
        rows.append({**dict(zip(by, key, strict=True)), **_pooled(group)})
    schema = {name: strata.schema[name] for name in by}
    return pl.DataFrame(rows, schema_overrides=schema).sort(list(by))


def _pooled(strata: pl.DataFrame) -> dict[str, float | int | None]:
    counts = {
        "loci": strata.select(*LOCUS_KEY).n_unique(),
        "sites": int(strata["sites"].sum()),
        "mutants": int(strata["mutants"].sum()),
        "nsm": int(strata["nsm"].sum()),
    }
    if strata["region_sites"].null_count():
        return {**counts, "rate": counts["nsm"] / counts["mutants"], "low": None, "high": None}
    population, sampled = strata["region_sites"].to_numpy(), strata["sites"].to_numpy()
    weights = population / population.sum()
    rate = float(weights @ strata["mean"].to_numpy())
    variances = filled_variances(strata)
    variance = float((weights**2 * (1 - sampled / population) * variances / sampled).sum())
    low, high = interval(rate, variance, sampled, complete=bool((sampled == population).all()))
    return {**counts, "rate": rate, "low": low, "high": high}


def filled_variances(strata: pl.DataFrame) -> np.ndarray:
    """Return the variance between sites of every stratum; one of a single site gets the pooled variance."""
    sampled, variances = strata["sites"].to_numpy(), strata["variance"].to_numpy().astype(float)
    several = sampled > 1
    if several.any():
        pooled = np.average(variances[several], weights=sampled[several] - 1)
    else:
        pooled = float(np.var(strata["mean"].to_numpy(), ddof=1)) if len(strata) > 1 else 0.25
    return np.where(several, variances, pooled)


def interval(rate: float, variance: float, sampled: np.ndarray, *, complete: bool) -> tuple[float, float]:
    """Return Wilson's interval at the effective sample size; ``sampled``: sites per stratum."""
    if complete:
        return rate, rate
    size = sampled.sum()
    effective = rate * (1 - rate) / variance if variance > 0 and 0 < rate < 1 else size
    freedom = max(int(size - len(sampled)), 1) if (sampled > 1).any() else max(len(sampled) - 1, 1)
    t = stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    centre = (rate + t**2 / (2 * effective)) / (1 + t**2 / effective)
    half = t / (1 + t**2 / effective) * np.sqrt(rate * (1 - rate) / effective + t**2 / (4 * effective**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
