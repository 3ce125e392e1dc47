"""Fragile tokens: where the NSMs of a screen leave the wild type's text, and how firm its picks were."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mutascope.figures.charts import INK, colour, panels, plain
from mutascope.figures.palette import PAPER, Palette

_NAMED = 5
"""Tokens that are named in a panel."""
_LEAST_MARGIN = 1e-3
"""Margins below are drawn here."""


def fragile_tokens_figure(tokens: pl.DataFrame, palette: Palette = PAPER) -> Figure:
    """A panel per screen with the share of its NSMs that leave at every token, below one with the margins.

    Args:
        tokens: columns assay, token, piece, margin (null where it is not known), share.
        palette: colours.
    """
    assays = tokens["assay"].unique(maintain_order=True).to_list()
    drawn = []
    for index, assay in enumerate(assays):
        rows, tint = tokens.filter(assay=assay), colour(palette, index)
        known = rows.filter(pl.col("margin").is_not_null())
        drawn += [(assay, known, tint, _margins)] if len(known) else []
        drawn.append((assay, rows, tint, _shares))
    title = "Where NSMs leave the wild type's text, and the margin of every token"
    figure, axes = panels(len(drawn), title=title, size=(8, 1.8), columns=1)
    for panel, (assay, rows, tint, draw) in zip(axes, drawn, strict=True):
        draw(panel, rows, tint)
        panel.set_title(plain(assay), fontsize=9, weight="bold", loc="left")
        panel.set_xlim(-1, int(tokens.filter(assay=assay)["token"].to_numpy().max()) + 1)
    return figure


def _margins(axes: Axes, rows: pl.DataFrame, tint: str) -> None:
    """Draw the margins."""
    axes.set_yscale("log")
    axes.plot(rows["token"], rows["margin"].clip(lower_bound=_LEAST_MARGIN), ".", ms=4, color=tint)
    axes.set_ylabel("margin, logits / T", fontsize=8)


def _shares(axes: Axes, rows: pl.DataFrame, tint: str) -> None:
    """Draw the shares, and name the tokens at which most NSMs leave."""
    most = rows.sort("share", descending=True, maintain_order=True).head(_NAMED)
    axes.bar(rows["token"], 100 * rows["share"], 0.9, color=tint)
    for token, piece, share in most.select("token", "piece", "share").iter_rows():
        if share > 0:
            told = f"{token}" if piece is None else f"{token} {plain(repr(piece))}"
            axes.annotate(told, (token, 100 * share), ha="center", va="bottom", fontsize=7, color=INK)
    axes.margins(y=0.15)
    axes.set_ylabel("NSMs, %", fontsize=8)
    axes.set_xlabel("token of the continuation, from 0", fontsize=8)
