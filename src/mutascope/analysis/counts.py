"""NSM counts, silent loci, distinct phenotypes, and zero mutations against max and min (METHOD, Statistics: Counts)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mutascope.analysis.sites import in_order, site_frame
from mutascope.analysis.status import Status
from mutascope.core.schema import LOCUS_KEY, SITE_KEY


def count_nsms(
    records: pl.DataFrame, by: Sequence[str] = (), per_locus: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return the NSMs and the distinct phenotypes of every group of ``by``.

    These are plain counts of what is stored; :func:`~mutascope.analysis.rates.nsm_rates` weights a sample and gives
    intervals. Every mutation of the records counts: the paper's totals are of max, min and zero (METHOD, Counts).

    Args:
        records: columns layer, kind, row, col, mutation, silent, phenotype (null where it is not known).
        by: columns of the records that make the groups, among layer, kind, mutation; none for the whole screen.
        per_locus: :func:`~mutascope.analysis.rates.locus_rates` of the records, by mutation if ``by`` has it, where
            the caller has it already.

    Returns:
        Columns of ``by``, then loci, silent_loci (loci without an NSM among the records of the group), sites,
        mutants, nsm, phenotypes (distinct ones of the NSMs; the wild type's is not among them). No row without a
        record, except that the whole screen always has one.
    """
    keys = list(by)
    loci = per_locus
    if loci is None:
        site = pl.col("row").cast(pl.Int64) * 2**32 + pl.col("col")
        loci = records.group_by(list(dict.fromkeys([*keys, *LOCUS_KEY])), maintain_order=True).agg(
            mutants=pl.len(), nsm=(~pl.col("silent")).sum(), sites=site.n_unique()
        )
    sums = loci.select(*keys, pl.col("sites", "mutants", "nsm").cast(pl.Int64), silent=pl.col("nsm") == 0)
    said = (
        records.lazy()
        .filter(~pl.col("silent"))
        .drop_nulls("phenotype")
        .select(*keys, pl.col("phenotype").cast(pl.Categorical))
    )
    totals = (
        pl.len().cast(pl.Int64).alias("loci"),
        pl.col("silent").sum().cast(pl.Int64).alias("silent_loci"),
        pl.col("sites", "mutants", "nsm").sum(),
    )
    if not keys:
        return sums.select(totals, phenotypes=pl.lit(said.collect()["phenotype"].n_unique(), pl.Int64))
    distinct = (
        said.group_by(keys, maintain_order=True)
        .agg(phenotypes=pl.col("phenotype").n_unique().cast(pl.Int64))
        .collect()
    )
    counts = (
        sums.group_by(keys, maintain_order=True)
        .agg(totals)
        .join(distinct, on=keys, how="left", maintain_order="left")
    )
    return in_order(counts.with_columns(pl.col("phenotypes").fill_null(0)), *keys)


def silent_loci(records: pl.DataFrame) -> pl.DataFrame:
    """Return the loci in which no mutant of any mutation is an NSM: columns layer, kind, sites, mutants.

    In a sample this says that no NSM was *found*; a locus without a record is not listed.
    """
    counts = count_nsms(records, LOCUS_KEY)
    return counts.filter(nsm=0).select(*LOCUS_KEY, "sites", "mutants")


def count_statuses(records: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return the number of sites of each status in every group of ``by`` (METHOD, Statistics: Status of a site).

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        by: among layer, kind; none for the whole screen.

    Returns:
        Columns of ``by``, then sites (with ``max`` or ``min``), silent, max_only, min_only, both.
    """
    sites = site_frame(records).filter(pl.col("status") != Status.UNSCREENED)
    counts = [pl.len().cast(pl.Int64).alias("sites")] + [
        (pl.col("status") == status).sum().cast(pl.Int64).alias(status.name.lower())
        for status in (Status.SILENT, Status.MAX_ONLY, Status.MIN_ONLY, Status.BOTH)
    ]
    return in_order(sites.group_by(list(by), maintain_order=True).agg(counts)) if by else sites.select(counts)


def zero_tables(records: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return 2 x 2 tables of the ``zero`` NSMs against the ``max``, the ``min`` and either NSMs of the same sites.

    The paper finds zero NSMs to be rare; this says how many of them are NSMs of the other mutations too.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        by: among layer, kind; none for the whole screen.

    Returns:
        Columns of ``by``, then against (``max``, ``min``, or ``either``: at least one of both that were screened),
        sites (with zero and the other mutation), both (sites where both are NSMs), zero_only, other_only, neither,
        share (both / zero NSMs, null without a zero NSM), other_rate (NSMs of the other mutation / sites: the share
        to expect if zero NSMs fell anywhere). No row without such a site.
    """
    keys = [*by, "against"]
    other = {
        "max": pl.col("max_nsm"),
        "min": pl.col("min_nsm"),
        "either": pl.max_horizontal("max_nsm", "min_nsm"),
    }
    zero = site_frame(records).filter(pl.col("zero_nsm").is_not_null())
    pairs = pl.concat(
        zero.select(*SITE_KEY, "zero_nsm", pl.lit(name).alias("against"), expression.alias("other_nsm"))
        for name, expression in other.items()
    ).filter(pl.col("other_nsm").is_not_null())
    z, o = pl.col("zero_nsm"), pl.col("other_nsm")
    cells = {"both": z & o, "zero_only": z & ~o, "other_only": ~z & o, "neither": ~z & ~o}
    tables = pairs.group_by(keys, maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("sites"),
        *(cell.sum().cast(pl.Int64).alias(name) for name, cell in cells.items()),
    )
    nsms = pl.col("both") + pl.col("zero_only")
    return in_order(
        tables.with_columns(
            share=pl.when(nsms > 0).then(pl.col("both") / nsms),
            other_rate=(pl.col("both") + pl.col("other_only")) / pl.col("sites"),
        )
    )
