"""Rows and columns with more NSM sites than chance: enriched and conserved ones; sensitive points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.covariates import massive_lines
from mutascope.analysis.enrichment import (
    HITS,
    conserved_across_assays,
    conserved_across_layers,
    conserved_on_residual,
    nsm_enrichment,
    sensitive_points,
)
from mutascope.analysis.maps import LocusKey, MapData
from mutascope.analysis.sites import by_assay, in_order
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.beside import beside
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import chance as chance_column
from mutascope.findings.columns import columns
from mutascope.findings.comparison import need_pairs
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.galleries import across
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.words import chance

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_AXES = (("row", "rows"), ("col", "columns"))
HITS_IN_WORDS = {"any": "NSM sites", "both": "double NSM sites"}


@once
def enrichment(given: ScreenSet) -> pl.DataFrame:
    """Return the test of every line, under both meanings of a hit."""
    return lines_of(given.maps)


def lines_of(maps: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the test of every line of some maps."""
    tests = [by_assay(maps, lambda calls, hit=hit: nsm_enrichment(calls, hit)) for hit in HITS]
    return pl.concat(test.with_columns(hit=pl.lit(hit)) for test, hit in zip(tests, HITS, strict=True))


@once
def across_assays(given: ScreenSet) -> pl.DataFrame:
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


@once
def across_layers(given: ScreenSet) -> pl.DataFrame:
    """Return conservation across layers of a kind."""
    return _explained(given, conserved_across_layers(enrichment(given)))


@once
def on_residual(given: ScreenSet) -> pl.DataFrame:
    """Return conservation along the residual stream."""
    return _explained(
        given, _residual_of(enrichment(given), {label: given.loci[label] for label in given.maps})
    )


def _explained(given: ScreenSet, lines: pl.DataFrame) -> pl.DataFrame:
    """The lines with the massive activations of the screens that have covariates."""
    known = [
        massive_lines(lines.filter(assay=label), covariates) for label, covariates in given.covariates.items()
    ]
    rest = lines.filter(~pl.col("assay").is_in(list(given.covariates)))
    return pl.concat([*known, rest], how="diagonal_relaxed")


@once
def points(given: ScreenSet) -> pl.DataFrame:
    """Return the sensitive points of every group of screens that can be compared."""
    return pl.concat(
        sensitive_points({label: given.maps[label] for label in group}).select(
            pl.lit(", ".join(group)).alias("assays"), pl.all()
        )
        for group in given.groups
    )


@once
def null_lines(given: ScreenSet) -> pl.DataFrame:
    """Return the test of every line of the null screens."""
    return lines_of(given.null_maps)


@once
def enrichment_beside(given: ScreenSet) -> pl.DataFrame:
    """Return the test of every line, and what it finds in the null screens."""
    keys = ("assay", *LOCUS_KEY, "axis", "hit", "index")
    return beside(given, enrichment(given), null_lines, keys, ("hits", "fold", "p", "q", "enriched"))


@once
def across_layers_beside(given: ScreenSet) -> pl.DataFrame:
    """Return conservation across layers, and what it is in the null screens."""
    keys = ("assay", "hit", "kind", "axis", "index")
    return beside(
        given,
        across_layers(given),
        lambda given: conserved_across_layers(null_lines(given)),
        keys,
        ("enriched",),
        absent=0,
    )


@once
def on_residual_beside(given: ScreenSet) -> pl.DataFrame:
    """Return conservation along the residual stream, and what it is in the null screens."""
    keys = ("assay", "hit", "index")
    return beside(given, on_residual(given), _null_residual, keys, ("enriched",), absent=0)


def _null_residual(given: ScreenSet) -> pl.DataFrame:
    return _residual_of(null_lines(given), given.null_loci)


