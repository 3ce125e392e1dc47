"""Tables of what maps are like and why: enriched and conserved lines, covariates, COPA, changes between screens."""

from __future__ import annotations

import polars as pl

from mutascope.analysis.comparison import compare_mutants, count_changes
from mutascope.analysis.copa import copa, copa_contrasts
from mutascope.analysis.covariates import (
    enrichment_given_covariates,
    explain_nsms,
    explain_severity,
    massive_lines,
)
from mutascope.analysis.enrichment import (
    conserved_across_assays,
    conserved_across_layers,
    conserved_on_residual,
    nsm_enrichment,
    sensitive_points,
)
from mutascope.analysis.sites import LOCUS, SITE, by_assay
from mutascope.core.errors import NotHere
from mutascope.findings.maps import TWO, need_pairs
from mutascope.findings.registry import need, table
from mutascope.findings.screens import Screens, stack

WITH_COVARIATES = "it takes a screen with covariates.parquet"


@table("enrichment", "Every row and column of every locus, tested for more NSM sites than chance.")
def enrichment(given: Screens) -> pl.DataFrame:
    """Return the test of every line."""
    return by_assay(given.maps, nsm_enrichment)


@table("conserved_across_assays", "Lines that are enriched in some assay, tested for being so in several.")
def across_assays(given: Screens) -> pl.DataFrame:
    """Return conservation across assays."""
    need_pairs(given)
    lines = enrichment(given)
    return pl.concat(
        conserved_across_assays(lines.filter(pl.col("assay").is_in(group))).select(
            pl.lit(", ".join(group)).alias("assays"), pl.all()
        )
        for group in given.groups
        if len(group) > 1
    )


@table(
    "conserved_across_layers",
    "Coordinates of a kind with an enriched line in some layer, tested for having one in several; whether the line"
    " carries a massive activation, where the screen has covariates.",
)
def across_layers(given: Screens) -> pl.DataFrame:
    """Return conservation across layers of a kind."""
    return _explained(given, conserved_across_layers(enrichment(given)))


@table(
    "conserved_on_residual",
    "Coordinates of the residual stream with an enriched line (columns of q k v gate up, rows of o down) in some"
    " locus, tested for having one in several; whether they carry a massive activation.",
)
def on_residual(given: Screens) -> pl.DataFrame:
    """Return conservation along the residual stream."""
    lines = enrichment(given)
    return _explained(
        given,
        stack(
            given.maps,
            lambda label: conserved_on_residual(lines.filter(assay=label).drop("assay"), given.loci[label]),
        ),
    )


def _explained(given: Screens, lines: pl.DataFrame) -> pl.DataFrame:
    """The lines with the massive activations of the screens that have covariates."""
    known = [
        massive_lines(lines.filter(assay=label), covariates) for label, covariates in given.covariates.items()
    ]
    rest = lines.filter(~pl.col("assay").is_in(list(given.covariates)))
    return pl.concat([*known, rest], how="diagonal_relaxed")


@table(
    "sensitive_points",
    "Sites that are NSMs with max and with min in all of several screens, or in the only one.",
)
def points(given: Screens) -> pl.DataFrame:
    """Return the sensitive points of every group of screens that can be compared."""
    return pl.concat(
        sensitive_points({label: given.maps[label] for label in group}).select(
            pl.lit(", ".join(group)).alias("assays"), pl.all()
        )
        for group in given.groups
    )


@table("explain_nsms", "Logistic regression of NSM on the covariates of the site, by kind.")
def regression_of_nsms(given: Screens) -> pl.DataFrame:
    """Return the coefficients of every term."""
    need(given.covariates, WITH_COVARIATES)
    return stack(given.covariates, lambda label: explain_nsms(given.records[label], given.covariates[label]))


@table(
    "explain_cosine",
    "Linear regression of the cosine of NSMs on the covariates of the site, by kind.",
    coefficient="change of the cosine per standard deviation of the term within a locus; null if not estimable",
    explained="share of the sum of squares within the loci that all terms explain together",
)
def regression_of_cosine(given: Screens) -> pl.DataFrame:
    """Return the coefficients of every term."""
    labels = [label for label in given.text if label in given.covariates]
    need(labels, f"{WITH_COVARIATES} and a text assay")
    return stack(
        labels,
        lambda label: explain_severity(
            given.severe[label].filter(~pl.col("silent")), given.covariates[label], "cosine"
        ),
    )


@table(
    "enrichment_given_covariates",
    "Every row and column, tested for more NSM sites than the covariates of its sites explain.",
    expected="sum of the chances of its sites to be NSM sites, by the regression",
)
def enrichment_beyond(given: Screens) -> pl.DataFrame:
    """Return the test of every line given the covariates."""
    need(given.covariates, WITH_COVARIATES)
    return stack(
        given.covariates,
        lambda label: enrichment_given_covariates(
            calls_with_covariates(given, label), given.covariates[label]
        ),
    )


def calls_with_covariates(given: Screens, label: str) -> pl.DataFrame:
    """Return the calls of the sites that have covariates, exact or predicted: what the regression explains."""
    return given.maps[label].join(given.covariates[label], on=SITE, how="semi", maintain_order="left")


def enrichment_of_explained(given: Screens) -> pl.DataFrame:
    """Return the plain test of the same lines from the same calls as :func:`enrichment_beyond`, to compare with it."""
    need(given.covariates, WITH_COVARIATES)
    calls = {label: calls_with_covariates(given, label) for label in given.covariates}
    return given.once("enrichment of sites with covariates", lambda: by_assay(calls, nsm_enrichment))


@table(
    "copa", "Strength and asymmetry of the complementary pattern of every locus and axis, with their nulls."
)
def pattern(given: Screens) -> pl.DataFrame:
    """Return COPA of every locus."""
    return stack(given.maps, lambda label: copa(given.maps[label], given.loci[label]))


@table(
    "copa_contrasts", "Whether the complementary pattern is stronger in one screen than in another, by kind."
)
def contrasts(given: Screens) -> pl.DataFrame:
    """Return the contrasts of every pair of screens."""
    need(len(given.maps) > 1, TWO)
    return copa_contrasts(pattern(given), ["axis", "kind"])


@table(
    "changes",
    "Mutants lost, gained and shared between every two screens, whole (null layer and kind) and by locus, and whether"
    " losses and gains balance.",
    q="p, adjusted for the loci of the pair (Benjamini-Hochberg); of a whole comparison: p",
)
def changes(given: Screens) -> pl.DataFrame:
    """Return the comparison of every pair of screens."""
    need_pairs(given)
    found, reason = [], ""
    for a, b in given.pairs:
        try:
            mutants = compare_mutants({label: given.records[label] for label in (a, b)}, given.loci)
        except NotHere as error:  # equal shapes, and yet no mutant in common
            reason = str(error)
            continue
        pair = pl.concat([count_changes(mutants), count_changes(mutants, LOCUS)], how="diagonal_relaxed")
        names = (pl.lit(a).alias("assay_a"), pl.lit(b).alias("assay_b"))
        found.append(pair.select(*names, *LOCUS, pl.exclude(LOCUS)))
    need(found, reason)
    return pl.concat(found)
