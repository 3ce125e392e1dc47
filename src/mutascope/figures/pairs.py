"""Assays against each other: overlap of maps and NSMs per layer, the counterparts of the paper's Figures 1b and 1c."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from mutascope.figures.charts import colour, legend_beside, name_models, panels, plain
from mutascope.figures.palette import PAPER, Palette

_ROOM = 1.06
"""Length of an axis in units of the largest value."""
_ANSWERS = "choice assays"


def overlap_figure(overlaps: Mapping[str, pl.DataFrame], palette: Palette = PAPER) -> Figure:
    """Overlap of every pair, and in brackets that of chance, a panel per model.

    Frames by model have the columns assay_a, assay_b, overlap, expected.
    """
    most = max(part["assay_a"].n_unique() for part in overlaps.values())
    side = max(3.2, 0.75 * most)
    title = "Overlap of maps (in brackets: by chance)"
    figure, axes = panels(len(overlaps), title=title, size=(side + 2.2, side + 0.6), columns=2)
    images = [
        _draw_overlap(panel, part, palette) for panel, part in zip(axes, overlaps.values(), strict=True)
    ]
    name_models(axes, overlaps)
    figure.colorbar(images[-1], ax=axes, shrink=0.8).ax.tick_params(labelsize=7)
    return figure


def _draw_overlap(axes: Axes, overlap: pl.DataFrame, palette: Palette) -> AxesImage:
    """Draw the matrix of one model."""
    names = overlap["assay_a"].unique(maintain_order=True).to_list()
    cells = {
        (a, b): (o, e)
        for a, b, o, e in overlap.select("assay_a", "assay_b", "overlap", "expected").iter_rows()
    }
    nothing = (None, None)
    values = np.array([[cells.get((a, b), nothing)[0] for b in names] for a in names], dtype=float)
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
    return axes.imshow(values, vmin=0, vmax=1, cmap=palette.sequential)


def layer_correlation_figure(
    models: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]],
    choice: Sequence[str] = (),
    palette: Palette = PAPER,
) -> Figure:
    """NSMs per layer of the first assay (x) against those of the others (y), a panel per model.

    Where several models have a choice assay, a last panel has these of all models, as in the paper.

    Args:
        models: by model, counts (columns assay, layer, nsm) and correlations (assay_a, assay_b, r_squared).
        choice: the choice assays.
        palette: colours.
    """
    against = {model: _against_first(*frames) for model, frames in models.items()}
    firsts = {model: str(counts["assay"][0]) for model, (counts, _) in models.items()}
    answers = {
        f"{other}, {model}": told
        for model, others in against.items()
        for other, told in others.items()
        if other in choice
    }
    if len(answers) > 1 < len(models):
        against[_ANSWERS] = answers
        firsts[_ANSWERS] = ", ".join(dict.fromkeys(firsts.values()))
    figure, axes = panels(len(against), title="NSMs per layer", size=(4.6, 2.9), columns=3)
    for panel, (name, series) in zip(axes, against.items(), strict=True):
        for index, (other, (points, r_squared)) in enumerate(series.items()):
            told = plain(other) if r_squared is None else f"{plain(other)}, r² = {r_squared:.3f}"
            x, y = points["nsm"], points["nsm_other"]
            panel.scatter(x, y, s=12, color=colour(palette, index), linewidths=0, label=told)
        panel.set_xlabel(f"NSMs, {plain(firsts[name])}", fontsize=8)
        panel.set_ylabel("NSMs, other assays", fontsize=8)
        panel.set_xlim(0, _ROOM * max(panel.dataLim.x1, 1))
        panel.set_ylim(0, _ROOM * max(panel.dataLim.y1, 1))
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(4))
        legend_beside(panel)
    name_models(axes, against)
    return figure


def _against_first(
    counts: pl.DataFrame, correlations: pl.DataFrame
) -> dict[str, tuple[pl.DataFrame, float | None]]:
    """By other assay: NSMs per layer of the first and of it (nsm, nsm_other), and r squared."""
    first, *others = counts["assay"].unique(maintain_order=True).to_list()
    base = counts.filter(assay=first)
    found = {}
    for other in others:
        both = base.join(counts.filter(assay=other), on="layer", suffix="_other")
        known = correlations.filter(assay_a=first, assay_b=other)["r_squared"].to_list()
        found[other] = (both, known[0] if known else None)
    return found
