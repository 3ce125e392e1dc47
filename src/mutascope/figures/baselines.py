"""AUC of predictions beside that of simpler scores."""

from __future__ import annotations

import polars as pl
from matplotlib.figure import Figure

from mutascope.figures.charts import INK, colour, panels, plain
from mutascope.figures.palette import PAPER, Palette


def baselines_figure(scores: pl.DataFrame, palette: Palette = PAPER) -> Figure:
    """AUC with intervals, a panel per screen, a line per score.

    ``scores`` has columns assay, score, auc, auc_low, auc_high.
    """
    assays = scores["assay"].unique(maintain_order=True).to_list()
    names = scores["score"].unique(maintain_order=True).to_list()
    title = "AUC of predictions and of what takes less"
    figure, axes = panels(len(assays), title=title, size=(4.2, 1.8), columns=2, sharex=True)
    for panel, assay in zip(axes, assays, strict=True):
        for place, row in enumerate(scores.filter(assay=assay).drop_nulls("auc").iter_rows(named=True)):
            low, high = min(row["auc_low"], row["auc"]), max(row["auc_high"], row["auc"])
            ends = [[row["auc"] - low], [high - row["auc"]]]
            tint = colour(palette, place)
            panel.errorbar(row["auc"], names.index(row["score"]), xerr=ends, fmt="o", ms=4, lw=1, color=tint)
        panel.axvline(0.5, color=INK, lw=0.6, ls=":")
        panel.set_yticks(range(len(names)), [plain(name) for name in names], fontsize=8)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.set_title(plain(assay), fontsize=9, weight="bold")
        panel.set_xlabel("AUC; dotted: chance", fontsize=8)
    return figure
