"""What the maps of single tokens have in common: sites by the tokens that they leave at, and lines across tokens."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.enrichment import AXES
from mutascope.analysis.fragile import FRAGILE, tokens_left_at
from mutascope.analysis.nulls import q_values
from mutascope.analysis.sites import MAP_MUTATIONS
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY, SITE_KEY

SILENT, ANOTHER = "silent", "another"
_STATES = [f"{name}_at" for name in MAP_MUTATIONS]
_RATES = ("rate", "rate_later")
_LEAST = 1e-9
"""Rates that differ by less are equal."""
_SHARED = {
    "token": pl.Int32,
    "later": pl.Int32,
    "axis": pl.String,
    "loci": pl.Int64,
    "lines": pl.Int64,
    "r": pl.Float64,
    "p": pl.Float64,
}


def token_states(records: pl.DataFrame, least: float = FRAGILE) -> pl.DataFrame:
    """Return how many sites have which state: the token at which ``max`` leaves first, and that of ``min``.

    Args:
        records: columns layer, kind, row, col, mutation, silent, first_divergence.
        least: share of the NSMs that leave at a token with a name of its own.

    Returns:
        Columns max_at, min_at (the index of a fragile token, ``another``, or ``silent``), sites, expected (were the
        two independent within every locus), fold, most sites first; of the sites with both mutations.
    """
    fragile = tokens_left_at(records).filter(pl.col("share") >= least)["token"]
    named = pl.col("first_divergence").is_in(fragile.implode())
    state = (
        pl.when("silent")
        .then(pl.lit(SILENT))
        .when(named)
        .then(pl.col("first_divergence").cast(pl.String))
        .otherwise(pl.lit(ANOTHER))
    )
    parts = [
        records.filter(mutation=name).select(*SITE_KEY, state.alias(f"{name}_at")) for name in MAP_MUTATIONS
    ]
    sites = parts[0].join(parts[1], on=SITE_KEY, how="inner", maintain_order="left")
    counted = sites.group_by(_STATES, maintain_order=True).agg(sites=pl.len().cast(pl.Int64))
    one, other = (sites.group_by(*LOCUS_KEY, name, maintain_order=True).len(f"n_{name}") for name in _STATES)
    dealt = (
        one.join(other, on=LOCUS_KEY, maintain_order="left")
        .join(sites.group_by(LOCUS_KEY, maintain_order=True).len("all"), on=LOCUS_KEY, maintain_order="left")
        .group_by(_STATES, maintain_order=True)
        .agg(expected=(pl.col("n_max_at").cast(pl.Float64) * pl.col("n_min_at") / pl.col("all")).sum())
    )
    found = dealt.join(counted, on=_STATES, how="left", maintain_order="left").with_columns(
        pl.col("sites").fill_null(0)
    )
    folded = found.select(*_STATES, "sites", "expected", fold=pl.col("sites") / pl.col("expected"))
    return folded.sort("sites", *_STATES, descending=[True, False, False])


def lines_across_tokens(records: pl.DataFrame, least: float = FRAGILE) -> pl.DataFrame:
    """Return whether two fragile tokens have the same rows and columns.

    The rate of a line at a token is the share, among its mutants that have not left before, of those that leave there,
    less what the lines that cross it let expect: so what leaves at the earlier token is not counted as kept by the
    later one, nor are crossing lines that both tokens share. r is Pearson's correlation of the two rates over the lines
    of a locus, the mean over loci by their number of lines less one. Were the lines of the later
    token any lines of their locus, r of a locus would have mean 0 and variance 1 / (lines - 1): p is that of the sum.

    Args:
        records: columns layer, kind, row, col, mutation, silent, first_divergence.
        least: share of the NSMs that leave at a fragile token.

    Returns:
        Columns token, later (of the two tokens the earlier and the later), axis, loci, lines, r, p (two-sided), q
        (Benjamini-Hochberg within the axis). Loci where a rate is the same in all lines are left out, and so are pairs
        without another one.
    """
    fragile = tokens_left_at(records).filter(pl.col("share") >= least)["token"].to_list()
    left = pl.when(~pl.col("silent")).then("first_divergence")
    known = records.filter(pl.col("silent") | pl.col("first_divergence").is_not_null())
    known = known.select(*MUTANT_KEY, left=left)
    rows = []
    for token, later in combinations(fragile, 2):
        for axis in AXES:
            rates = _rates(known, token, axis).join(
                _rates(known, later, axis), on=[*LOCUS_KEY, axis], suffix="_later", maintain_order="left"
            )
            rows += [(token, later, axis, *found) for found in _correlation(rates)]
    return q_values(pl.DataFrame(rows, schema=_SHARED, orient="row"), ["axis"])


def _rates(known: pl.DataFrame, token: int, axis: str) -> pl.DataFrame:
    """Columns layer, kind, ``axis``, rate: of the mutants of a line that are there at a token, those that leave.

    They are less those that leave of the same mutation in the line that crosses.
    """
    crossing = next(other for other in AXES if other != axis)
    leaves = (pl.col("left") == token).fill_null(False).cast(pl.Float64)
    there = known.filter(pl.col("left").is_null() | (pl.col("left") >= token)).with_columns(leaves=leaves)
    excess = pl.col("leaves") - pl.col("leaves").mean().over(*LOCUS_KEY, crossing, "mutation")
    return (
        there.with_columns(excess=excess)
        .group_by(*LOCUS_KEY, axis, maintain_order=True)
        .agg(rate=pl.col("excess").mean())
    )


def _correlation(rates: pl.DataFrame) -> list[tuple[int, int, float, float]]:
    """Loci, lines, r and p of rates by line; nothing where no locus has two rates that vary."""
    weighted, weights, lines = 0.0, 0.0, 0
    loci = [group for _, group in rates.group_by(LOCUS_KEY, maintain_order=True)]
    varying = [group for group in loci if min(np.ptp(group[name].to_numpy()) for name in _RATES) > _LEAST]
    for group in varying:
        r = float(np.corrcoef(group["rate"], group["rate_later"])[0, 1])
        weighted, weights, lines = (
            weighted + (len(group) - 1) * r,
            weights + len(group) - 1,
            lines + len(group),
        )
    if not varying:
        return []
    p = float(2 * stats.norm.sf(abs(weighted) / np.sqrt(weights)))
    return [(len(varying), lines, weighted / weights, p)]
