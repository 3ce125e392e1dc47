"""Screens against each other: overlap of their maps, NSMs by layer, what is gained and lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.comparison import compare_mutants, count_changes
from mutascope.analysis.overlap import layer_correlations, layer_counts, overlap_matrix
from mutascope.core.errors import NotHere
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import chance, columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.words import number

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

TWO = "it takes two screens or more"


def need_pairs(given: ScreenSet) -> None:
    """Raise NotHere when no two screens can be compared site by site."""
    need(len(given.maps) > 1, TWO)
    need(given.pairs, "; ".join(given.notes))


@once
def overlap(given: ScreenSet) -> pl.DataFrame:
    """Return the overlap matrix in long form."""
    need_pairs(given)
    return overlap_matrix(given.maps, given.loci, pairs=given.pairs)


@once
def overlap_by_kind(given: ScreenSet) -> pl.DataFrame:
    """Return the overlap of every pair of screens in every kind."""
    need_pairs(given)
    return overlap_matrix(given.maps, given.loci, ["kind"], pairs=given.pairs)


@once
def nsms_of_layers(given: ScreenSet) -> pl.DataFrame:
    """Return the NSMs by layer that the layer correlation is made from."""
    return stack(given.maps, lambda label: layer_counts(given.maps[label], given.loci[label]))


@once
def correlations_of_layers(given: ScreenSet) -> pl.DataFrame:
    """Return Pearson's r and its square, within every model, for the screens that have the layers of its first."""
    need(len(given.maps) > 1, TWO)
    return pl.concat(layer_correlations(counts) for counts in _of_same_layers(given))


def _of_same_layers(given: ScreenSet) -> list[pl.DataFrame]:
    """NSMs by layer, a frame per model, of the maps that have an NSM count in the same layers as its first one."""
    layers = {label: set(records["layer"]) for label, records in given.mapped.items()}
    models = given.by_model(list(layers))
    alike = [[label for label in labels if layers[label] == layers[labels[0]]] for labels in models]
    alike = [labels for labels in alike if len(labels) > 1]
    need(alike, f"no other screen of its model has the layers of {next(iter(layers))}")
    return [nsms_of_layers(given).filter(pl.col("assay").is_in(labels)) for labels in alike]


@once
def changes(given: ScreenSet) -> pl.DataFrame:
    """Return the comparison of every pair of screens."""
    need_pairs(given)
    found, reason = [], ""
    for a, b in given.pairs:
        try:
            mutants = compare_mutants({label: given.records[label] for label in (a, b)}, given.loci)
        except NotHere as error:  # equal shapes, and yet no mutant in common
            reason = str(error)
            continue
        pair = pl.concat([count_changes(mutants), count_changes(mutants, LOCUS_KEY)], how="diagonal_relaxed")
        names = (pl.lit(a).alias("assay_a"), pl.lit(b).alias("assay_b"))
        found.append(pair.select(*names, *LOCUS_KEY, pl.exclude(LOCUS_KEY)))
    need(found, reason)
    return pl.concat(found)


def _overlap(given: ScreenSet, palette: Palette) -> Pictures:
    yield "", figures.overlap_figure(overlap(given), palette)


def _correlation(given: ScreenSet, palette: Palette) -> Pictures:
    models = _of_same_layers(given)
    for counts in models:
        suffix = counts["assay"][0] if len(models) > 1 else ""
        yield suffix, figures.layer_correlation_figure(counts, correlations_of_layers(given), palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield overlaps, correlations and changes of every two screens that can be compared."""
    need(len(given.maps) > 1, TWO)
    for note in given.notes:
        yield Prose(f"{note}.")
    yield Figures(
        "overlap", "Overlap of the maps: 1 where statuses are equal, 0.5 where both meets one-sided."
    )
    yield Figures("layer_correlation", "NSMs per layer, the first screen against the others.")
    yield Rows(
        "changes",
        "Mutants gained, lost and shared, first against second screen",
        "assay_a assay_b mutants nsm_a nsm_b lost gained shared same_phenotype p",
        choose=lambda frame: frame.filter(pl.col("layer").is_null()),
        rows=20,
    )
    yield Rows(
        "changes",
        "Loci that changed most",
        "assay_a assay_b layer kind mutants lost gained shared p q",
        choose=lambda frame: frame.filter(pl.col("layer").is_not_null()).sort("p", maintain_order=True),
    )


def _sentences(given: ScreenSet) -> Iterator[str]:
    known = pl.col("overlap").is_not_null() & (pl.col("assay_a") != pl.col("assay_b"))
    found = overlap(given).filter(known).unique("overlap", maintain_order=True)
    for row in found.sort("overlap", descending=True).iter_rows(named=True):
        yield (
            f"The maps of {row['assay_a']} and {row['assay_b']} overlap by {number(row['overlap'])}"
            f" ({number(row['expected'])} by chance)."
        )


_OVERLAP = columns(overlap="mean score of the sites: 1 equal status, 0.5 both against one-sided, else 0")

FINDINGS = (
    Finding(
        "overlap",
        "Overlap of the maps of every pair of screens, against chance (METHOD, Overlap).",
        overlap,
        _OVERLAP,
        Drawing("overlap", "overlap of the maps of every two screens (1b)", _overlap),
        Section("comparison", "Screens compared", _blocks, _sentences),
    ),
    Finding(
        "overlap_by_kind",
        "Overlap of the maps of every pair of screens by kind, against chance.",
        overlap_by_kind,
        _OVERLAP,
    ),
    Finding(
        "layer_counts",
        "max and min NSMs of every layer, scaled up to all sites of the region where sites were sampled.",
        nsms_of_layers,
        columns(nsm="max and min NSMs of the layer; an estimate in a sample"),
    ),
    Finding(
        "layer_correlations",
        "Correlation of the NSM counts per layer of every pair of screens.",
        correlations_of_layers,
        figure=Drawing(
            "layer_correlation", "NSMs per layer, one screen against the others (1c)", _correlation
        ),
    ),
    Finding(
        "changes",
        "Mutants lost, gained and shared between every two screens, whole (null layer and kind) and by locus, and"
        " whether losses and gains balance.",
        changes,
        columns(
            nsm_a="NSMs of the first screen",
            nsm_b="NSMs of the second screen",
            lost="mutants that are NSMs of the first screen alone",
            gained="mutants that are NSMs of the second screen alone",
            same_phenotype="of the shared NSMs, those with the same output; means something if the prompt is the same",
            sites_lost="sites with more lost than gained mutants",
            sites_gained="sites with more gained than lost mutants",
            q=chance("p, adjusted for the loci of the pair (Benjamini-Hochberg); of a whole comparison: p"),
        ),
    ),
)
