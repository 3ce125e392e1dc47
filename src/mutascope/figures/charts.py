"""What the charts share: a page of equal panels, series of colours, whole-numbered axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mutascope.analysis.status import Status
from mutascope.core.errors import NotHere
from mutascope.core.kinds import kind_rank
from mutascope.figures.palette import Palette

INK = "#404040"
_FEW_LAYERS = 6
MARK = "#d6249f"
"""What is pointed out in a picture, in either palette."""


def panels(
    count: int,
    *,
    title: str,
    size: tuple[float, float],
    columns: int = 4,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels of ``size`` (width, height in inches), and the panels.

    Raises:
        NotHere: when there is no panel.
    """
    if not count:
        raise NotHere("there is nothing to draw")
    across = min(count, columns)
    down = math.ceil(count / across)
    figure = Figure(figsize=(max(4.5, across * size[0]), down * size[1] + 0.5), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=11, x=0.01, ha="left", parse_math=False)
    grid = figure.subplots(down, across, squeeze=False, sharex=sharex, sharey=sharey)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    for panel in axes[:count]:
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes[:count]


def plain(label: str) -> str:
    """Return a label for an artist that reads it as it stands: a dollar sign is no formula in what users name.

    A hair space stands before an underscore, without which matplotlib leaves the label out of every legend.
    """
    told = label.replace("$", r"\$")
    return f"\u200a{told}" if told.startswith("_") else told


def in_kind_order(kinds: Iterable[str]) -> list[str]:
    """Return the distinct kinds in the canonical order."""
    return sorted(set(kinds), key=kind_rank)


def colour(palette: Palette, index: int) -> str:
    """Return the colour of a series."""
    return palette.series[index % len(palette.series)]


def series_colours(names: Sequence[str], palette: Palette) -> dict[str, str]:
    """Return a colour per series; the mutations max and min have those of their sites in a map."""
    own = {"max": palette.statuses[Status.MAX_ONLY], "min": palette.statuses[Status.MIN_ONLY]}
    rest = (
        [tint for tint in palette.series if tint not in own.values()]
        if set(names) & set(own)
        else palette.series
    )
    return {name: own.get(name, rest[index % len(rest)]) for index, name in enumerate(names)}


def grouped_bars(
    axes: Axes, frame: pl.DataFrame, *, x: str, series: str, order: Sequence[str], palette: Palette
) -> None:
    """Draw the rate of every (x, series) as a bar in per cent, with its interval where it has one.

    Args:
        axes: where to.
        frame: columns ``x``, ``series``, rate, low, high (0 to 1).
        x: column of the groups.
        series: column of the bars of a group, in order of appearance.
        order: the groups.
        palette: colours of the series.
    """
    names = frame[series].unique(maintain_order=True).to_list()
    tints = series_colours(names, palette)
    width = 0.8 / len(names)
    for index, name in enumerate(names):
        rows = {row[x]: row for row in frame.filter(pl.col(series) == name).iter_rows(named=True)}
        places = [place for place, group in enumerate(order) if group in rows]
        rate, low, high = (
            np.array([rows[order[place]][key] for place in places], dtype=float)
            for key in ("rate", "low", "high")
        )
        at = np.array(places) + (index - (len(names) - 1) / 2) * width
        axes.bar(at, 100 * rate, width * 0.92, color=tints[name], label=plain(name))
        known = ~np.isnan(low) & (high > low)
        if known.any():
            reach = 100 * np.array([rate - low, high - rate])[:, known]
            axes.errorbar(
                at[known], 100 * rate[known], np.maximum(reach, 0), fmt="none", ecolor=INK, lw=0.8, capsize=2
            )
    axes.set_xticks(range(len(order)), [plain(name) for name in order])
    axes.set_ylabel("NSMs, % of mutants", fontsize=9)
    axes.set_ylim(bottom=0)


def layer_ticks(axes: Axes, layers: Iterable[int]) -> None:
    """Mark the layers on the x axis: each where they are few, else whole numbers."""
    present = sorted(set(layers))
    if len(present) <= _FEW_LAYERS:
        axes.set_xticks(present)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))


def legend_right(figure: Figure, axes: Axes, title: str | None = None) -> None:
    """Put the legend of ``axes`` to the right of all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside right center", frameon=False, fontsize=8, title=title, title_fontsize=8
    )


def tilt(axes: Axes, labels: Sequence[str]) -> None:
    """Turn the labels of the x axis where they would run into each other."""
    if sum(map(len, labels)) > 40 or max(map(len, labels)) > 12:
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
