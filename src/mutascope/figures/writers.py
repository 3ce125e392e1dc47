"""Mutants with rare initial words: counterparts of the charts of the paper's Figure 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from mutascope.core.schema import LOCUS_KEY
from mutascope.figures.charts import panels, plain
from mutascope.figures.palette import PAPER, Palette

_MOST_LOCI = 30
_MOST_ON_A_LINEAR_SCALE = 50


@dataclass(frozen=True)
class WriterCharts:
    """What is drawn of one panel.

    Attributes:
        name: what the panel is called.
        histogram: columns low, high, common, rare; None without a text assay.
        loci: columns layer, kind, rare.
        words: columns word, mutants, rows, cols; the row without a word is left out.
    """

    name: str
    histogram: pl.DataFrame | None
    loci: pl.DataFrame
    words: pl.DataFrame


def writers_figure(charts: Sequence[WriterCharts], palette: Palette = PAPER) -> Figure:
    """Rare and common words by cosine, writers by locus, and how many lines the mutants of a word share.

    A row of charts per panel, such as those of two models.
    """
    title = f"Rare initial words of {', '.join(chart.name for chart in charts)}"
    figure, axes = panels(4 * len(charts), title=title, size=(3.4, 3.2))
    for index, chart in enumerate(charts):
        histogram, loci, *lines = axes[4 * index : 4 * index + 4]
        if chart.histogram is None:
            histogram.remove()
        else:
            _draw_histogram(histogram, chart.histogram, palette)
        _draw_loci(loci, chart.loci, palette)
        for panel, column, name in zip(lines, ("rows", "cols"), ("rows", "columns"), strict=True):
            _draw_words(panel, chart.words, column, name, palette)
        if len(charts) > 1:
            loci.set_title(plain(chart.name), fontsize=9, weight="bold", loc="left")
    return figure


def _draw_words(panel: Axes, words: pl.DataFrame, column: str, name: str, palette: Palette) -> None:
    """Mutants of every word against their distinct rows or columns."""
    named = words.filter(pl.col("word").is_not_null())
    largest = max([2, *named["mutants"].to_list()])
    panel.plot([1, largest], [1, largest], color="#999999", lw=0.8, ls="--")
    panel.scatter(named["mutants"], named[column], s=16, marker="D", color=palette.series[1], linewidths=0)
    for index, (word, x, y) in enumerate(named.head(4).select("word", "mutants", column).iter_rows()):
        panel.annotate(
            word,
            (x, y),
            (3, -9 if index % 2 else 4),
            textcoords="offset points",
            fontsize=6,
            parse_math=False,
            ha="left",
        )
    panel.set_xlabel("mutants of a rare word", fontsize=8)
    panel.set_ylabel(f"distinct {name}", fontsize=8)
    panel.margins(x=0.18)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _draw_histogram(panel: Axes, histogram: pl.DataFrame, palette: Palette) -> None:
    width = (histogram["high"] - histogram["low"]).to_numpy()
    for index, name in enumerate(("common", "rare")):
        panel.bar(
            histogram["low"].to_numpy() + width * (0.27 + 0.46 * index),
            histogram[name],
            width * 0.42,
            color=palette.series[index],
            label=f"{name} word",
        )
    if histogram.select("common", "rare").to_numpy().max() > _MOST_ON_A_LINEAR_SCALE:
        panel.set_yscale("symlog", linthresh=10)
    panel.yaxis.set_major_formatter(ScalarFormatter())
    panel.set_ylim(bottom=0)
    panel.set_xlabel("cosine", fontsize=8)
    panel.set_ylabel("mutants", fontsize=8)
    panel.legend(fontsize=7, frameon=False)


def _draw_loci(panel: Axes, loci: pl.DataFrame, palette: Palette) -> None:
    top = loci.filter(pl.col("rare") > 0).sort("rare", descending=True, maintain_order=True).head(_MOST_LOCI)
    names = [plain(f"{layer}.{kind}") for layer, kind in top.select(*LOCUS_KEY).iter_rows()]
    panel.barh(np.arange(len(top)), top["rare"], color=palette.series[0])
    panel.set_yticks(range(len(top)), names, fontsize=8 if len(top) < 16 else 5)
    panel.invert_yaxis()
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("mutants with a rare word", fontsize=8)
