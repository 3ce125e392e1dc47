"""How severe NSMs are: counterparts of the charts of the paper's Figure 5."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mutascope.analysis.choice import UNDERPERFORMING
from mutascope.figures.charts import INK, colour, legend_right, panels, plain
from mutascope.figures.palette import PAPER, Palette


def cosine_figure(cosines: pl.DataFrame, palette: Palette = PAPER) -> Figure:
    """Histogram of the cosine of the NSMs, a panel per text assay; ``cosines`` has columns assay, cosine."""
    assays = cosines["assay"].unique(maintain_order=True).to_list()
    figure, axes = panels(len(assays), title="Cosine of NSMs with the wild type", size=(2.8, 2.2))
    edges = np.linspace(0, 1, 41).tolist()
    for index, (panel, assay) in enumerate(zip(axes, assays, strict=True)):
        values = cosines.filter(assay=assay)["cosine"].drop_nulls().clip(0, 1).to_numpy()
        panel.hist(values, edges, color=colour(palette, index))
        if len(values):
            panel.axvline(float(np.median(values)), color=INK, lw=0.8, ls="--")
            panel.set_title(f"{plain(assay)}\nmedian {np.median(values):.2f}", fontsize=9)
        panel.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        panel.set_xlabel("cosine", fontsize=8)
        panel.set_ylabel("NSMs", fontsize=8)
    return figure


def score_figure(counts: pl.DataFrame, palette: Palette = PAPER) -> Figure:
    """NSMs of choice assays by score, destructive ones marked; columns assay, score, nsm, wholly, partly."""
    assays = counts["assay"].unique(maintain_order=True).to_list()
    figure, axes = panels(len(assays), title="Scores of NSMs", size=(4.2, 2.6))
    for panel, assay in zip(axes, assays, strict=True):
        part = counts.filter(pl.col("assay") == assay, pl.col("score").is_not_null()).with_columns(
            pl.col("nsm", "wholly", "partly").cast(pl.Int64)
        )
        bottom = np.zeros(len(part))
        rest = part.with_columns(rest=pl.col("nsm") - pl.col("wholly") - pl.col("partly"))
        names = {"wholly": "wholly destructive", "partly": "partly destructive", "rest": "letters only"}
        for index, (column, label) in enumerate(names.items()):
            height = rest[column].to_numpy()
            panel.bar(
                part["score"], height, 0.85, bottom=bottom, color=colour(palette, 1 - index), label=label
            )
            bottom += height
        panel.axvline(UNDERPERFORMING - 0.5, color=INK, lw=0.8, ls="--")
        panel.set_title(plain(assay), fontsize=9)
        panel.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        panel.set_xlabel("score (dashed: underperforming to the left)", fontsize=8)
        panel.set_ylabel("NSMs", fontsize=8)
    legend_right(figure, axes[0])
    return figure
