"""Screens against each other: overlap of their maps, NSMs by layer, what is gained and lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.comparison import compare_mutants, count_changes
from mutascope.analysis.nulls import q_values
from mutascope.analysis.overlap import layer_correlations, layer_counts, overlap_matrix, overlap_tests
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
_REFERENCE = "python0"


def need_pairs(given: ScreenSet) -> None:
    """Raise NotHere when no two screens can be compared site by site."""
    need(len(given.maps) > 1, TWO)
    need(given.pairs, "; ".join(given.notes))


@once
def overlap(given: ScreenSet) -> pl.DataFrame:
    """Return the overlap matrix in long form, with the test of every pair."""
    need_pairs(given)
    found = overlap_matrix(given.maps, given.loci, pairs=given.pairs)
    tested = overlap_tests(given.maps, given.loci, given.pairs)
    model = pl.Series("model", [given.model(label) for label in tested["assay_a"]], dtype=pl.String)
    tested = q_values(tested.with_columns(model), ["model"]).drop("model")
    turned = tested.select(assay_a="assay_b", assay_b="assay_a", p="p", q="q")
    return found.join(
        pl.concat([tested, turned]), on=["assay_a", "assay_b"], how="left", maintain_order="left"
    )


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
    return pl.concat(layer_correlations(counts) for counts in _of_same_layers(given).values())


def _of_same_layers(given: ScreenSet) -> dict[str, pl.DataFrame]:
    """NSMs by layer, by model, of the maps that have the layers of its reference, which comes first."""
    layers = {label: set(given.mapped(label)["layer"].unique()) for label in given.maps}
    found = {}
    for model, labels in given.by_model(layers).items():
        first = _reference(given, labels)
        alike = [first, *(label for label in labels if label != first and layers[label] == layers[first])]
        if len(alike) > 1:
            counts = dict(nsms_of_layers(given).group_by("assay", maintain_order=True))
            found[model] = pl.concat(counts[(label,)] for label in alike)
    need(found, f"no other screen of its model has the layers of {next(iter(layers))}")
    return found


def _reference(given: ScreenSet, labels: Sequence[str]) -> str:
    """The screen that others of its model are drawn against: python0, as in the paper, or else the first."""
    named = (label for label in labels if given.results[label].manifest.assay.name == _REFERENCE)
    return next(named, labels[0])


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
    found = overlap(given)
    models = given.by_model(found["assay_a"].unique(maintain_order=True))
    alike = [given.alike("assay_a"), given.alike("assay_b")]
    parts = {
        model: found.filter(pl.col("assay_a").is_in(labels)).with_columns(alike)
        for model, labels in models.items()
    }
    yield "", figures.overlap_figure(parts, palette)


def _correlation(given: ScreenSet, palette: Palette) -> Pictures:
    found = correlations_of_layers(given)
    models = {
        model: (
            counts.with_columns(given.alike("assay")),
            found.filter(pl.col("assay_a").is_in(counts["assay"].implode())).with_columns(
                given.alike("assay_a"), given.alike("assay_b")
            ),
        )
        for model, counts in _of_same_layers(given).items()
    }
    choice = [given.counterparts[label] for label in given.choice]
    yield "", figures.layer_correlation_figure(models, choice, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield overlaps, correlations and changes of every two screens that can be compared."""
    need(len(given.maps) > 1, TWO)
    for note in given.notes:
        yield Prose(f"{note}.")
    yield Figures(
        "overlap", "Overlap of the maps: 1 where statuses are equal, 0.5 where both meets one-sided."
    )
    yield Figures(
        "layer_correlation",
        "NSMs per layer: python0, or else the first screen of a model, against its others.",
    )
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
        "NSMs of every layer, all mutations together, scaled up to all sites of the region where sites were sampled.",
        nsms_of_layers,
        columns(nsm="NSMs of the layer; an estimate in a sample"),
    ),
    Finding(
        "layer_correlations",
        "Correlation of the NSM counts per layer of every pair of screens.",
        correlations_of_layers,
        figure=Drawing(
            "layer_correlation", "NSMs per layer, one screen of a model against the others (1c)", _correlation
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
