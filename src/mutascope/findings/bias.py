"""Loci that are more sensitive to max than to min, or the other way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.bias import bias_agreement, bias_shares, bias_tests, locus_bias
from mutascope.analysis.maps import LocusKey, MapData
from mutascope.analysis.sites import by_assay
from mutascope.core.schema import LOCUS_KEY
from mutascope.core.words import counted
from mutascope.findings.beside import beside
from mutascope.findings.blocks import Block, Figures, Rows
from mutascope.findings.columns import columns, share
from mutascope.findings.comparison import TWO
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.galleries import across
from mutascope.findings.screens import ScreenSet, once

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_BOTH_MUTATIONS = "it takes a screen with max and min at the same sites"


@once
def bias_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Return score and lean of every locus, and the test of the difference of max and min."""
    return bias_of(given.maps)


def bias_of(maps: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return score, lean and test of every locus of some maps."""
    scored, tested = by_assay(maps, locus_bias), by_assay(maps, bias_tests)
    return scored.join(tested, on=["assay", *LOCUS_KEY], how="left", maintain_order="left")


@once
def bias_beside(given: ScreenSet) -> pl.DataFrame:
    """Return score, lean and test of every locus, and what they are in the null screens."""
    keys, names = ("assay", *LOCUS_KEY), ("max_nsm", "min_nsm", "score", "lean", "p", "q")
    return beside(given, bias_by_locus(given), lambda given: bias_of(given.null_maps), keys, names)


@once
def shares_of_bias(given: ScreenSet) -> pl.DataFrame:
    """Return shares of biased loci."""
    return bias_shares(bias_by_locus(given), ["assay", "kind"])


@once
def agreement_of_bias(given: ScreenSet) -> pl.DataFrame:
    """Return same leans and Cohen's kappa."""
    need(len(given.maps) > 1, TWO)
    found = bias_agreement(given.maps).filter(pl.col("loci") > 0)
    need(len(found), "no two screens have a locus (layer and kind) with max and min in common")
    return found


def _gallery(given: ScreenSet, palette: Palette) -> Pictures:
    """The loci of every model with the strongest bias towards max, and towards min, in its assays (Figure 2)."""
    bias = bias_by_locus(given)
    need(len(bias), _BOTH_MUTATIONS)
    rows: list[Sequence[MapData]] = []
    for labels in given.by_model(given.maps).values():
        rows += [
            across(given, locus, labels) for locus in _leaning(bias.filter(pl.col("assay").is_in(labels)))
        ]
    need(rows, "no locus has more max NSMs than min NSMs, or the other way round")
    title = "Loci with the largest surplus of max NSMs, and of min NSMs"
    yield "", figures.draw_gallery(rows, title, palette)


def _leaning(bias: pl.DataFrame) -> list[LocusKey]:
    """The two loci that lean most to max, and the two that lean most to min, over all assays."""
    strength = (pl.col("max_nsm") - pl.col("min_nsm")) / pl.col("sites")
    means = (
        bias.group_by(LOCUS_KEY, maintain_order=True).agg(way=strength.mean()).sort("way", descending=True)
    )
    way = pl.col("way")
    return pl.concat([means.filter(way > 0).head(2), means.filter(way < 0).tail(2)]).select(LOCUS_KEY).rows()


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield shares of biased loci, and the loci that lean most."""
    need(len(bias_by_locus(given)), _BOTH_MUTATIONS)
    yield Rows(
        "bias_shares",
        "Biased loci by kind",
        "assay kind loci biased_max biased_min share_max share_min",
        rows=35,
    )
    yield Rows(
        "bias_by_locus",
        "Loci that lean most",
        "assay layer kind sites max_nsm min_nsm score score_shuffled one_sided lean lean_shuffled p p_shuffled q",
        choose=lambda frame: frame.filter(pl.col("lean") != "none").sort(
            "score", descending=True, maintain_order=True
        ),
        empty="no locus is biased",
    )
    yield Rows(
        "bias_agreement",
        "Agreement of the biases between screens",
        "assay_a assay_b loci biased_both same_lean share_same kappa",
    )
    yield Figures("bias", "Loci with the largest surplus of max NSMs, and of min NSMs.")


def _sentences(given: ScreenSet) -> Iterator[str]:
    counts = pl.col("loci", "biased_max", "biased_min").sum()
    for row in shares_of_bias(given).group_by("assay", maintain_order=True).agg(counts).iter_rows(named=True):
        yield (
            f"Of {counted(row['loci'], 'locus', 'loci')} of {row['assay']}, {row['biased_max']:,} lean towards max and"
            f" {row['biased_min']:,} towards min."
        )


FINDINGS = (
    Finding(
        "bias_by_locus",
        "Bias of every locus towards max or min (METHOD, Bias).",
        bias_beside,
        columns(
            max_nsm="max NSMs",
            min_nsm="min NSMs",
            score="difference of max and min NSMs over the larger of max only and min only; null where both are 0",
            one_sided=share("share of the sites that are max only or min only"),
            lean="max, min or none: score above 20 % and more than 10 % one-sided sites",
        ),
        Drawing("bias", "loci that lean to max and to min, across screens (2)", _gallery),
        Section("bias", "Bias towards max or min", _blocks, _sentences),
    ),
    Finding(
        "bias_shares",
        "How many loci of each kind are biased, and which way.",
        shares_of_bias,
        columns(
            biased_max="loci biased towards max",
            biased_min="loci biased towards min",
            share_max=share("share of the loci biased towards max"),
            share_min=share("share of the loci biased towards min"),
        ),
    ),
    Finding(
        "bias_agreement",
        "Whether the biases of loci (layer and kind) agree between every pair of screens, of different models too.",
        agreement_of_bias,
        columns(
            biased_both="loci that are biased in both screens",
            same_lean="of these, the ones that lean the same way",
            share_same=share("same_lean / biased_both"),
            kappa="Cohen's kappa over max, min and none",
        ),
    ),
)