def _residual_of(lines: pl.DataFrame, loci: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    return stack(
        loci, lambda label: conserved_on_residual(lines.filter(assay=label).drop("assay"), loci[label])
    )


def _gallery(given: ScreenSet, palette: Palette) -> Pictures:
    """The loci of every model with the most significant rows, and columns, in its assays (Figure 3a, b)."""
    lines = enrichment(given).filter("enriched")
    need(len(lines), "no row or column is enriched")
    rows = [
        across(
            given,
            locus,
            labels,
            lambda label, data, axis=axis: _with_marks(data, lines.filter(assay=label), axis),
        )
        for labels in given.by_model(given.maps).values()
        for axis, _ in _AXES
        for locus in _most_enriched(lines.filter(pl.col("assay").is_in(labels), axis=axis))
    ]
    title = "Loci with the most enriched rows, and columns (marked: q ≤ 0.05)"
    yield "", figures.draw_gallery(rows, title, palette)


def _most_enriched(lines: pl.DataFrame) -> list[LocusKey]:
    total = (-pl.col("p").clip(1e-300).log()).sum()
    best = lines.group_by(LOCUS_KEY, maintain_order=True).agg(total=total)
    return best.sort("total", descending=True, maintain_order=True).head(2).select(LOCUS_KEY).rows()


def _with_marks(data: MapData, lines: pl.DataFrame, axis: str) -> MapData:
    found = lines.filter(layer=data.layer, kind=data.kind, axis=axis)["index"].to_list()
    return replace(data, rows=found) if axis == "row" else replace(data, cols=found)


def _conserved(given: ScreenSet, palette: Palette) -> Pictures:
    lines, conserved = enrichment(given), across_layers(given)
    tested = lines["assay"].unique(maintain_order=True).to_list()
    need(tested, "it takes a screen with max and min at the same sites, or with one of max, min and zero")
    for label, (axis, name), hit in product(tested, _AXES, HITS_IN_WORDS):
        shown = lines.filter(assay=label, hit=hit)
        if hit == "any" or shown["enriched"].any():
            figure = figures.conserved_lines_figure(
                shown,
                conserved.filter(assay=label, hit=hit),
                axis=axis,
                title=f"{name.capitalize()} of {label} with more {HITS_IN_WORDS[hit]} (dots: q ≤ 0.05, above:\n"
                "conserved; hatched: too full of hits, or too empty, for the test)",
                palette=palette,
            )
            yield f"{label}_{name}" + ("_both" if hit == "both" else ""), figure


def _sensitive(given: ScreenSet, palette: Palette) -> Pictures:
    for number, group in enumerate(given.groups):
        told = ", ".join(group)
        found = (
            points(given).filter(assays=told).group_by(LOCUS_KEY, maintain_order=True).agg(points=pl.len())
        )
        sites = pl.col("site_rows") * pl.col("site_cols")
        shares = given.loci[group[0]].join(found, on=LOCUS_KEY, how="left", maintain_order="left")
        shares = in_order(shares.with_columns(share=100 * pl.col("points").fill_null(0) / sites))
        title = f"Sensitive points of {told}, % of the sites"
        figure = figures.by_locus_figure(shares, "share", title=title, palette=palette)
        yield str(number + 1) if len(given.groups) > 1 else "", figure


def _by_q(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter("conserved").sort("q", "p", maintain_order=True)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield conserved lines first, then single ones, then sensitive points."""
    enrichment(given)
    yield Prose(
        "A row or column is enriched when it holds more hits than a random deal of the sites of its locus"
        " (hypergeometric test, false discovery rate 5 %). A hit is a site where any of max and min is an NSM or,"
        " apart, one where both are (a double NSM site): where most sites are NSM sites, only the second can tell."
        " A line is conserved when it is enriched more often across"
        " layers, kinds or screens than chance has it. In marked rows of the tables, a massive activation of the wild"
        " type runs through the line."
    )
    yield Rows(
        "conserved_on_residual",
        "Conserved coordinates of the residual stream (columns of q k v gate up, rows of o down)",
        "assay hit index enriched enriched_shuffled tested expected kinds p q stream_ratio massive_layers massive",
        choose=_by_q,
        empty="none is conserved",
    )
    yield Rows(
        "conserved_across_layers",
        "Conserved across the layers of a kind",
        "assay kind axis hit index enriched enriched_shuffled tested expected p q stream_ratio massive_layers massive",
        choose=_by_q,
        rows=20,
        empty="none is conserved",
    )
    yield Figures(
        "conserved_lines", "Rows and columns of all layers; dots: enriched, numbers above: conserved."
    )
    yield Rows(
        "conserved_across_assays",
        "Conserved across screens",
        "assays layer kind axis hit index enriched tested expected p q",
        choose=_by_q,
        empty="none is conserved",
    )
    yield Rows(
        "enrichment",
        "The most enriched single rows and columns",
        "assay layer kind axis hit index sites hits hits_shuffled expected fold fold_shuffled p p_shuffled q",
        choose=lambda frame: frame.filter("enriched").sort("p", maintain_order=True),
        empty="no row or column is enriched",
    )
    yield Figures("enriched_loci", "Loci with the most enriched rows, and columns (marked).")
    yield Figures("sensitive_points", "Share of the sites that are both in every screen, by locus.")


def _sentences(given: ScreenSet) -> Iterator[str]:
    """Conserved lines, and whether massive activations lie on them."""
    found = across_layers(given).filter("conserved").sort("q", "enriched", descending=[False, True])
    found = found.unique(["assay", "kind", "axis", "index"], keep="first", maintain_order=True)
    for row in found.iter_rows(named=True):
        line = {"row": "Row", "col": "Column"}[row["axis"]]
        told = (
            f"{line} {row['index']} of {row['kind']} is enriched in {HITS_IN_WORDS[row['hit']]} in {row['enriched']} of"
            f" {row['tested']} layers ({row['assay']}, q = {chance(row['q'])})"
        )
        if row.get("massive"):
            told += (
                f"; a massive activation runs through it in {row['massive_layers']} of {row['layers']} layers"
            )
        yield f"{told}."


HIT_COLUMN = columns(hit="what counts as a hit: any of max and min is an NSM, or both are")
_CONSERVED = HIT_COLUMN | columns(
    tested="number of assays, layers or loci with this line",
    kinds="kinds with an enriched line",
    conserved="q is 0.05 or less, and enriched at least twice",
    massive_layers="of these layers, those with a massive activation at this coordinate",
    stream_ratio="largest magnitude of the residual stream there, over its median magnitude",
    massive="whether a massive activation lies there",
)

FINDINGS = (
    Finding(
        "enrichment",
        "Every row and column of every locus, tested for more NSM sites than chance, and for more sites where both max"
        " and min are NSMs.",
        enrichment_beside,
        HIT_COLUMN
        | columns(
            least_p=chance_column("p if all sites of the line were hits"),
            blind="whether even this would not be called: the test cannot see the line",
        ),
        figure=Drawing(
            "enriched_loci", "loci with enriched rows and columns, across screens (3a, b)", _gallery
        ),
        section=Section("lines", "Sensitive rows and columns", _blocks, _sentences),
    ),
    Finding(
        "conserved_across_assays",
        "Lines that are enriched in some assay, tested for being so in several.",
        across_assays,
        _CONSERVED,
    ),
    Finding(
        "conserved_across_layers",
        "Coordinates of a kind with an enriched line in some layer, tested for having one in several; whether the line"
        " carries a massive activation, where the screen has covariates.",
        across_layers_beside,
        _CONSERVED,
        Drawing("conserved_lines", "enriched rows and columns of all layers (3)", _conserved),
    ),
    Finding(
        "conserved_on_residual",
        "Coordinates of the residual stream with an enriched line (columns of q k v gate up, rows of o down) in some"
        " locus, tested for having one in several; whether they carry a massive activation.",
        on_residual_beside,
        _CONSERVED,
    ),
    Finding(
        "sensitive_points",
        "Sites that are NSMs with max and with min in all of several screens, or in the only one.",
        points,
        figure=Drawing(
            "sensitive_points", "share of the sites that are both in every screen, by locus (3)", _sensitive
        ),
    ),
)
