"""Reliability of predictions: the predicted probability of an NSM against the share that is one."""

from __future__ import annotations

import polars as pl
from matplotlib.figure import Figure

from mutascope.figures.charts import INK, colour, panels, plain
from mutascope.figures.palette import PAPER, Palette


def reliability_figure(curves: pl.DataFrame, palette: Palette = PAPER) -> Figure:
    """Reliability curves, a panel per screen; bars are Wilson intervals, the number of mutants stands at each point.

    ``curves`` has the columns of :func:`mutascope.analysis.calibration.reliability`, and assay.
    """
    assays = curves["assay"].unique(maintain_order=True).to_list()
    title = "Reliability, on held-out sites"
    figure, axes = panels(len(assays), title=title, size=(3.2, 3.0), sharex=True, sharey=True)
    for index, (panel, assay) in enumerate(zip(axes, assays, strict=True)):
        rows = curves.filter(assay=assay)
        observed = rows["observed"].to_numpy()
        bars = [observed - rows["observed_low"].to_numpy(), rows["observed_high"].to_numpy() - observed]
        panel.plot([0, 1], [0, 1], color=INK, lw=0.6, ls=":")
        panel.errorbar(
            rows["predicted"], observed, yerr=bars, fmt="o-", ms=3, lw=0.8, color=colour(palette, index)
        )
        for x, y, mutants in rows.select("predicted", "observed", "mutants").iter_rows():
            panel.annotate(
                f"{mutants:,}", (x, y), xytext=(3, -8), textcoords="offset points", fontsize=6, color=INK
            )
        panel.set_title(plain(assay), fontsize=9, weight="bold")
        panel.set_xlabel("predicted probability of an NSM", fontsize=8)
    axes[0].set_ylabel("share of NSMs", fontsize=8)
    return figure
