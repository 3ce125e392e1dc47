"""NSMs by mutation, kind and layer: the counterparts of the paper's Figures 1a, 1d and 1e."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mutascope.figures.charts import (
    grouped_bars,
    in_kind_order,
    layer_ticks,
    legend_beside,
    legend_right,
    name_models,
    panels,
    plain,
    tilt,
)
from mutascope.figures.palette import PAPER, Palette

_MANY_ASSAYS = 4


def mutations_figure(counts: Mapping[str, pl.DataFrame], palette: Palette = PAPER) -> Figure:
    """NSM rates by assay and mutation, numbers above, a panel per model.

    Frames by model have the columns assay, mutation, nsm, rate, low, high.
    """
    most = max(part["assay"].n_unique() for part in counts.values())
    size = (max(4.5, 1.3 * most + 1.6), 3.2)
    figure, axes = panels(len(counts), title="NSMs by assay and mutation", size=size, columns=2, sharey=True)
    for panel, part in zip(axes, counts.values(), strict=True):
        order = part["assay"].unique(maintain_order=True).to_list()
        grouped_bars(panel, part, x="assay", series="mutation", order=order, palette=palette)
        _write_numbers(panel, part, ("assay", "mutation"), order, upright=most > _MANY_ASSAYS)
        tilt(panel, order)
    _leave_room(axes, counts, upright=most > _MANY_ASSAYS)
    name_models(axes, counts)
    legend_right(figure, axes[-1], "mutation")
    return figure


def _write_numbers(
    panel: Axes, counts: pl.DataFrame, by: tuple[str, str], order: Sequence[str], *, upright: bool
) -> None:
    """Write the number of NSMs above every bar: of the groups in ``order``, and of the series within."""
    group, series = by
    bars = [bar for bar in panel.containers if isinstance(bar, BarContainer)]
    for bar, name in zip(bars, counts[series].unique(maintain_order=True), strict=True):
        rows = {row[group]: row for row in counts.filter(pl.col(series) == name).iter_rows(named=True)}
        drawn = [rows[each] for each in order if each in rows]
        for patch, row in zip(bar.patches, drawn, strict=True):
            place = (patch.get_x() + patch.get_width() / 2, _top(row))
            told = {"fontsize": 6, "ha": "center", "rotation": 90 if upright else 0}
            panel.annotate(f"{row['nsm']:,}", place, (0, 3), textcoords="offset points", **told)


def _leave_room(axes: Sequence[Axes], counts: Mapping[str, pl.DataFrame], *, upright: bool) -> None:
    """Leave room for the numbers above the bars of panels that share their axis."""
    highest = max(_top(row) for part in counts.values() for row in part.iter_rows(named=True))
    axes[0].set_ylim(0, max(1, (1.25 if upright else 1.1) * highest))


def _top(row: Mapping[str, Any]) -> float:
    """Upper end of a bar or its interval, in per cent."""
    return 100 * max(row["rate"], row["high"] or 0)


def kinds_figure(counts: Mapping[str, pl.DataFrame], palette: Palette = PAPER) -> Figure:
    """NSM rate of every kind by assay, numbers above, a panel per model.

    Frames by model have the columns assay, kind, nsm (of all mutations), rate, low, high.
    """
    order = in_kind_order(kind for part in counts.values() for kind in part["kind"])
    most = max(part["assay"].n_unique() for part in counts.values())
    size = (max(4.5, len(order) * (0.5 + 0.16 * most) + 1.8), 3.2)
    title = "NSMs by kind of matrix: rate of max and min (bars), number of all mutations (above)"
    figure, axes = panels(len(counts), title=title, size=size, columns=1, sharey=True)
    for panel, part in zip(axes, counts.values(), strict=True):
        grouped_bars(panel, part, x="kind", series="assay", order=order, palette=palette)
        _write_numbers(panel, part, ("kind", "assay"), order, upright=most > 1)
        tilt(panel, order)
        legend_beside(panel, "assay")
    _leave_room(axes, counts, upright=most > 1)
    name_models(axes, counts)
    return figure


def layers_figure(counts: Mapping[str, pl.DataFrame], *, title: str, palette: Palette = PAPER) -> Figure:
    """NSMs (left axis) and distinct phenotypes (right axis) of every layer, a panel per kind and model.

    Frames by model have the columns layer, kind, nsm, phenotypes (null: not drawn), a row per locus of one assay.
    """
    kinds = in_kind_order(kind for part in counts.values() for kind in part["kind"])
    drawn = [(kind, model) for kind in kinds for model, part in counts.items() if kind in part["kind"]]
    figure, axes = panels(len(drawn), title=title, size=(2.9, 2.1), sharex=True)
    for panel, (kind, model) in zip(axes, drawn, strict=True):
        part = counts[model].filter(kind=kind).sort("layer")
        _draw_layers(panel, part, "nsm", palette.series[0], "-")
        if part["phenotypes"].count():
            _draw_layers(panel.twinx(), part, "phenotypes", palette.series[2], "--")
        name = f"{kind}, {model}" if len(counts) > 1 else kind
        panel.set_title(plain(name), fontsize=9, weight="bold")
        panel.set_xlabel("layer", fontsize=8)
        layer_ticks(panel, part["layer"].to_list())
        panel.tick_params(labelbottom=True)
    return figure


_LAYER_VALUES = {"nsm": "NSMs", "phenotypes": "phenotypes"}


def _draw_layers(axes: Axes, part: pl.DataFrame, column: str, tint: str, style: str) -> None:
    """Draw one number of every layer, on an axis in its own colour."""
    # Both axes end at their largest value, so that points of the same height are common: one lies within the other.
    ring: dict[str, Any] = {"ms": 4.5, "mfc": "none"} if column == "phenotypes" else {"ms": 2.5}
    axes.plot(part["layer"], part[column], color=tint, ls=style, marker="o", lw=1, **ring)
    axes.set_ylim(0, 1.06 * max(1, axes.get_ylim()[1]))
    axes.set_ylabel(_LAYER_VALUES[column], fontsize=8, color=tint)
    axes.tick_params(axis="y", colors=tint, labelsize=7)
    axes.spines["top"].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
