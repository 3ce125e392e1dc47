"""The page around maps: heading, legend, ticks, and each map as an image of one pixel per site.

A map's axes is a whole number of output pixels per site large: sites come out equal and sharp at any size. All lengths
are in inches unless they say otherwise.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from mutascope.analysis.maps import MapData
from mutascope.analysis.status import Status
from mutascope.figures.charts import plain
from mutascope.figures.palette import Palette
from mutascope.figures.pixels import LIGHTER, code_colours, legend_of, map_pixels

LEFT = 0.75
"""Room left of the body."""
ENLARGED = "screened sites are drawn enlarged"
_INK = "#404040"
_GRID_ALPHA = 0.4
_BOTTOM, _TOP, _LEGEND_WIDTH = 0.6, 0.2, 1.85
_MIN_BODY_WIDTH, _MIN_BODY_HEIGHT = 2.2, 1.3
_TITLE_LINE, _TITLE_CHAR, _TITLE_SIZE = 0.22, 0.1, 11

_USUAL_DPI = 150
_MIN_SITE_PIXELS = 3
# Drawing takes 4 bytes a pixel and more; a complete sheet of a large model at a small tile would not fit in memory.
_MAX_PIXELS = 150e6


class Page:
    """A figure around a body of one or more maps: heading above, legend to the right, labels left and below.

    Positions are (x, y) in inches from the body's upper left corner, y downwards.
    """

    def __init__(
        self,
        title: str,
        *,
        body: tuple[float, float],
        site: float,
        palette: Palette,
        header: float = 0.0,
        footer: float = 0.0,
    ) -> None:
        self.site, self.palette = site, palette
        self.body_width = max(body[0], _MIN_BODY_WIDTH)
        width = LEFT + self.body_width + 0.2 + _LEGEND_WIDTH
        lines = _wrapped(title, width - LEFT - 0.2)
        self.top = _TOP + _TITLE_LINE * len(lines) + header
        height = self.top + max(body[1], _MIN_BODY_HEIGHT) + _BOTTOM + footer
        self.figure = Figure(figsize=(width, height), dpi=_crisp_dpi(site, width, height))
        heading = self.text(0, 0.1 - self.top, "\n".join(lines), fontsize=_TITLE_SIZE, va="top")
        heading.set_linespacing(1.2)

    def _fraction(self, x: float, y: float) -> tuple[float, float]:
        width, height = self.figure.get_size_inches()
        return (LEFT + x) / width, 1 - (self.top + y) / height

    def text(self, x: float, y: float, text: str, **style: Any) -> Text:
        """Put ``text`` with its lower left corner at (x, y)."""
        # Titles hold user input, and a dollar sign is no formula there.
        return self.figure.text(*self._fraction(x, y), text, parse_math=False, **style)

    def add_map(self, data: MapData, position: tuple[float, float], grid_from: float = 0.0) -> Axes:
        """Draw one map with its upper left corner at ``position``; the grid where a site is ``grid_from`` or more."""
        high, wide = data.drawn.shape
        width, height = self.figure.get_size_inches()
        x, y = self._fraction(position[0], position[1] + high * self.site)
        axes = self.figure.add_axes((x, y, wide * self.site / width, high * self.site / height))
        axes.imshow(map_pixels(data, self.palette), interpolation="nearest", aspect="equal")
        if data.exact is not None:
            row, col = np.nonzero(data.run)
            size = max(0.2, (0.3 * 72 * self.site) ** 2)
            axes.scatter(col, row, s=size, c="black", marker=".", linewidths=0, zorder=3)
        for spine in axes.spines.values():
            spine.set(linewidth=0.5, edgecolor=_INK)
        if self.site >= grid_from:
            axes.add_collection(_grid(high, wide, self.site), autolim=False)
        return axes

    def add_legend(self, maps: Sequence[MapData], *, counted: bool = True) -> None:
        """Colours, with the number of sites of each status where wanted; how to tell those that were predicted."""
        legend = _common_legend(maps, self.palette)
        counts = np.sum([np.bincount(data.drawn.ravel(), minlength=len(legend)) for data in maps], axis=0)
        handles: list[Patch | Line2D] = [
            Patch(
                facecolor=colour,
                edgecolor=_INK,
                linewidth=0.5,
                label=plain(told + (f": {counts[code]:,}" if counted else "")),
            )
            for code, colour, told in legend
        ]
        if any(data.exact is not None for data in maps):
            dot = Line2D([], [], color="black", marker=".", linestyle="", label="run exactly")
            light = Patch(facecolor="#dddddd", edgecolor=_INK, linewidth=0.5, label=LIGHTER)
            handles += [light, dot]
        self.figure.legend(
            handles=handles,
            title=maps[0].legend,
            loc="upper left",
            bbox_to_anchor=self._fraction(self.body_width + 0.15, 0),
            borderaxespad=0,
            borderpad=0,
            frameon=False,
            fontsize=9,
            title_fontsize=9,
            alignment="left",
            handlelength=1,
            handleheight=1,
        )

    def footnote(self, text: str) -> None:
        """Put ``text`` in the lower left corner."""
        height = self.figure.get_size_inches()[1]
        self.text(0, height - self.top - 0.08, text, fontsize=8, va="bottom")


def offsets(lengths: list[float], gap: float) -> tuple[list[float], float]:
    """Where each of several lengths starts when they are laid end to end with gaps, and the total."""
    ends = np.cumsum(np.array(lengths) + gap)
    return [0.0, *ends[:-1].tolist()], float(ends[-1]) - gap


def are_sparse(maps: Sequence[MapData], site: float) -> bool:
    """Return whether sites of this size (inches) are too small and too few to be seen, and must be drawn enlarged."""
    called = sum(data.called for data in maps)
    return site < 0.045 and called < 0.05 * sum(data.status.size for data in maps)


def set_ticks(axes: Axes, site: float, *, x: bool = True, y: bool = True) -> None:
    """Whole-numbered ticks, as many as there is room for, on the asked axes."""
    for axis, wanted in ((axes.xaxis, x), (axes.yaxis, y)):
        if wanted:
            bins = max(1, int(abs(np.diff(axis.get_view_interval())[0]) * site / 0.35))
            axis.set_major_locator(MaxNLocator(bins, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        else:
            axis.set_ticks([])
    axes.tick_params(labelsize=7, length=2, width=0.5, color=_INK, pad=2)


def enlarge_screened(axes: Axes, data: MapData, palette: Palette) -> None:
    """Put a square of readable size on every screened site."""
    row, col = np.nonzero(data.drawn != Status.UNSCREENED)
    status = data.drawn[row, col]
    order = np.argsort(status, kind="stable")
    axes.scatter(
        col[order],
        row[order],
        s=4.5**2,
        marker="s",
        c=code_colours(data, palette)[status[order]],
        edgecolors=_INK,
        linewidths=0.4,
        clip_on=False,
        zorder=3,
    )


def _common_legend(maps: Sequence[MapData], palette: Palette) -> list[tuple[int, str, str]]:
    """The legend of maps in which one colour may mean several things."""
    legends = [legend_of(data, palette) for data in maps]
    labels = [_distinct([told for _, _, told in entries]) for entries in zip(*legends, strict=True)]
    return [
        (code, colour, " or\n".join(told)) for (code, colour, _), told in zip(legends[0], labels, strict=True)
    ]


def _distinct(labels: Sequence[str]) -> list[str]:
    """The labels, without those with which a longer one begins."""
    known = list(dict.fromkeys(labels))
    return [told for told in known if not any(other != told and other.startswith(told) for other in known)]


def _wrapped(title: str, width: float) -> list[str]:
    per_line = max(int(width / _TITLE_CHAR), 20)
    return [line for part in title.splitlines() for line in textwrap.wrap(part, per_line) or [""]]


def _crisp_dpi(site: float, width: float, height: float) -> float:
    """Resolution at which a site is a whole number of pixels, and enough of them, if the page can afford it."""
    pixels = max(_MIN_SITE_PIXELS, math.ceil(_USUAL_DPI * site - 1e-6))
    return min(pixels / site, math.sqrt(_MAX_PIXELS / (width * height)))


def _grid(high: int, wide: int, site: float) -> LineCollection:
    """The lines between the sites of a map, in proportion to the sites so that colours stay visible."""
    across = [((-0.5, y - 0.5), (wide - 0.5, y - 0.5)) for y in range(1, high)]
    down = [((x - 0.5, -0.5), (x - 0.5, high - 0.5)) for x in range(1, wide)]
    points = min(0.8, max(0.2, 0.06 * site * 72))
    return LineCollection(across + down, colors="black", alpha=_GRID_ALPHA, linewidths=points)
