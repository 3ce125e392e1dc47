"""What explains the maps: regressions on covariates of the sites, and enrichment given them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.analysis.covariates import enrichment_given_covariates, explain_nsms, explain_severity
from mutascope.analysis.enrichment import nsm_enrichment
from mutascope.analysis.sites import by_assay
from mutascope.core.errors import NotHere
from mutascope.core.schema import SITE_KEY
from mutascope.findings.blocks import Block, LeftOut, Points, Prose, Rows
from mutascope.findings.columns import columns, share
from mutascope.findings.finding import Section, finding, need
from mutascope.findings.screens import ScreenSet, stack

WITH_COVARIATES = "it takes a screen with covariates.parquet"


def enrichment_of_explained(given: ScreenSet) -> pl.DataFrame:
    """Return the plain test of the same lines from the same calls as :func:`enrichment_beyond`, to compare with it."""
    need(given.covariates, WITH_COVARIATES)
    calls = {label: _explained_calls(given, label) for label in given.covariates}
    return given.once("enrichment of sites with covariates", lambda: by_assay(calls, nsm_enrichment))


def _explained_calls(given: ScreenSet, label: str) -> pl.DataFrame:
    """The calls of the sites that have covariates, exact or predicted: what the regression explains."""
    return given.maps[label].join(given.covariates[label], on=SITE_KEY, how="semi", maintain_order="left")


def _blocks(given: ScreenSet) -> Iterator[Block]:
    regression_of_nsms(given)
    yield Prose(
        "Covariates of a site: the size of the change, the norm of the tile, the norm of the wild type's activations"
        " that it reads, and whether a massive activation is among these. Coefficients are per standard deviation"
        " within a locus."
    )
    for name, title in (
        ("explain_nsms", "What makes a mutant an NSM (log-odds)"),
        ("explain_cosine", "What makes an NSM severe (change of the cosine)"),
    ):
        yield Rows(
            name,
            title,
            "assay kind term coefficient low high p q sites explained",
            choose=lambda frame: frame.filter(pl.col("coefficient").is_not_null()),
            rows=30,
            empty="no term can be estimated",
        )
    try:
        yield Points(_remaining(given))
    except NotHere as reason:
        yield LeftOut("enrichment given the covariates", str(reason))
        return
    yield Rows(
        "enrichment_given_covariates",
        "Lines that the covariates do not explain",
        "assay layer kind axis index sites hits expected fold p q",
        choose=lambda frame: frame.filter("enriched").sort("p", maintain_order=True),
        empty="no line is enriched given the covariates",
    )


def _remaining(given: ScreenSet) -> list[str]:
    """How many enriched lines are so given the covariates, in words."""
    beyond = enrichment_beyond(given).filter("enriched")
    plain = enrichment_of_explained(given).filter("enriched")
    both = plain.join(beyond, on=["assay", "layer", "kind", "axis", "index"], how="semi")
    return [
        f"Of {len(plain.filter(axis=axis)):,} enriched {name}, {len(both.filter(axis=axis)):,} are still enriched given"
        " the covariates of their sites."
        for axis, name in (("row", "rows"), ("col", "columns"))
    ]


_TERMS = columns(
    term="covariate of the site: change, tile_norm, input_norm (natural logarithms) or massive",
    coefficient="of the log-odds, per standard deviation of the term within a locus; null if not estimable",
    sd="standard deviation of the term within a locus",
    explained=share("share of the deviance within the loci that all terms explain together"),
)


@finding("explain_nsms", _TERMS, section=Section("covariates", "What explains the maps", _blocks))
def regression_of_nsms(given: ScreenSet) -> pl.DataFrame:
    """Logistic regression of NSM on the covariates of the site, by kind."""
    need(given.covariates, WITH_COVARIATES)
    return stack(given.covariates, lambda label: explain_nsms(given.records[label], given.covariates[label]))


@finding(
    "explain_cosine",
    {
        **_TERMS,
        **columns(
            coefficient="change of the cosine per standard deviation of the term within a locus; null if not"
            " estimable",
            explained=share("share of the sum of squares within the loci that all terms explain together"),
        ),
    },
)
def regression_of_cosine(given: ScreenSet) -> pl.DataFrame:
    """Linear regression of the cosine of NSMs on the covariates of the site, by kind."""
    labels = [label for label in given.text if label in given.covariates]
    need(labels, f"{WITH_COVARIATES} and a text assay")
    return stack(
        labels,
        lambda label: explain_severity(
            given.severe[label].filter(~pl.col("silent")), given.covariates[label], "cosine"
        ),
    )


@finding(
    "enrichment_given_covariates",
    columns(expected="sum of the chances of its sites to be NSM sites, by the regression"),
)
def enrichment_beyond(given: ScreenSet) -> pl.DataFrame:
    """Every row and column, tested for more NSM sites than the covariates of its sites explain."""
    need(given.covariates, WITH_COVARIATES)
    return stack(
        given.covariates,
        lambda label: enrichment_given_covariates(_explained_calls(given, label), given.covariates[label]),
    )
