"""Two screens of equal shape, mutant by mutant: two models, two seeds, a base model and its fine-tune.

How alike their maps are as a whole is the overlap (:func:`~mutascope.analysis.overlap.overlap_matrix`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.crossed import crossed_mean
from mutascope.analysis.nulls import q_values
from mutascope.analysis.sites import check_equal_shapes, in_order, kinds_of, site_number
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.core.schema import MUTANT_KEY, SITE_KEY


def compare_mutants(screens: Mapping[str, pl.DataFrame], loci: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return what became of every mutant that was screened in both of two screens.

    Args:
        screens: records by label of exactly two screens, the one to start from first; columns layer, kind, row, col,
            mutation, silent, phenotype.
        loci: loci by the same labels, columns layer, kind, rows, cols, site_rows, site_cols.

    Returns:
        Columns layer, kind, row, col, mutation, outcome (``lost``: an NSM in the first screen alone, ``gained``: in
        the second alone, ``shared``: in both, ``silent``: in none), same_phenotype (Boolean: a shared NSM puts out
        the same in both, which needs the same prompt to mean anything; null where not shared), in the order of the
        first screen.

    Raises:
        MutascopeError: for another number of screens.
        NotHere: for unequal shapes or tiles, or no mutant in common.
    """
    if len(screens) != 2:
        raise MutascopeError(f"a comparison needs two screens, not {len(screens)}")
    check_equal_shapes({label: loci[label] for label in screens})
    (a, first), (b, second) = screens.items()
    pairs = _side_by_side(
        first.select(*MUTANT_KEY, "silent", "phenotype"),
        second.select(*MUTANT_KEY, silent_b="silent", phenotype_b="phenotype"),
    )
    if pairs.is_empty():
        raise NotHere(
            f"{a} and {b} have no mutant in common: compare screens of the same sites and mutations"
        )
    before, after = ~pl.col("silent"), ~pl.col("silent_b")
    outcome = (
        pl.when(before & after)
        .then(pl.lit("shared"))
        .when(before)
        .then(pl.lit("lost"))
        .when(after)
        .then(pl.lit("gained"))
        .otherwise(pl.lit("silent"))
    )
    same = pl.when(before & after).then(pl.col("phenotype") == pl.col("phenotype_b"))
    return pairs.select(*MUTANT_KEY, outcome=outcome, same_phenotype=same)


def _side_by_side(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """The mutants of both; those of one design need no join, which takes most of the time and memory."""
    if first.select(MUTANT_KEY).equals(second.select(MUTANT_KEY)):
        return first.hstack(second.drop(MUTANT_KEY))
    return first.join(second, on=MUTANT_KEY, how="inner", maintain_order="left")


def count_changes(mutants: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return what was lost, gained and shared in every group of ``by``, and whether losses and gains balance.

    If neither screen is more sensitive, a site gains as much as it loses on average. Sites of a row, and of a column,
    gain or lose together, so that the mean gain is tested by Student's t with errors clustered both ways
    (:func:`~mutascope.analysis.crossed.crossed_mean`). Where few sites change, this has no ground: p is no less than
    McNemar's exact one with sites for units, in which the numbers of sites with more gained than lost mutants and with
    more lost than gained ones are binomial with 1/2.

    Args:
        mutants: of :func:`compare_mutants`.
        by: among layer, kind, mutation; none for the whole comparison.

    Returns:
        Columns of ``by``, then mutants, nsm_a, nsm_b, lost, gained, shared, same_phenotype (shared NSMs with the same
        phenotype), sites_lost (sites with more lost than gained mutants), sites_gained, p (two-sided; 1 where no site
        changed), q (Benjamini-Hochberg over the rows).
    """
    keys = list(by)
    is_outcome = {name: pl.col("outcome") == name for name in ("lost", "gained", "shared")}
    site = site_number(kinds_of(mutants["kind"]))
    sites = (
        mutants.with_columns(site=site)
        .group_by("site", *(name for name in keys if name == "mutation"), maintain_order=True)
        .agg(
            pl.col(SITE_KEY).first(),
            pl.len().cast(pl.Int64).alias("mutants"),
            *(test.sum().cast(pl.Int64).alias(name) for name, test in is_outcome.items()),
            pl.col("same_phenotype").sum().cast(pl.Int64),
        )
        .sort("site")
    )
    totals = [
        pl.col("mutants", "lost", "gained", "shared", "same_phenotype").sum(),
        (pl.col("lost") > pl.col("gained")).sum().cast(pl.Int64).alias("sites_lost"),
        (pl.col("gained") > pl.col("lost")).sum().cast(pl.Int64).alias("sites_gained"),
    ]
    groups = (
        in_order(sites.group_by(keys, maintain_order=True).agg(totals), *keys)
        if keys
        else sites.select(totals)
    )
    fewer = groups.select(pl.min_horizontal("sites_lost", "sites_gained")).to_series().to_numpy()
    changed = (groups["sites_lost"] + groups["sites_gained"]).to_numpy()
    # The binomial with 1/2 is symmetric: twice the smaller tail is the exact two-sided p.
    exact = np.minimum(2 * stats.binom.cdf(fewer, changed, 0.5), 1.0)
    gains = sites.with_columns(gain=pl.col("gained") - pl.col("lost"))
    parts = dict(gains.group_by(keys, maintain_order=True)) if keys else {(): gains}
    clustered = [crossed_mean(parts[key], "gain").p for key in (groups.select(keys).rows() if keys else [()])]
    p = np.maximum(exact, clustered)
    return q_values(groups.with_columns(p=pl.Series(p, dtype=pl.Float64))).select(
        *keys,
        "mutants",
        nsm_a=pl.col("shared") + pl.col("lost"),
        nsm_b=pl.col("shared") + pl.col("gained"),
        lost="lost",
        gained="gained",
        shared="shared",
        same_phenotype="same_phenotype",
        sites_lost="sites_lost",
        sites_gained="sites_gained",
        p="p",
        q="q",
    )
