"""Rows and columns of a locus (its *lines*): where mutants of interest lie, and whether two sets share lines."""

from __future__ import annotations

import numpy as np
import polars as pl

from mutascope.analysis.sites import LOCUS, in_order

AXES = ("row", "col")
_SHARING = {
    "layer": pl.Int16,
    "kind": pl.String,
    "axis": pl.String,
    "first": pl.Int64,
    "second": pl.Int64,
    "lines": pl.Int64,
    "all_lines": pl.Int64,
    "shared": pl.Int64,
    "expected": pl.Float64,
    "p": pl.Float64,
}


def line_counts(mutants: pl.DataFrame) -> pl.DataFrame:
    """Return the number of mutants on every row and column that has one.

    Args:
        mutants: columns layer, kind, row, col, a row per mutant.

    Returns:
        Columns layer, kind, ``axis`` (``row`` or ``col``), ``index`` (Int32, tile coordinate), ``mutants`` (UInt32),
        sorted by axis and line.
    """
    counts = [
        mutants.group_by([*LOCUS, axis])
        .agg(mutants=pl.len().cast(pl.UInt32))
        .select(*LOCUS, pl.lit(axis).alias("axis"), pl.col(axis).alias("index"), "mutants")
        for axis in AXES
    ]
    return in_order(pl.concat(counts), "index").sort("axis", maintain_order=True)


def top_lines(mutants: pl.DataFrame) -> pl.DataFrame:
    """Return the rows and columns of all loci by the share of the mutants that they hold, largest first.

    Args:
        mutants: columns layer, kind, row, col, a row per mutant.

    Returns:
        Columns of :func:`line_counts`, then, within an axis, ``rank`` (UInt32, from 1; ties by locus and index),
        ``share`` of all mutants and ``cumulative`` share down to this rank (Float64).
    """
    ordered = line_counts(mutants).sort("axis", "mutants", descending=[False, True], maintain_order=True)
    share = pl.col("mutants") / pl.col("mutants").sum().over("axis")
    return ordered.with_columns(
        rank=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("axis"), share=share
    ).with_columns(cumulative=pl.col("share").cum_sum().over("axis"))


def line_sharing(
    records: pl.DataFrame, first: pl.Expr, second: pl.Expr, *, permutations: int = 1999, seed: int = 0
) -> pl.DataFrame:
    """Test whether mutants of a second set lie on the rows and columns that hold mutants of a first set.

    The statistic of a locus and axis is the number of second mutants on lines that hold at least one first mutant.
    The null shuffles the second set among the lines, a line's mutants staying together, so that two sets that each
    gather on a few lines of their own do not pass for sharing them. Lines are shuffled among those with the same
    number of screened sites, which a sampled screen needs. One-sided p = (1 + null values >= observed) /
    (1 + permutations); the pooled test sums the statistic over loci.

    Args:
        records: the screened mutants, columns layer, kind, row, col and those of the expressions.
        first: a boolean expression; null counts as false.
        second: a boolean expression of mutants outside the first set; a mutant of both counts as first.
        permutations: draws from the null.
        seed: of the draws.

    Returns:
        A row per axis and locus that has both sets, and per axis one with null layer and kind, pooled over these
        loci (absent when there is none). Columns layer, kind, axis; ``first``, ``second`` (mutants), ``lines`` (that
        hold a first mutant), ``all_lines`` (that were screened), ``shared`` (second mutants on ``lines``), all Int64;
        ``expected`` (mean of the null), ``p`` (Float64).
    """
    marked = records.select(
        *LOCUS, *AXES, first=first.fill_null(False), second=second.fill_null(False)
    ).with_columns(second=pl.col("second") & ~pl.col("first"))
    both = marked.group_by(LOCUS).agg(pl.col("first").any(), pl.col("second").any())
    loci = both.filter(pl.col("first") & pl.col("second")).select(LOCUS)
    random = np.random.default_rng(seed)
    rows = []
    for axis, other in (AXES, AXES[::-1]):
        lines = (
            marked.join(loci, on=LOCUS, how="semi")
            .group_by([*LOCUS, axis])
            .agg(pl.col("first", "second").sum(), sites=pl.col(other).n_unique())
        )
        lines = in_order(lines, axis)
        tests = [
            ({"layer": layer, "kind": kind, "axis": axis, **counts}, null)
            for (layer, kind), group in lines.group_by(LOCUS, maintain_order=True)
            for counts, null in [_locus_null(group, permutations, random)]
        ]
        rows += [{**row, **_p_value(row["shared"], null)} for row, null in tests]
        if tests:
            rows.append(_pool(axis, tests))
    return pl.DataFrame(rows, schema=_SHARING)


def _locus_null(
    lines: pl.DataFrame, permutations: int, random: np.random.Generator
) -> tuple[dict[str, int], np.ndarray]:
    """Return the counts of one locus and axis, and the statistic under the null, int64 [permutations]."""
    first, second, sites = (lines[name].to_numpy().astype(np.int64) for name in ("first", "second", "sites"))
    held = first > 0
    null = np.zeros(permutations, dtype=np.int64)
    for size in np.unique(sites):
        stratum = np.flatnonzero(sites == size)
        drawn = random.permuted(np.tile(second[stratum], (permutations, 1)), axis=1)
        null += drawn[:, held[stratum]].sum(axis=1)
    counts = {
        "first": int(first.sum()),
        "second": int(second.sum()),
        "lines": int(held.sum()),
        "all_lines": len(lines),
        "shared": int(second[held].sum()),
    }
    return counts, null


def _pool(axis: str, tests: list[tuple[dict[str, int], np.ndarray]]) -> dict[str, object]:
    names = ("first", "second", "lines", "all_lines", "shared")
    counts = {name: sum(row[name] for row, _ in tests) for name in names}
    null = np.sum([null for _, null in tests], axis=0)
    return {"layer": None, "kind": None, "axis": axis, **counts, **_p_value(counts["shared"], null)}


def _p_value(observed: int, null: np.ndarray) -> dict[str, float]:
    return {"expected": float(null.mean()), "p": float((1 + (null >= observed).sum()) / (1 + len(null)))}
