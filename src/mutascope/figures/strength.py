"""Strength of the complementary pattern by layer and kind, with its null: counterpart of the paper's Figure 4d."""

from __future__ import annotations

import polars as pl
from matplotlib.figure import Figure

from mutascope.figures.charts import INK, colour, in_kind_order, layer_ticks, legend_right, panels, plain
from mutascope.figures.palette import PAPER, Palette

_SIGNIFICANT = 0.05
_LEAST = 0.05
"""The axis reaches so far at least."""


def strength_figure(copa: pl.DataFrame, *, axis: str, palette: Palette = PAPER) -> Figure:
    """Strength of every locus less the mean of its null, a panel per kind, a line per assay.

    ``copa`` has columns assay, layer, kind, axis, strength, strength_null, strength_q. Filled markers: q <= 0.05.
    """
    part = copa.filter(pl.col("axis") == axis, pl.col("strength").is_not_null()).with_columns(
        excess=pl.col("strength") - pl.col("strength_null")
    )
    assays = copa["assay"].unique(maintain_order=True).to_list()
    kinds = in_kind_order(copa["kind"])
    name = {"row": "rows", "col": "columns"}[axis]
    figure, axes = panels(
        len(kinds), title=f"Strength of COPA above its null, {name}", size=(2.6, 2.1), sharey=True
    )
    for panel, kind in zip(axes, kinds, strict=True):
        panel.axhline(0, color=INK, lw=0.6)
        for index, assay in enumerate(assays):
            rows = part.filter(assay=assay, kind=kind).sort("layer")
            tint = colour(palette, index)
            panel.plot(rows["layer"], rows["excess"], color=tint, lw=0.8, label=plain(assay))
            for chosen, face in (
                (pl.col("strength_q") <= _SIGNIFICANT, tint),
                (pl.col("strength_q") > _SIGNIFICANT, "white"),
            ):
                dots = rows.filter(chosen)
                panel.scatter(
                    dots["layer"],
                    dots["excess"],
                    s=10,
                    facecolor=face,
                    edgecolor=tint,
                    linewidths=0.7,
                    zorder=3,
                )
        panel.set_title(plain(kind), fontsize=9, weight="bold")
        panel.set_xlabel("layer", fontsize=8)
        layer_ticks(panel, part["layer"].to_list())
        panel.tick_params(labelleft=True)
    low, high = axes[0].get_ylim()  # shared by all panels
    axes[0].set_ylim(min(low, -_LEAST), max(high, _LEAST))  # no picture of rounding errors
    axes[0].set_ylabel("mean |r| - null", fontsize=8)
    legend_right(figure, axes[0], "filled: q ≤ 0.05")
    return figure
