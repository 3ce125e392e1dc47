"""NSM maps: a picture of one locus, a square per site, and a sheet of all screened loci.

Every map is drawn as an image of one pixel per site, in an axes whose size is a whole number of output pixels per
site: sites come out equal and sharp at any size. All lengths are in inches unless they say otherwise.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from mutascope.analysis.status import Status
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.core.kinds import KINDS, kind_rank
from mutascope.figures.palette import PAPER, Palette

LABELS = {
    Status.MAX_ONLY: "max only",
    Status.MIN_ONLY: "min only",
    Status.BOTH: "both",
    Status.SILENT: "silent",
    Status.UNSCREENED: "unscreened",
}

TRANSPOSED_KINDS = frozenset(name for name, kind in KINDS.items() if kind.transposed)
"""Kinds drawn with rows horizontal, so that the intermediate dimension is horizontal as it is in ``down``."""

LocusMap = tuple[int, str, np.ndarray]
"""Layer, kind and status array [rows, cols] of one locus."""

LIGHTER = "lighter: predicted"
ENLARGED = "screened sites are drawn enlarged"
_INK = "#404040"
_GRID_ALPHA = 0.4
_LIGHTER = 0.45
"""How far the colour of a predicted site is moved towards white."""

_LEFT, _BOTTOM, _TOP, _LEGEND_WIDTH = 0.75, 0.6, 0.2, 1.85
_MIN_BODY_WIDTH, _MIN_BODY_HEIGHT = 2.2, 1.3
_TITLE_LINE, _TITLE_CHAR, _TITLE_SIZE = 0.22, 0.1, 11

_USUAL_DPI = 150
_MIN_SITE_PIXELS = 3
# Drawing takes 4 bytes a pixel and more; a complete sheet of a large model at a small tile would not fit in memory.
_MAX_PIXELS = 150e6


def map_figure(
    status: np.ndarray,
    *,
    title: str,
    kind: str,
    transpose: bool | None = None,
    palette: Palette = PAPER,
    exact: np.ndarray | None = None,
) -> Figure:
    """NSM map of one locus.

    ``status`` is [rows, cols] of ``Status`` values: rows along the output features, columns along the input features,
    in sites. ``transpose`` draws rows horizontally; by default ``kind`` decides (TRANSPOSED_KINDS). Sites that are not
    ``exact`` (bool [rows, cols]; by default all are) are predicted: they are drawn lighter, and a dot marks the others.
    """
    transpose = kind in TRANSPOSED_KINDS if transpose is None else transpose
    high, wide = as_drawn(status, transpose).shape
    site = min(0.5, 12 / wide, 9 / high)
    page = Page(title, body=(wide * site, high * site), site=site, palette=palette)
    axes = page.add_map(status, transpose, (0.0, 0.0), exact=exact)
    set_ticks(axes, site)
    _label_axes(axes, transpose, low=high * site < 2)
    page.add_legend([status], predicted=exact is not None)
    return page.figure


def sheet_figure(
    maps: Sequence[LocusMap],
    *,
    title: str,
    palette: Palette = PAPER,
    exact: Mapping[tuple[int, str], np.ndarray] | None = None,
) -> Figure:
    """Sheet of the NSM maps of many loci: layers are rows, kinds are columns, all sites the same size.

    ``maps`` holds (layer, kind, status [rows, cols]) of each locus. Where sites are small and few of them were
    sampled, the sampled ones are drawn enlarged, and a note below says so. ``exact``, by layer and kind, says which
    sites were run and not predicted, as in :func:`map_figure`.
    """
    if not maps:
        raise NotHere("there is no locus to draw")
    layout = _SheetLayout(maps)
    statuses = [status for _, _, status in maps]
    enlarge = are_sparse(statuses, layout.site)
    page = Page(
        title, body=(layout.width, layout.height), site=layout.site, palette=palette, header=0.35, footer=0.05
    )
    for layer, kind, status in maps:
        transpose = kind in TRANSPOSED_KINDS
        position = (layout.left[kind], layout.top[layer])
        run = None if exact is None else exact[layer, kind]
        axes = page.add_map(status, transpose, position, grid_from=0.03, exact=run)
        axes.set_label(f"{layer}.{kind}")
        set_ticks(axes, layout.site, x=layer == layout.layers[-1], y=kind == layout.kinds[0])
        if enlarge:
            enlarge_screened(axes, as_drawn(status, transpose), palette)
    _label_sheet(page, layout)
    note = "row: output features, col: input features, in tiles"
    page.footnote(f"{note}\n{ENLARGED}" if enlarge else note)
    page.add_legend(statuses, predicted=exact is not None)
    return page.figure


def lighter(colours: np.ndarray) -> np.ndarray:
    """Return the colours of predicted sites, from those of sites that were run."""
    return colours + _LIGHTER * (1 - colours)


def status_colours(palette: Palette) -> np.ndarray:
    """Return the colours [statuses, 3] (red, green, blue, 0 to 1), indexed by status."""
    return np.array([to_rgb(palette.statuses[status]) for status in Status])


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write ``figure`` as PNG, PDF or SVG, by the suffix of ``path``.

    A map has at least 3 pixels per site in each direction, up to 150 million pixels in all.
    """
    path = Path(path)
    if path.suffix.lower() not in {".png", ".pdf", ".svg"}:
        raise MutascopeError(
            f"cannot write a figure to {str(path)!r}: the name must end in .png, .pdf or .svg"
        )
    try:
        figure.savefig(path, dpi=figure.dpi)
    except OSError as error:
        raise MutascopeError(f"cannot write a figure to {str(path)!r}: {error.strerror or error}") from error


