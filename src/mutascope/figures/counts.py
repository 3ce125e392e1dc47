"""NSMs by mutation, kind and layer: the counterparts of the paper's Figures 1a, 1d and 1e."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
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
    """NSMs (left axis) and distinct phenotypes (right axis) of every layer, a panel per kind.

    ``counts`` has columns layer, kind, nsm, phenotypes (null: not drawn), a row per locus of one assay.
    """
    kinds = in_kind_order(counts["kind"])
    figure, axes = panels(len(kinds), title=title, size=(2.9, 2.1), sharex=True)
    for panel, kind in zip(axes, kinds, strict=True):
        part = counts.filter(kind=kind).sort("layer")
        _draw_layers(panel, part, "nsm", palette.series[0], "-")
        if part["phenotypes"].count():
            _draw_layers(panel.twinx(), part, "phenotypes", palette.series[2], "--")
        panel.set_title(plain(kind), fontsize=9, weight="bold")
        panel.set_xlabel("layer", fontsize=8)
        layer_ticks(panel, part["layer"].to_list())
        panel.tick_params(labelbottom=True)
    return figure


_LAYER_VALUES = {"nsm": "NSMs", "phenotypes": "phenotypes"}


def _draw_layers(axes: Axes, part: pl.DataFrame, column: str, tint: str, style: str) -> None:
    """Draw one number of every layer, on an axis in its own colour."""
    axes.plot(part["layer"], part[column], color=tint, ls=style, marker="o", ms=2.5, lw=1)
    axes.set_ylim(0, 1.06 * max(1, axes.get_ylim()[1]))
    axes.set_ylabel(_LAYER_VALUES[column], fontsize=8, color=tint)
    axes.tick_params(axis="y", colors=tint, labelsize=7)
    axes.spines["top"].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
