"""NSMs by mutation, kind and layer: the counterparts of the paper's Figures 1a, 1d and 1e."""

from __future__ import annotations

import polars as pl
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mutascope.figures.charts import (
    grouped_bars,
    in_kind_order,
    layer_ticks,
    legend_right,
    panels,
    plain,
    tilt,
)
from mutascope.figures.palette import PAPER, Palette


def mutations_figure(counts: pl.DataFrame, palette: Palette = PAPER) -> Figure:
    """NSM rates by assay and mutation, numbers above; columns assay, mutation, nsm, rate, low, high."""
    order = counts["assay"].unique(maintain_order=True).to_list()
    figure, (axes,) = panels(
        1, title="NSMs by assay and mutation", size=(max(4.5, 1.3 * len(order) + 1.6), 3.2)
    )
    grouped_bars(axes, counts, x="assay", series="mutation", order=order, palette=palette)
    bars = [bar for bar in axes.containers if isinstance(bar, BarContainer)]
    for bar, name in zip(bars, counts["mutation"].unique(maintain_order=True), strict=True):
        for patch, row in zip(bar.patches, counts.filter(mutation=name).iter_rows(named=True), strict=True):
            top = 100 * max(row["rate"], row["high"] or 0)
            place = (patch.get_x() + patch.get_width() / 2, top)
            axes.annotate(
                f"{row['nsm']:,}", place, (0, 3), textcoords="offset points", fontsize=6, ha="center"
            )
    tilt(axes, order)
    legend_right(figure, axes, "mutation")
    return figure


def kinds_figure(counts: pl.DataFrame, palette: Palette = PAPER) -> Figure:
    """NSM rate of every kind by assay; ``counts`` has columns assay, kind, rate, low, high."""
    order = in_kind_order(counts["kind"])
    assays = counts["assay"].n_unique()
    figure, (axes,) = panels(
        1, title="NSMs by kind of matrix", size=(max(4.5, len(order) * (0.5 + 0.16 * assays) + 1.8), 3.2)
    )
    grouped_bars(axes, counts, x="kind", series="assay", order=order, palette=palette)
    tilt(axes, order)
    legend_right(figure, axes, "assay")
    return figure


def layers_figure(counts: pl.DataFrame, *, title: str, palette: Palette = PAPER) -> Figure:
    """NSMs and distinct phenotypes of every layer, a panel per kind.

    ``counts`` has columns layer, kind, nsm, phenotypes, a row per locus of one assay.
    """
    kinds = in_kind_order(counts["kind"])
    figure, axes = panels(len(kinds), title=title, size=(2.6, 2.1), sharex=True)
    for panel, kind in zip(axes, kinds, strict=True):
        part = counts.filter(kind=kind).sort("layer")
        for index, (column, label) in enumerate((("nsm", "NSMs"), ("phenotypes", "distinct phenotypes"))):
            panel.plot(
                part["layer"],
                part[column],
                color=palette.series[2 * index],
                ls=("-", "--")[index],
                marker="o",
                ms=2.5,
                lw=1,
                label=label,
            )
        panel.set_title(plain(kind), fontsize=9, weight="bold")
        panel.set_ylim(bottom=0)
        panel.set_xlabel("layer", fontsize=8)
        layer_ticks(panel, part["layer"].to_list())
        panel.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.tick_params(labelbottom=True)
    legend_right(figure, axes[0])
    return figure