def settle(figure: Figure) -> None:
    """Compute the layout of a figure once, and not again in every format that it is written in."""
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


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
        width = _LEFT + self.body_width + 0.2 + _LEGEND_WIDTH
        lines = _wrapped(title, width - _LEFT - 0.2)
        self.top = _TOP + _TITLE_LINE * len(lines) + header
        height = self.top + max(body[1], _MIN_BODY_HEIGHT) + _BOTTOM + footer
        self.figure = Figure(figsize=(width, height), dpi=_crisp_dpi(site, width, height))
        heading = self.text(0, 0.1 - self.top, "\n".join(lines), fontsize=_TITLE_SIZE, va="top")
        heading.set_linespacing(1.2)

    def _fraction(self, x: float, y: float) -> tuple[float, float]:
        width, height = self.figure.get_size_inches()
        return (_LEFT + x) / width, 1 - (self.top + y) / height

    def text(self, x: float, y: float, text: str, **style: Any) -> Text:
        """Put ``text`` with its lower left corner at (x, y)."""
        # Titles hold user input, and a dollar sign is no formula there.
        return self.figure.text(*self._fraction(x, y), text, parse_math=False, **style)

    def add_map(
        self,
        status: np.ndarray,
        transpose: bool,
        position: tuple[float, float],
        grid_from: float = 0.0,
        exact: np.ndarray | None = None,
    ) -> Axes:
        """Draw one map with its upper left corner at ``position``; the grid where a site is ``grid_from`` or more."""
        drawn = as_drawn(status, transpose)
        run = np.ones_like(drawn, dtype=bool) if exact is None else as_drawn(exact, transpose)
        high, wide = drawn.shape
        width, height = self.figure.get_size_inches()
        x, y = self._fraction(position[0], position[1] + high * self.site)
        axes = self.figure.add_axes((x, y, wide * self.site / width, high * self.site / height))
        colours = status_colours(self.palette)[drawn]
        colours[~run] = lighter(colours[~run])
        axes.imshow(colours, interpolation="nearest", aspect="equal")
        if exact is not None:
            row, col = np.nonzero(run)
            size = max(0.2, (0.3 * 72 * self.site) ** 2)
            axes.scatter(col, row, s=size, c="black", marker=".", linewidths=0, zorder=3)
        for spine in axes.spines.values():
            spine.set(linewidth=0.5, edgecolor=_INK)
        if self.site >= grid_from:
            axes.add_collection(_grid(high, wide, self.site), autolim=False)
        return axes

    def add_legend(self, statuses: Sequence[np.ndarray], predicted: bool = False) -> None:
        """Colours with the number of sites of each status; how to tell those that are ``predicted``."""
        counts = np.sum([np.bincount(status.ravel(), minlength=len(Status)) for status in statuses], axis=0)
        handles: list[Patch | Line2D] = [
            Patch(
                facecolor=colour, edgecolor=_INK, linewidth=0.5, label=f"{LABELS[status]}: {counts[status]:,}"
            )
            for status, colour in self.palette.statuses.items()
        ]
        if predicted:
            dot = Line2D([], [], color="black", marker=".", linestyle="", label="run exactly")
            light = Patch(facecolor="#dddddd", edgecolor=_INK, linewidth=0.5, label=LIGHTER)
            handles += [light, dot]
        self.figure.legend(
            handles=handles,
            title="sites",
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


@dataclass
class _SheetLayout:
    """Where the map of each layer and kind goes: ``left`` by kind and ``top`` by layer, from the body's upper left."""

    maps: Sequence[LocusMap]
    layers: list[int] = field(init=False)
    kinds: list[str] = field(init=False)
    left: dict[str, float] = field(init=False)
    top: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.layers = sorted({layer for layer, _, _ in self.maps})
        self.kinds = sorted({kind for _, kind, _ in self.maps}, key=_kind_rank)
        wide: dict[str, int] = dict.fromkeys(self.kinds, 0)
        high: dict[int, int] = dict.fromkeys(self.layers, 0)
        for layer, kind, status in self.maps:
            rows, cols = as_drawn(status, kind in TRANSPOSED_KINDS).shape
            wide[kind], high[layer] = max(wide[kind], cols), max(high[layer], rows)
        longest = max(*wide.values(), *high.values())
        self.site = min(0.4, 6 / longest, 14 / sum(wide.values()), 22 / sum(high.values()))
        # A column is never narrower than its heading, nor a row lower than its layer number.
        lefts, self.width = offsets([max(wide[kind] * self.site, 0.7) for kind in self.kinds], gap=0.15)
        tops, self.height = offsets([max(high[layer] * self.site, 0.15) for layer in self.layers], gap=0.12)
        self.left = dict(zip(self.kinds, lefts, strict=True))
        self.top = dict(zip(self.layers, tops, strict=True))


def offsets(lengths: list[float], gap: float) -> tuple[list[float], float]:
    """Where each of several lengths starts when they are laid end to end with gaps, and the total."""
    ends = np.cumsum(np.array(lengths) + gap)
    return [0.0, *ends[:-1].tolist()], float(ends[-1]) - gap


def _kind_rank(kind: str) -> tuple[int, str]:
    return (kind_rank(kind), kind)


def as_drawn(status: np.ndarray, transpose: bool) -> np.ndarray:
    """Return the map as it is drawn."""
    return status.T if transpose else status


def _directions(kind: str) -> str:
    """Which coordinate of a sheet's maps of this kind runs which way."""
    return "row →  col ↓" if kind in TRANSPOSED_KINDS else "col →  row ↓"


def are_sparse(statuses: Sequence[np.ndarray], site: float) -> bool:
    """Return whether sites of this size (inches) are too small and too few to be seen, and must be drawn enlarged."""
    screened = sum(np.count_nonzero(status != Status.UNSCREENED) for status in statuses)
    return site < 0.045 and bool(screened < 0.05 * sum(status.size for status in statuses))


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


def set_ticks(axes: Axes, site: float, *, x: bool = True, y: bool = True) -> None:
    """Whole-numbered ticks, as many as there is room for, on the asked axes."""
    for axis, wanted in ((axes.xaxis, x), (axes.yaxis, y)):
        if wanted:
            bins = max(1, int(abs(np.diff(axis.get_view_interval())[0]) * site / 0.35))
            axis.set_major_locator(MaxNLocator(bins, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
        else:
            axis.set_ticks([])
    axes.tick_params(labelsize=7, length=2, width=0.5, color=_INK, pad=2)


def _label_axes(axes: Axes, transpose: bool, low: bool) -> None:
    """Say which coordinate runs which way; a ``low`` map has no room for the whole label beside it."""
    row, col = "row (output features, in tiles)", "col (input features, in tiles)"
    across, down = (f"{row}\ndrawn transposed", col) if transpose else (col, row)
    axes.set_xlabel(across, fontsize=9, loc="left", multialignment="left")
    axes.set_ylabel(down.replace(" features, in", "\nfeatures, in") if low else down, fontsize=9, loc="top")


def _label_sheet(page: Page, layout: _SheetLayout) -> None:
    """Kinds above the columns of a sheet and layers beside its rows."""
    for kind in layout.kinds:
        page.text(layout.left[kind], -0.2, kind, weight="bold", fontsize=10)
        page.text(layout.left[kind], -0.07, _directions(kind), fontsize=7)
    page.text(0.12 - _LEFT, -0.2, "layer", fontsize=9)
    for layer in layout.layers:
        page.text(0.12 - _LEFT, layout.top[layer] + 0.12, str(layer), weight="bold", fontsize=9)


def enlarge_screened(axes: Axes, drawn: np.ndarray, palette: Palette) -> None:
    """Put a square of readable size on every screened site."""
    row, col = np.nonzero(drawn != Status.UNSCREENED)
    status = drawn[row, col]
    order = np.argsort(status, kind="stable")
    axes.scatter(
        col[order],
        row[order],
        s=4.5**2,
        marker="s",
        c=status_colours(palette)[status[order]],
        edgecolors=_INK,
        linewidths=0.4,
        clip_on=False,
        zorder=3,
    )
