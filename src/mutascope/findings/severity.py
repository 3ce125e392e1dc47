"""How far the texts of NSMs are from the wild type's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.choice import MALIGNANT_COSINE, SCORE_THRESHOLDS
from mutascope.analysis.lines import line_sharing
from mutascope.analysis.severity import COSINE_THRESHOLDS, low_sites
from mutascope.analysis.sites import in_order
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import SETS, columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.galleries import with_most
from mutascope.findings.screens import ScreenSet, once, stack

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

TEXT = "it takes a text assay"
_NSM = ~pl.col("silent")
COSINE_MAPS = (0.1, 0.2, 0.5, 0.7)
_HIGHEST = COSINE_THRESHOLDS[-1]


@once
def phenotypes(given: ScreenSet) -> pl.DataFrame:
    """Return the phenotypes with their severity and numbers of mutants."""
    need(given.text, TEXT)

    def of(label: str) -> pl.DataFrame:
        counts = (
            given.records[label]
            .filter(_NSM)
            .group_by("phenotype", maintain_order=True)
            .agg(
                mutants=pl.len().cast(pl.Int64),
                loci=pl.struct(LOCUS_KEY).n_unique().cast(pl.Int64),
                first_divergence=pl.col("first_divergence").min(),
            )
        )
        found = given.severity[label].join(counts, on="phenotype", how="inner", maintain_order="left")
        return found.sort("cosine", "edit", "phenotype", descending=[False, True, False])

    return stack(given.text, of)


@once
def severity_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Return means of the measures of severity, and numbers of NSMs below every cosine threshold."""
    need(given.text, TEXT)
    means = [
        pl.col(name).mean().alias(f"mean_{name}") for name in ("cosine", "chrf", "edit", "first_divergence")
    ]
    below = [
        (pl.col("cosine") < limit).sum().cast(pl.Int64).alias(f"cosine_below_{limit}")
        for limit in COSINE_THRESHOLDS
    ]
    count = pl.len().cast(pl.Int64).alias("nsm")
    return stack(
        given.text,
        lambda label: in_order(
            given.severe[label]
            .filter(_NSM)
            .group_by(LOCUS_KEY, maintain_order=True)
            .agg(count, *means, *below)
        ),
    )


def sites_of_low_cosine(given: ScreenSet) -> pl.DataFrame:
    """Return the sites of low cosine: too many of large models to be kept for a second look."""
    need(given.text, TEXT)
    return stack(given.text, lambda label: low_sites(given.severe[label], "cosine", _HIGHEST))


@once
def severe_lines(given: ScreenSet) -> pl.DataFrame:
    """Return the sharing of lines between severe and less severe mutants."""
    labels = [label for label in given.labels if label in (*given.text, *given.choice)]
    need(labels, "it takes a text assay or a choice assay")

    def of(label: str) -> pl.DataFrame:
        if label in given.choice:
            value, (_, low, high) = pl.col("score"), SCORE_THRESHOLDS
            return line_sharing(given.records[label].filter(_NSM), value <= low, value <= high)
        value = pl.col("cosine")
        return line_sharing(given.severe[label].filter(_NSM), value < 0.2, value < MALIGNANT_COSINE)

    return stack(labels, of)


def _cosine(given: ScreenSet, palette: Palette) -> Pictures:
    need(given.text, TEXT)
    found = stack(given.text, lambda label: given.severe[label].filter(_NSM).select("cosine"))
    need(len(found), "no mutant of a text assay that was run is an NSM")
    yield "", figures.cosine_figure(found, palette)


def _gallery(given: ScreenSet, palette: Palette) -> Pictures:
    """The loci with most NSMs of low cosine, at several thresholds (Figure 5a, b, right)."""
    need(given.text, TEXT)
    told = [(f"cosine < {limit}", pl.col("cosine") < limit) for limit in COSINE_MAPS]
    for label in given.text:
        records = given.severe[label]
        if rows := with_most(given, label, records, pl.col("cosine") < MALIGNANT_COSINE, told):
            title = f"{label}: loci with most NSMs of cosine below {MALIGNANT_COSINE}"
            yield label, figures.draw_gallery(rows, title, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield the histogram, the most severe loci, and the cosine maps."""
    need(given.text, TEXT)
    yield Prose(
        "Measured between the continuations of mutant and wild type: the cosine of their bags of words (1: the same"
        " words, 0: none in common), chrF (0 to 100), the edit distance over the length of the longer text, and the"
        " first token that differs."
    )
    yield Figures("cosine", "Cosine of the NSMs; dashed: median.")
    yield Rows(
        "severity_by_locus",
        "Loci with the most NSMs of cosine below 0.5",
        "assay layer kind nsm mean_cosine mean_chrf mean_edit mean_first_divergence cosine_below_0.1 cosine_below_0.5",
        choose=lambda frame: frame.sort("cosine_below_0.5", descending=True, maintain_order=True),
    )
    yield Rows(
        "severe_lines",
        "Rows and columns that severe and less severe mutants share",
        "assay axis first second lines all_lines shared expected p q",
        choose=lambda frame: frame.filter(pl.col("layer").is_null()),
    )
    yield Figures("cosine_maps", "NSMs below several cosines, in the loci that have most of them.")


def _sentences(given: ScreenSet) -> Iterator[str]:
    need(given.text, TEXT)
    for label in given.text:
        cosine = given.severe[label].filter(_NSM)["cosine"]
        low = int((cosine < MALIGNANT_COSINE).sum())
        if len(cosine):
            yield (
                f"{low:,} of {len(cosine):,} NSMs of {label} have a text that is far from the wild type's (cosine below"
                f" {MALIGNANT_COSINE}; median {cosine.median():.2f})."
            )


FINDINGS = (
    Finding(
        "phenotypes",
        "Every phenotype of the NSMs of the text assays, with its severity; most severe first.",
        phenotypes,
        figure=Drawing("cosine", "histogram of the cosine of NSMs (5)", _cosine),
    ),
    Finding(
        "severity_by_locus",
        "How severe the NSMs of every locus are, in the text assays.",
        severity_by_locus,
        columns(
            mean_cosine="mean cosine of the NSMs",
            mean_chrf="mean chrF of the NSMs",
            mean_edit="mean edit distance of the NSMs",
            mean_first_divergence="mean index of the first token that differs",
            **{f"cosine_below_{limit}": f"NSMs with a cosine below {limit}" for limit in COSINE_THRESHOLDS},
        ),
        section=Section("severity", "How severe the changes are", _blocks, _sentences),
    ),
    Finding(
        "severe_sites",
        f"Sites with an NSM of cosine below {_HIGHEST}, and the cosines of their NSMs: the cosine map at a threshold is"
        " of those below it.",
        sites_of_low_cosine,
        columns(
            cosine_max="cosine of max; null where it is silent, or was not screened",
            cosine_min="cosine of min; null where it is silent, or was not screened",
            cosine_zero="cosine of zero; null where it is silent, or was not screened",
        ),
        Drawing("cosine_maps", "NSMs below several cosines (5a, b)", _gallery),
    ),
    Finding(
        "severe_lines",
        "Whether less severe NSMs lie on the rows and columns of severe ones, more than others: cosine below 0.2 and"
        " below 0.5 in text assays, score up to 5 and up to 8 in choice assays.",
        severe_lines,
        SETS,
    ),
)
