"""Assays against each other: overlap of maps and NSMs per layer, the counterparts of the paper's Figures 1b and 1c."""

from __future__ import annotations

import matplotlib
import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mutascope.figures.charts import colour, panels, plain
from mutascope.figures.palette import PAPER, Palette


def overlap_figure(overlap: pl.DataFrame, palette: Palette = PAPER) -> Figure:
    """Overlap of every pair, and in brackets that of chance; columns assay_a, assay_b, overlap, expected."""
    names = overlap["assay_a"].unique(maintain_order=True).to_list()
    cells = {
        (a, b): (o, e)
        for a, b, o, e in overlap.select("assay_a", "assay_b", "overlap", "expected").iter_rows()
    }
    nothing = (None, None)
    values = np.array([[cells.get((a, b), nothing)[0] for b in names] for a in names], dtype=float)
    side = max(3.2, 0.75 * len(names))
    figure, (axes,) = panels(
        1, title="Overlap of maps (in brackets: by chance)", size=(side + 2.2, side + 0.6)
    )
    image = axes.imshow(values, vmin=0, vmax=1, cmap=palette.sequential)
    shades = matplotlib.colormaps[palette.sequential]
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            value, chance = cells.get((a, b), nothing)
            if value is None:
                continue
            dark = np.dot(shades(value)[:3], (0.299, 0.587, 0.114)) < 0.5
            ink = "white" if dark else "black"
            axes.text(j, i - 0.02, f"{value:.3f}", va="bottom", ha="center", fontsize=8, color=ink)
            axes.text(j, i + 0.06, f"({chance:.3f})", va="top", ha="center", fontsize=6, color=ink)
    told = [plain(name) for name in names]
    axes.set_xticks(range(len(names)), told, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), told)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)
    return figure


def layer_correlation_figure(
    counts: pl.DataFrame, correlations: pl.DataFrame, palette: Palette = PAPER
) -> Figure:
    """NSMs per layer of the first assay (x) against those of every other one (y), a panel each.

    ``counts`` has columns assay, layer, nsm; ``correlations`` has assay_a, assay_b, r_squared.
    """
    first, *others = counts["assay"].unique(maintain_order=True).to_list()
    figure, axes = panels(len(others), title="NSMs per layer", size=(2.6, 2.6))
    base = counts.filter(assay=first)
    for index, (panel, other) in enumerate(zip(axes, others, strict=True)):
        both = base.join(counts.filter(assay=other), on="layer", suffix="_other")
        panel.scatter(both["nsm"], both["nsm_other"], s=12, color=colour(palette, index), linewidths=0)
        found = correlations.filter(assay_a=first, assay_b=other)["r_squared"]
        known = len(found) and found[0] is not None
        panel.set_title(
            f"r² = {found[0]:.3f} over {len(both)} layers" if known else "r² undefined", fontsize=9
        )
        panel.set_xlabel(plain(first), fontsize=8)
        panel.set_ylabel(plain(other), fontsize=8)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(4))
    return figure
