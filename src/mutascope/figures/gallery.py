"""Several maps beside and below each other, each with a title: the same locus in several assays, or thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import ScaledTranslation, Transform

from mutascope.analysis.maps import MapData
from mutascope.core.errors import NotHere
from mutascope.figures.charts import MARK
from mutascope.figures.page import ENLARGED, Page, are_sparse, enlarge_screened, offsets, set_ticks
from mutascope.figures.palette import PAPER, Palette

_NARROWEST = 1.5
"""Width of the narrowest panel, which is what its title needs, in inches."""
_TITLE_CHAR, _TITLE_LINE, _MARK_ROOM = 0.068, 0.13, 0.09


def draw_gallery(rows: Sequence[Sequence[MapData]], title: str, palette: Palette = PAPER) -> Figure:
    """Return maps in rows and columns, all sites the same size.

    Raises:
        NotHere: when there is no map.
    """
    rows = [row for row in rows if row]
    if not rows:
        raise NotHere("there is no map to draw")
    maps = [data for row in rows for data in row]
    columns = max(len(row) for row in rows)
    shapes = [[data.drawn.shape for data in row] for row in rows]
    wide = [max(row[i][1] for row in shapes if i < len(row)) for i in range(columns)]
    high = [max(shape[0] for shape in row) for row in shapes]
    site = min(0.2, 15 / sum(wide), 18 / sum(high), 4 / max(*wide, *high))
    widths = [max(count * site, _NARROWEST) for count in wide]
    titles = [[_lines(data.title, widths[i]) for i, data in enumerate(row)] for row in rows]
    heads = [max(map(len, row)) * _TITLE_LINE + _MARK_ROOM for row in titles]
    lefts, width = offsets(widths, gap=0.4)
    tops, height = offsets([h * site + head for h, head in zip(high, heads, strict=True)], gap=0.4)
    sparse = are_sparse(maps, site)
    page = Page(title, body=(width, height), site=site, palette=palette)
    for row, told, top, head in zip(rows, titles, tops, heads, strict=True):
        for data, lines, left in zip(row, told, lefts, strict=False):
            page.text(left, top + head - 0.04 - _MARK_ROOM, "\n".join(lines), fontsize=8, va="bottom")
            axes = page.add_map(data, (left, top + head), 0.03)
            axes.set_label(data.title)
            set_ticks(axes, site)
            if sparse:
                enlarge_screened(axes, data, palette)
            _mark(axes, data)
    if sparse:
        page.footnote(ENLARGED)
    page.add_legend(maps, counted=False)  # a site may stand in several maps
    return page.figure


def _lines(title: str, width: float) -> list[str]:
    return [line for part in title.split("\n") for line in wrap(part, max(8, int(width / _TITLE_CHAR)))]


def _mark(axes: Axes, data: MapData) -> None:
    """Triangles outside the map at the marked rows and columns, letters at the marked sites."""
    across, down = (data.rows, data.cols) if data.transposed else (data.cols, data.rows)
    style = {"color": MARK, "s": 14, "linewidths": 0, "clip_on": False, "zorder": 4}
    if len(across):
        axes.scatter(across, [1.0] * len(across), marker="v", transform=_raised(axes, x=True), **style)
    if len(down):
        axes.scatter([1.0] * len(down), down, marker="<", transform=_raised(axes, x=False), **style)
    for letter, row, col in data.points:
        x, y = (row, col) if data.transposed else (col, row)
        letters = axes.text(
            x, y, letter, fontsize=6, color=MARK, weight="bold", ha="center", va="center", zorder=5
        )
        letters.set_path_effects([withStroke(linewidth=1.5, foreground="white")])


def _raised(axes: Axes, *, x: bool) -> Transform:
    """Data along one axis, the edge of the map and 2 points more along the other."""
    edge = axes.get_xaxis_transform() if x else axes.get_yaxis_transform()
    right, up = (0, 3 / 72) if x else (3 / 72, 0)
    return edge + ScaledTranslation(right, up, axes.figure.dpi_scale_trans)
