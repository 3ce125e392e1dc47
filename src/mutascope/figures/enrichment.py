"""Rows and columns with more NSMs than chance, and sensitive points: counterparts of the paper's Figure 3."""

from __future__ import annotations

import matplotlib
import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mutascope.analysis.status import Status
from mutascope.core.schema import LOCUS_KEY
from mutascope.figures.charts import INK, MARK, in_kind_order, panels, plain
from mutascope.figures.palette import PAPER, Palette

_MOST_LABELS = 6
_RATIO = ((pl.col("hits") + 0.5) / (pl.col("expected") + 0.5)).log(2)
"""No hit where half a one is expected is no depletion: with a half on both sides, it is near to 1."""
_DOTS_ACROSS = 250
"""Points across all dots of a full row, in a panel 400 points wide: what lies beneath stays visible."""
_LEAST_REACH = 0.05
"""Ratios nearer to 1 than two to this power are no picture of anything."""


def conserved_lines_figure(
    lines: pl.DataFrame, conserved: pl.DataFrame, *, axis: str, title: str, palette: Palette = PAPER
) -> Figure:
    """Enriched lines of every layer, a panel per kind: layers down, coordinates across, conserved ones named.

    Args:
        lines: of one assay, columns layer, kind, axis, index, hits, expected, enriched, blind. Loci whose lines are all
            blind are hatched.
        conserved: of the same assay, columns kind, axis, index, q, conserved (across layers).
        axis: ``row`` or ``col``.
        title: of the figure.
        palette: colours.
    """
    lines, conserved = lines.filter(axis=axis), conserved.filter(axis=axis)
    kinds = in_kind_order(lines["kind"])
    layers = lines["layer"].unique().sort().to_list()
    height = 0.85 + max(0.5, 0.07 * len(layers))
    figure, axes = panels(len(kinds), title=title, size=(7.5, height), columns=1)
    image = None
    shades = matplotlib.colormaps[palette.diverging].with_extremes(bad=palette.statuses[Status.UNSCREENED])
    lines = lines.with_columns(ratio=_RATIO)
    reach = max(float(lines["ratio"].abs().quantile(0.98) or 0), _LEAST_REACH)
    for panel, kind in zip(axes, kinds, strict=True):
        part = lines.filter(kind=kind)
        ratio = np.full((len(layers), int(part["index"].to_numpy().max()) + 1), np.nan)
        at = part["layer"].replace_strict(layers, range(len(layers))).to_numpy()
        ratio[at, part["index"].to_numpy()] = part["ratio"].to_numpy().clip(-reach, reach)
        image = panel.imshow(
            ratio, aspect="auto", interpolation="nearest", cmap=shades, vmin=-reach, vmax=reach
        )
        blind = part.group_by("layer").agg(pl.col("blind").all()).filter("blind")["layer"]
        for place in (layers.index(layer) for layer in blind):
            panel.axhspan(place - 0.5, place + 0.5, fill=False, hatch="////", edgecolor=INK, lw=0, alpha=0.5)
        called = part.filter("enriched")
        panel.scatter(
            called["index"],
            called["layer"].replace_strict(layers, range(len(layers))) if len(called) else [],
            s=min(7, (_DOTS_ACROSS / ratio.shape[1]) ** 2),
            color=MARK,
            linewidths=0,
        )
        panel.set_ylabel(f"{plain(kind)}\nlayer", fontsize=8)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        places = [int(tick) for tick in panel.get_yticks() if 0 <= tick < len(layers)]
        panel.set_yticks(places, [str(layers[place]) for place in places])
        named = conserved.filter(pl.col("conserved") & (pl.col("kind") == kind)).sort("q").head(_MOST_LABELS)
        top = panel.secondary_xaxis("top")
        top.set_xticks(named["index"].to_list())
        top.tick_params(labelsize=7, colors=MARK, length=3)
    axes[-1].set_xlabel(f"{axis} (in tiles)", fontsize=8)
    if image is not None:
        bar = figure.colorbar(
            image, ax=axes, shrink=min(1.0, 2.5 / (height * len(kinds))), aspect=15, extend="both"
        )
        bar.set_label("(hits + ½) / (expected + ½)", fontsize=8)
        ticks = [-reach, -reach / 2, 0, reach / 2, reach]
        bar.set_ticks(ticks, labels=[f"{2**tick:.3g}" for tick in ticks])
        bar.ax.tick_params(labelsize=7)
    return figure


def by_locus_figure(counts: pl.DataFrame, value: str, *, title: str, palette: Palette = PAPER) -> Figure:
    """A number per locus, layers down and kinds across; ``counts`` has columns layer, kind and ``value``."""
    kinds = in_kind_order(counts["kind"])
    layers = counts["layer"].unique().sort().to_list()
    grid = np.full((len(layers), len(kinds)), np.nan)
    for layer, kind, number in counts.select(*LOCUS_KEY, value).iter_rows():
        grid[layers.index(layer), kinds.index(kind)] = np.nan if number is None else number
    figure, (axes,) = panels(
        1, title=title, size=(max(4.5, 0.55 * len(kinds) + 1.5), max(1.5, 0.2 * len(layers)) + 0.6)
    )
    image = axes.imshow(
        grid,
        aspect="auto",
        interpolation="nearest",
        cmap=palette.sequential,
        vmin=0,
        vmax=max(1, np.nanmax(grid)),
    )
    axes.set_xticks(range(len(kinds)), [plain(kind) for kind in kinds])
    step = 1 if len(layers) <= 40 else 5
    axes.set_yticks(range(0, len(layers), step), layers[::step], fontsize=7)
    axes.set_ylabel("layer", fontsize=9)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, ticks=MaxNLocator(5, integer=True)).ax.tick_params(labelsize=7)
    return figure
