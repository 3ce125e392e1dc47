"""All figures of a set of screens by name: what each shows, and how it is drawn from the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl
from matplotlib.figure import Figure

from mutascope.analysis.sites import LOCUS, in_order
from mutascope.core.genome import check_name
from mutascope.figures.counts import kinds_figure, layers_figure, mutations_figure
from mutascope.figures.enrichment import by_locus_figure, conserved_lines_figure
from mutascope.figures.galleries import GALLERIES
from mutascope.figures.maps import sheet_figure
from mutascope.figures.pairs import layer_correlation_figure, overlap_figure
from mutascope.figures.palette import PAPER, Palette
from mutascope.figures.reliability import reliability_figure
from mutascope.figures.screens import predicted_title
from mutascope.figures.severity import cosine_figure, score_figure
from mutascope.figures.strength import strength_figure
from mutascope.figures.writers import writers_figure
from mutascope.findings import maps, outputs, patterns, predictions, writers
from mutascope.findings.registry import need
from mutascope.findings.screens import Screens

Drawn = Iterator[tuple[str, Figure]]
"""A suffix of the file name (empty, or what tells several pictures of one name apart), and the figure."""


@dataclass(frozen=True)
class Drawing:
    """A figure, or several of one sort.

    Attributes:
        name: of the file, and of ``--only``.
        description: what it shows.
        draw: draws it; raises NotHere where the screens have not what it takes.
    """

    name: str
    description: str
    draw: Callable[[Screens, Palette], Drawn]


def _mutations(given: Screens, palette: Palette) -> Drawn:
    yield "", mutations_figure(maps.nsm_by_mutation(given), palette)


def _kinds(given: Screens, palette: Palette) -> Drawn:
    yield "", kinds_figure(maps.nsm_by_kind(given), palette)


def _layers(given: Screens, palette: Palette) -> Drawn:
    counts = maps.nsm_by_locus(given)
    for label in given.maps:
        title = f"NSMs and distinct phenotypes by layer, {label}"
        yield label, layers_figure(counts.filter(assay=label), title=title, palette=palette)


def _overlap(given: Screens, palette: Palette) -> Drawn:
    yield "", overlap_figure(maps.overlap(given), palette)


def _correlation(given: Screens, palette: Palette) -> Drawn:
    correlations = maps.correlations_of_layers(given)
    counts = maps.nsms_of_layers(given).filter(pl.col("assay").is_in(maps.same_layers(given)))
    yield "", layer_correlation_figure(counts, correlations, palette)


def _sheets(given: Screens, palette: Palette) -> Drawn:
    for label, results in given.results.items():
        statuses = [(layer, kind, status) for (layer, kind), status in given.statuses(label).items()]
        exact = given.exact(label)
        title = results.title if exact is None else predicted_title(results.title)
        yield label, sheet_figure(statuses, title=title, palette=palette, exact=exact)


def _conserved(given: Screens, palette: Palette) -> Drawn:
    lines, conserved = patterns.enrichment(given), patterns.across_layers(given)
    tested = lines["assay"].unique(maintain_order=True).to_list()
    need(tested, "it takes a screen with max and min at the same sites, or with one of max, min and zero")
    for label in tested:
        for axis, name in (("row", "rows"), ("col", "columns")):
            yield (
                f"{label}_{name}",
                conserved_lines_figure(
                    lines.filter(assay=label),
                    conserved.filter(assay=label),
                    axis=axis,
                    title=f"Enriched {name} of {label}; dots: q ≤ 0.05, above: conserved across layers",
                    palette=palette,
                ),
            )


def _sensitive(given: Screens, palette: Palette) -> Drawn:
    for number, group in enumerate(given.groups):
        told = ", ".join(group)
        points = patterns.points(given).filter(assays=told).group_by(LOCUS).agg(points=pl.len())
        loci = given.loci[group[0]].select(LOCUS)
        counts = in_order(loci.join(points, on=LOCUS, how="left").with_columns(pl.col("points").fill_null(0)))
        figure = by_locus_figure(counts, "points", title=f"Sensitive points of {told}", palette=palette)
        yield str(number + 1) if len(given.groups) > 1 else "", figure


def _strength(given: Screens, palette: Palette) -> Drawn:
    found = patterns.pattern(given)
    need(len(found), "it takes a screen of max or min")
    for axis, name in (("row", "rows"), ("col", "columns")):
        yield name, strength_figure(found, axis=axis, palette=palette)


def _cosine(given: Screens, palette: Palette) -> Drawn:
    need(given.text, outputs.TEXT)
    cosines = [
        given.severe[label].filter(~pl.col("silent")).select(pl.lit(label).alias("assay"), "cosine")
        for label in given.text
    ]
    found = pl.concat(cosines)
    need(len(found), "no mutant of a text assay that was run is an NSM")
    yield "", cosine_figure(found, palette)


def _scores(given: Screens, palette: Palette) -> Drawn:
    counts = outputs.choice_by_score(given)
    need(len(counts), "no mutant of a choice assay that was run is an NSM")
    yield "", score_figure(counts, palette)


def _writers(given: Screens, palette: Palette) -> Drawn:
    loci, words = writers.rare_by_locus(given), writers.rare_words(given)
    histogram = writers.rare_by_cosine(given) if given.text else None
    for label in given.panels:
        if not loci.filter(assay=label)["rare"].sum():
            continue
        yield (
            label,
            writers_figure(
                None if histogram is None else histogram.filter(assay=label),
                loci.filter(assay=label),
                words.filter(assay=label),
                title=f"Rare initial words of {label}",
                palette=palette,
            ),
        )


def _reliability(given: Screens, palette: Palette) -> Drawn:
    yield "", reliability_figure(predictions.reliability_curves(given), palette)


_CHARTS = (
    Drawing("nsm_by_mutation", "NSM rates by assay and mutation (paper: Figure 1a)", _mutations),
    Drawing("overlap", "overlap of the maps of every two screens (1b)", _overlap),
    Drawing("layer_correlation", "NSMs per layer, one screen against the others (1c)", _correlation),
    Drawing("nsm_by_kind", "NSM rates by kind (1d)", _kinds),
    Drawing("layers", "NSMs and distinct phenotypes by layer and kind (1e)", _layers),
    Drawing("sheet", "maps of all loci (2, Supplementary Figures)", _sheets),
    Drawing("conserved_lines", "enriched rows and columns of all layers (3)", _conserved),
    Drawing("sensitive_points", "sites that are both in every screen, by locus (3)", _sensitive),
    Drawing("copa_strength", "strength of the complementary pattern against its null (4d)", _strength),
    Drawing("cosine", "histogram of the cosine of NSMs (5)", _cosine),
    Drawing("score", "NSMs of choice assays by score (5)", _scores),
    Drawing("reliability", "predicted probabilities against exact calls", _reliability),
    Drawing("writers", "mutants with rare initial words (6a-c)", _writers),
)

FIGURES: dict[str, Drawing] = {
    drawing.name: drawing
    for drawing in (*_CHARTS, *(Drawing(name, told, draw) for name, told, draw in GALLERIES))
}
"""All figures by name, in the order in which they are drawn."""


def draw_figure(given: Screens, name: str, palette: Palette = PAPER) -> dict[str, Figure]:
    """Return the pictures of a figure by suffix: one with an empty suffix, or one per screen or axis.

    Raises:
        NotHere: when these screens cannot make it; says what it takes.
        MutascopeError: for an unknown name, or damaged data.
    """
    check_name("figure", name, list(FIGURES))
    return dict(FIGURES[name].draw(given, palette))
