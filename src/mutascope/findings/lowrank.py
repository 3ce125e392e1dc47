"""Predicted maps as row factors times column factors."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope.analysis.lowrank import factors, low_rank_shares
from mutascope.analysis.lowrank_patterns import low_rank_by_kind, low_rank_patterns
from mutascope.analysis.sites import MAP_MUTATIONS
from mutascope.findings.blocks import Block, Prose, Rows
from mutascope.findings.columns import columns
from mutascope.findings.finding import Section, finding, need
from mutascope.findings.predictions import PREDICTED
from mutascope.findings.screens import ScreenSet, stack


def _complete(given: ScreenSet) -> dict[str, pl.DataFrame]:
    """Predictions of max and min, by the label of the screens that have both."""
    need(given.predicted, PREDICTED)
    found = {label: given.predictions(label) for label in given.predicted}
    both = {
        label: predictions
        for label, predictions in found.items()
        if set(MAP_MUTATIONS) <= set(predictions["mutation"].unique())
    }
    need(both, "it takes predictions of max and min")
    return both


def _blocks(given: ScreenSet) -> Iterator[Block]:
    low_rank_of_kinds(given)
    yield Prose(
        "To first order, what a constant written over a tile does is a factor of its row times a factor of its column,"
        " with opposite signs for max and min. The table says how much of the maps such forms alone explain: calls,"
        " lines with many NSMs, the correlations that COPA consists of, and bias."
    )
    yield Rows(
        "low_rank_by_kind",
        "What row factors times column factors explain",
        "assay kind rank loci agreement lines_row lines_col pairs_row pairs_col bias_explained",
        rows=20,
    )


_SHARES = columns(
    odd_share="share of the odd part (half the difference of the margins under min and max) in the sum of squares",
    share_1="share of the odd part's sum of squares that a matrix of rank 1 explains",
    share_2="the same for rank 2",
    share_3="the same for rank 3",
    null_1="what rank 1 explains when the values are shuffled among the sites",
)

_FORMS = columns(
    rank="of the low-rank form",
    agreement="share of the calls of max and min that the form gets right",
    bias="max NSMs less min NSMs, as a share of the sites",
    form_bias="the same of the form",
    **{
        f"{name}_{axis}": meaning.format(what)
        for axis, what in (("row", "rows"), ("col", "columns"))
        for name, meaning in {
            "lines": "squared correlation of the numbers of NSM sites of the {} in map and form",
            "pairs": "squared correlation, in map and form, of Pearson's r of pairs of {} (COPA's pattern)",
            "strength": "mean |r| of pairs of {} in the map",
            "form_strength": "mean |r| of pairs of {} in the form",
        }.items()
    },
)


@finding("low_rank", _SHARES)
def low_rank(given: ScreenSet) -> pl.DataFrame:
    """How far predicted maps are one row factor times one column factor, with opposite signs for max and min."""
    predictions = _complete(given)
    return stack(predictions, lambda label: low_rank_shares(predictions[label]))


@finding(
    "low_rank_factors",
    columns(factor="of the line: the odd part is near row factor times column factor (root of a margin)"),
)
def low_rank_factors(given: ScreenSet) -> pl.DataFrame:
    """The row and the column factors of every predicted locus."""
    predictions = _complete(given)
    return stack(predictions, lambda label: factors(predictions[label]))


@finding("low_rank_patterns", _FORMS)
def patterns_of_low_rank(given: ScreenSet) -> pl.DataFrame:
    """How much of enriched lines, bias and COPA of a map its low-rank form predicts, for forms of rank 1 and 3."""
    predictions = _complete(given)
    return stack(
        predictions,
        lambda label: pl.concat(
            [low_rank_patterns(predictions[label], given.maps[label], rank) for rank in (1, 3)],
            how="vertical_relaxed",
        ),
    )


@finding(
    "low_rank_by_kind",
    {
        **_SHARES,
        **_FORMS,
        **columns(bias_explained="squared correlation of the bias of map and form over the loci"),
    },
    section=Section("low_rank", "Row factors and column factors", _blocks),
)
def low_rank_of_kinds(given: ScreenSet) -> pl.DataFrame:
    """What low-rank forms of predicted maps explain: medians over the loci of a kind, and of bias over the loci."""
    shares, patterns = low_rank(given), patterns_of_low_rank(given)
    return stack(
        _complete(given),
        lambda label: low_rank_by_kind(
            shares.filter(assay=label).drop("assay"), patterns.filter(assay=label).drop("assay")
        ),
    )
