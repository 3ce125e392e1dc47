"""Rows and columns of a locus (its *lines*): where mutants of interest lie, and whether two sets share lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.nulls import q_values
from mutascope.analysis.regression import centred, fit_linear, independent
from mutascope.analysis.sites import in_order
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

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
    "q": pl.Float64,
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
        mutants.group_by([*LOCUS_KEY, axis], maintain_order=True)
        .agg(mutants=pl.len().cast(pl.UInt32))
        .select(*LOCUS_KEY, pl.lit(axis).alias("axis"), pl.col(axis).alias("index"), "mutants")
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


def line_sharing(nsms: pl.DataFrame, first: pl.Expr, second: pl.Expr) -> pl.DataFrame:
    """Test whether NSMs of a second set lie on the rows and columns of a first set, more than other NSMs do.

    The NSMs outside the first set are compared: the share of the second set on lines that hold a first mutant with
    the share on the other lines. Sites with a first mutant are left out, because ``max`` and ``min`` of a site share
    its lines. Every line has one vote, its share, because a second set may gather on lines of its own. The test is
    one-sided, by least squares over the lines, with an intercept per locus, a term for the share of NSMs whose site has
    two, and robust errors (:func:`~mutascope.analysis.regression.fit_linear`).

    Args:
        nsms: columns layer, kind, row, col and those of the expressions, a row per NSM.
        first: a boolean expression; null counts as false.
        second: a boolean expression; null counts as false.

    Returns:
        A row per axis and locus that has both sets, and per axis one with null layer and kind, of all these loci
        (absent when there is none). Columns layer, kind, axis; ``first``, ``second`` (mutants), ``lines`` (that hold a
        first mutant), ``all_lines`` (that hold an NSM), ``shared`` (second mutants on ``lines``), all Int64;
        ``expected`` (of these, if their share were that of the other lines; null where there is none), ``p``
        (null where the lines of one sort are fewer than two), ``q`` (Benjamini-Hochberg over the loci of an axis; of
        all loci together: p), Float64.
    """
    marked = nsms.select(*SITE_KEY, first=first.fill_null(False), second=second.fill_null(False))
    taken = pl.col("first").any().over(SITE_KEY)
    marked = marked.with_columns(second=pl.col("second") & ~taken, taken=taken, nsms=pl.len().over(SITE_KEY))
    has = [pl.col(name).any().over(LOCUS_KEY) for name in ("first", "second")]
    marked = in_order(marked.filter(*has), *AXES)
    parts = []
    for axis in AXES if len(marked) else ():
        loci = marked.group_by(LOCUS_KEY, maintain_order=True)
        rows = [{"layer": key[0], "kind": key[1], **_shared(group, axis)} for key, group in loci]
        found = q_values(
            pl.DataFrame(rows, schema={name: _SHARING[name] for name in _SHARING if name != "q"})
        )
        parts.append(found)
        whole = {"layer": None, "kind": None, **_shared(marked, axis)}
        parts.append(pl.DataFrame([{**whole, "q": whole["p"]}], schema=_SHARING))
    return pl.concat([pl.DataFrame(schema=_SHARING), *parts])


def _shared(nsms: pl.DataFrame, axis: str) -> dict[str, Any]:
    """Return the counts and the test of one axis, of one locus or of several."""
    line = pl.struct(*LOCUS_KEY, axis)
    nsms = nsms.with_columns(held=pl.col("first").any().over(*LOCUS_KEY, axis))
    counts = {
        "axis": axis,
        "first": nsms["first"].sum(),
        "second": nsms["second"].sum(),
        "lines": nsms.filter("held").select(line.n_unique()).item(),
        "all_lines": nsms.select(line.n_unique()).item(),
        "shared": (nsms["second"] & nsms["held"]).sum(),
    }
    rest = nsms.filter(~pl.col("taken"))
    free = (
        rest.filter(~pl.col("held"))
        .group_by(LOCUS_KEY, maintain_order=True)
        .agg(share=pl.col("second").mean())
    )
    held = rest.filter("held").join(free, on=LOCUS_KEY, how="left", maintain_order="left")
    expected = None if held["share"].has_nulls() else float(held["share"].sum())
    return {**counts, "expected": expected, "p": _more_often(rest, line)}


def _more_often(nsms: pl.DataFrame, line: pl.Expr) -> float | None:
    """Return the one-sided p of the second set being more frequent on held lines; None where nothing can be said."""
    lines = nsms.group_by(*LOCUS_KEY, line=line, maintain_order=True).agg(
        pl.col("held").first().cast(pl.Float64), pl.col("second").mean(), twins=(pl.col("nsms") > 1).mean()
    )
    lines = lines.filter(pl.col("held").n_unique().over(LOCUS_KEY) > 1)
    if lines.is_empty() or lines["second"].n_unique() < 2:
        return None
    strata = (lines.select(pl.struct(LOCUS_KEY).rank("dense")).to_series().to_numpy() - 1).astype(np.int64)
    columns = lines.select("held", "twins").to_numpy()
    kept = independent(centred(columns, strata)[0])
    found = fit_linear(lines["second"].to_numpy(), columns[:, kept], strata, [np.arange(len(lines))])
    error, freedom = found.errors[0], found.freedom[0]
    return float(stats.t.sf(found.coefficients[0] / error, freedom)) if error > 0 else None
