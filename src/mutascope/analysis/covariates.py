"""What explains a map: regression of NSMs and severity on covariates of the sites, and enrichment given them.

The covariates are those of docs/format.md, section 5.5: the size of the change that the mutation makes, the norm of the
tile, the norm of the activations that the wild type feeds the tile, and whether these include a massive activation.
Norms enter as logarithms. Only differences between sites of one locus count: every locus has an intercept of its own,
because loci differ in their NSM rates for reasons that no covariate of a site knows. In a sample with a handful of
mutants per locus such intercepts would bias the coefficients; then neighbouring layers of a kind share one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.enrichment import AXES, FDR, enriched_lines, nsm_sites
from mutascope.analysis.nulls import padded, poisson_binomial_tail, q_values
from mutascope.analysis.regression import Fit, centred, fit_linear, fit_logistic, independent
from mutascope.analysis.sites import BASE_KIND, MAP_MUTATIONS, in_order
from mutascope.core.kinds import RESIDUAL_AXIS
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

NORMS = ("change", "tile_norm", "input_norm")
TERMS = (*NORMS, "massive")
ROWS_PER_INTERCEPT = 40
"""Rows that an intercept is worth: it exaggerates the coefficients by a factor of about n / (n - 1)."""
SITES_PER_FIT = 1000
"""Sites that a regression of its own is worth, when chances are predicted."""
_CONFIDENCE = 0.95
_LINES_AT_A_TIME = 2000


def explain_nsms(
    records: pl.DataFrame, covariates: pl.DataFrame, by: Sequence[str] = ("kind",)
) -> pl.DataFrame:
    """Return how far the covariates of a site say whether a mutant is an NSM: a logistic regression per group.

    Args:
        records: columns layer, kind, row, col, mutation, silent. ``max``, ``min`` and ``zero`` mutants count.
        covariates: a row per site (docs/format.md, 5.5).
        by: among layer, kind, mutation; none for one regression.

    Returns:
        A row per term, columns ``by``, term (``change``, ``tile_norm``, ``input_norm``, ``massive``), coefficient (of
        the log-odds, per standard deviation of the term within a locus), low, high (95 %, clustered by line), p, q,
        sd (that standard deviation: of natural logarithms, for ``massive`` of 0 and 1), mutants, sites, explained
        (share of the deviance within the loci that all terms explain together). Coefficients are null where the
        term does not vary, is a combination of those above it, or no locus has both NSMs and silent mutants; intervals
        and p also where a single line determines the coefficient. q is Benjamini-Hochberg over the rows of a term.
    """
    y = (~pl.col("silent")).cast(pl.Float64)
    return _explain(_mutants(records, covariates, y), by, lambda y, *rest: fit_logistic(y > 0, *rest))


def explain_severity(
    records: pl.DataFrame, covariates: pl.DataFrame, measure: str, by: Sequence[str] = ("kind",)
) -> pl.DataFrame:
    """Return how far the covariates of a site say how severe a mutant is: a linear regression per group.

    Args:
        records: columns layer, kind, row, col, mutation and ``measure``, a number (null: the mutant is left out);
            usually the NSMs alone.
        covariates: a row per site (docs/format.md, 5.5).
        measure: name of the column to explain, such as a cosine, a score or first_divergence.
        by: among layer, kind, mutation; none for one regression.

    Returns:
        The columns of :func:`explain_nsms`, with coefficients in units of the measure per standard deviation of the
        term within a locus, and explained as a share of the sum of squares within the loci.
    """
    return _explain(_mutants(records, covariates, pl.col(measure).cast(pl.Float64)), by, fit_linear)


def expected_nsm_sites(records: pl.DataFrame, covariates: pl.DataFrame) -> pl.DataFrame:
    """Return the chance of every site to be an NSM site, as its norms have it.

    A logistic regression of the NSM sites (:func:`~mutascope.analysis.enrichment.nsm_sites`) on the norms and their
    squares, which lets an effect level off or grow. Each locus of 1,000 sites and more has a regression of its own;
    smaller ones share it with neighbouring layers of their kind. ``massive`` is no term here: it marks one or two
    columns of a locus, and would explain whatever happens in them.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        covariates: a row per site (docs/format.md, 5.5).

    Returns:
        Columns layer, kind, row, col, hit, chance (Float64). Sites without covariates have no row.
    """
    change = [pl.col(f"change_{name}") for name in MAP_MUTATIONS if (records["mutation"] == name).any()]
    size = pl.mean_horizontal(change) if change else pl.col("change_zero")
    sites = nsm_sites(records).join(
        covariates.select(*SITE_KEY, *NORMS[1:], change=size), on=SITE_KEY, how="inner", maintain_order="left"
    )
    sites = sites.drop_nulls().with_columns(y=pl.col("hit").cast(pl.Float64), site=pl.int_range(pl.len()))
    sites = _blocks(sites, SITES_PER_FIT, "fit")
    parts = [_chances(group) for _, group in sites.group_by("fit", maintain_order=True)]
    empty = sites.select(*SITE_KEY, "hit", chance=pl.lit(None, pl.Float64)).clear()
    return in_order(pl.concat([empty, *parts]), "row", "col")


def enrichment_given_covariates(records: pl.DataFrame, covariates: pl.DataFrame) -> pl.DataFrame:
    """Return the enrichment of rows and columns beyond what the covariates of their sites explain.

    The expected hits of a line are the sum of the chances of its sites (:func:`expected_nsm_sites`), and p is the
    upper tail of the Poisson-binomial with these chances. A line that was enriched and is no longer is explained by
    its covariates; one that still is may have another reason, or one that the form of the regression misses.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        covariates: a row per site (docs/format.md, 5.5).

    Returns:
        The columns of :func:`~mutascope.analysis.enrichment.enriched_lines` up to enriched, for the same lines.
    """
    sites = expected_nsm_sites(records, covariates)
    lines = enriched_lines(sites.select(*SITE_KEY, "hit")).drop(
        "expected", "fold", "p", "q", "enriched", "least_p", "blind"
    )
    tested = []
    for axis in AXES:
        grouped = sites.group_by(*LOCUS_KEY, index=axis, maintain_order=True).agg(
            pl.col("hit", "chance"), expected=pl.col("chance").sum()
        )
        tails = [
            poisson_binomial_tail(part["hit"].list.sum().to_numpy(), padded(part["chance"]))
            for part in grouped.iter_slices(_LINES_AT_A_TIME)
        ]
        p = pl.Series(np.concatenate([[], *tails]))
        tested.append(grouped.select(*LOCUS_KEY, "index", "expected", axis=pl.lit(axis), p=p))
    found = lines.join(pl.concat(tested), on=[*LOCUS_KEY, "axis", "index"], how="left", maintain_order="left")
    fold = pl.when(pl.col("expected") > 0).then(pl.col("hits") / pl.col("expected"))
    return q_values(found.with_columns(fold=fold), ["axis"]).select(
        *lines.columns, "expected", "fold", "p", "q", enriched=pl.col("q") <= FDR
    )


def massive_lines(conserved: pl.DataFrame, covariates: pl.DataFrame) -> pl.DataFrame:
    """Return conserved lines with whether they are those of massive activations (METHOD, last section).

    A line along the residual stream (a column of q, k, v, gate or up, a row of o or down, or a coordinate shared by
    kinds) is looked up in the streams of the same layers, or of all layers where the line stands for several.

    Args:
        conserved: of :func:`~mutascope.analysis.enrichment.conserved_across_assays`,
            :func:`~mutascope.analysis.enrichment.conserved_across_layers` or
            :func:`~mutascope.analysis.enrichment.conserved_on_residual`, or any lines with a column index and
            perhaps layer, kind and axis.
        covariates: a row per site (docs/format.md, 5.5).

    Returns:
        The given columns, then layers (that have a stream at this coordinate among the covariates), massive_layers
        (those with a massive activation there), stream_ratio (the largest: magnitude over the median of the stream),
        massive (there is such a layer). Null for lines that do not run along the residual stream, and for
        coordinates without a covariate.
    """
    streams = (
        covariates.filter(pl.col("stream_ratio").is_not_null())
        .group_by("layer", index="col", maintain_order=True)
        .agg(pl.col("massive").any(), pl.col("stream_ratio").max())
    )
    keys = [name for name in ("layer", "index") if name in conserved.columns]
    told = streams.group_by(keys, maintain_order=True).agg(
        layers=pl.len().cast(pl.Int64),
        massive_layers=pl.col("massive").sum().cast(pl.Int64),
        stream_ratio=pl.col("stream_ratio").max(),
        massive=pl.col("massive").any(),
    )
    found = conserved.join(told, on=keys, how="left", maintain_order="left")
    if "axis" not in conserved.columns:
        return found
    along = BASE_KIND.replace_strict(RESIDUAL_AXIS, default="", return_dtype=pl.String) == pl.col("axis")
    return found.with_columns(
        pl.when(along).then(pl.col(name)).alias(name) for name in told.columns[len(keys) :]
    )


Fitter = Callable[[np.ndarray, np.ndarray, np.ndarray, Sequence[np.ndarray]], Fit]


def _mutants(records: pl.DataFrame, covariates: pl.DataFrame, outcome: pl.Expr) -> pl.DataFrame:
    """Layer, kind, mutation, site (code), y and the terms of every mutant that has all of them."""
    names = (*MAP_MUTATIONS, "zero")
    change = pl.coalesce(pl.when(mutation=name).then(f"change_{name}") for name in names)
    sites = covariates.select(*SITE_KEY, *(f"change_{name}" for name in names), *TERMS[1:]).with_row_index(
        "site"
    )
    return (
        records.filter(pl.col("mutation").is_in(names))
        .select(*SITE_KEY, "mutation", y=outcome)
        .join(sites, on=SITE_KEY, how="inner", maintain_order="left")
        .select(*SITE_KEY, "mutation", "site", "y", change.alias("change"), *TERMS[1:])
        .drop_nulls()
    )


def _explain(mutants: pl.DataFrame, by: Sequence[str], fit: Fitter) -> pl.DataFrame:
    """Fit each group of ``by``: a row per term."""
    groups = in_order(mutants).group_by(list(by), maintain_order=True) if by else [((), mutants)]
    rows = [(*key, *row) for key, group in groups for row in _term_rows(group, fit)]
    numbers = ("coefficient", "low", "high", "p", "sd")
    schema = (
        {name: mutants.schema[name] for name in by} | {"term": pl.String} | dict.fromkeys(numbers, pl.Float64)
    )
    ends = {"mutants": pl.Int64, "sites": pl.Int64, "explained": pl.Float64}
    found = q_values(pl.DataFrame(rows, schema=schema | ends, orient="row"), ["term"])
    return found.select(*schema, *ends, "q").select(pl.exclude("q", "sd", *ends), "q", "sd", *ends)


def _term_rows(mutants: pl.DataFrame, fit: Fitter) -> list[tuple]:
    """Term, coefficient, low, high, p, sd, mutants, sites, explained of every term of one regression."""
    mutants = _blocks(mutants, ROWS_PER_INTERCEPT, "stratum")
    mutants = mutants.filter(pl.col("y").n_unique().over("stratum") > 1)
    size = (len(mutants), mutants["site"].n_unique())
    if mutants.is_empty():
        return [(term, *[None] * 5, *size, None) for term in TERMS]
    strata = _codes(mutants["stratum"])
    clusters = [_codes(mutants.select(line=pl.struct(*LOCUS_KEY, axis))["line"]) for axis in AXES]
    columns = np.column_stack([_logarithms(mutants), mutants["massive"].to_numpy()])
    partial, _ = centred(columns, strata)
    sd = np.sqrt((partial**2).mean(axis=0))
    kept = independent(partial / np.where(sd > 0, sd, 1))
    if not kept:
        return [(term, *[None] * 5, *size, None) for term in TERMS]
    found = fit(mutants["y"].to_numpy(), columns[:, kept] / sd[kept], strata, clusters)
    ranges = stats.t.ppf((1 + _CONFIDENCE) / 2, found.freedom)
    rows = []
    for index, term in enumerate(TERMS):
        if index not in kept:
            rows.append((term, *[None] * 4, float(sd[index]), *size, found.explained))
            continue
        at = kept.index(index)
        value, error, t = found.coefficients[at], found.errors[at], ranges[at]
        tested = (value - t * error, value + t * error, 2 * stats.t.sf(abs(value) / error, found.freedom[at]))
        ends = tested if error > 0 else (None, None, None)
        rows.append((term, value, *ends, float(sd[index]), *size, found.explained))
    return rows


def _chances(sites: pl.DataFrame) -> pl.DataFrame:
    """The sites with the chance that one regression gives them; the rate of the stratum where nothing can be fitted."""
    sites = _blocks(sites, ROWS_PER_INTERCEPT, "stratum").with_columns(
        chance=pl.col("y").mean().over("stratum")
    )
    told = sites.select(*SITE_KEY, "hit", "chance")
    varied = (sites["chance"] > 0) & (sites["chance"] < 1)
    varying = sites.filter(varied)
    if varying.is_empty():
        return told
    strata = _codes(varying["stratum"])
    norms, _ = centred(_logarithms(varying), strata)
    norms /= np.maximum(norms.std(axis=0), 1e-12)
    terms = np.column_stack([norms, norms**2])
    partial, _ = centred(terms, strata)
    kept = independent(partial)
    if not kept:
        return told
    chance = told["chance"].to_numpy().copy()
    chance[varied.to_numpy()] = fit_logistic(
        varying["hit"].to_numpy(), terms[:, kept], strata, [np.arange(len(varying))]
    ).fitted
    return told.with_columns(chance=pl.Series(chance))


def _blocks(rows: pl.DataFrame, least: int, name: str) -> pl.DataFrame:
    """The rows with a code for their block: consecutive layers of a kind that hold about ``least`` rows or more."""
    counts = rows.group_by("kind", "layer", maintain_order=True).agg(n=pl.len()).sort("kind", "layer")
    before = (pl.col("n").cum_sum() - pl.col("n")).over("kind") // least
    blocks = counts.select(
        "kind", "layer", pl.struct("kind", before.alias("block")).rank("dense").alias(name)
    )
    return rows.join(blocks, on=["kind", "layer"], how="left", maintain_order="left")


def _codes(labels: pl.Series) -> np.ndarray:
    """Codes from 0 of the distinct values."""
    return (labels.rank("dense") - 1).to_numpy().astype(np.int64)


def _logarithms(rows: pl.DataFrame) -> np.ndarray:
    """Natural logarithms [rows, norms] of the norms; 0 counts as the smallest norm above it."""
    values = rows.select(NORMS).cast(pl.Float64).to_numpy()
    least = np.where(values > 0, values, np.inf).min(axis=0)
    return np.log(np.maximum(values, np.where(np.isfinite(least), least, 1)))
