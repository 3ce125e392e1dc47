"""Several maps beside and below each other, each with a title: the same locus in several assays, or thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, Transform

from mutascope.core.errors import NotHere
from mutascope.figures.charts import MARK
from mutascope.figures.maps import (
    ENLARGED,
    TRANSPOSED_KINDS,
    Page,
    are_sparse,
    as_drawn,
    enlarge_screened,
    offsets,
    set_ticks,
)
from mutascope.figures.palette import PAPER, Palette

_NARROWEST = 1.5
"""Width of the narrowest panel, which is what its title needs, in inches."""
_TITLE_CHAR, _TITLE_LINE, _MARK_ROOM = 0.068, 0.13, 0.09


@dataclass(frozen=True)
class Panel:
    """One map of a gallery.

    Attributes:
        title: above the map; wrapped to its width.
        status: [rows, cols] of ``Status`` values.
        kind: decides whether the map is drawn transposed.
        rows: rows that get a mark at the edge.
        cols: columns that get a mark at the edge.
        points: sites that get a letter, by letter: row and column.
    """

    title: str
    status: np.ndarray
    kind: str
    rows: Sequence[int] = ()
    cols: Sequence[int] = ()
    points: Sequence[tuple[str, int, int]] = field(default=())


def gallery_figure(
    rows: Sequence[Sequence[Panel]], *, title: str, note: str = "", palette: Palette = PAPER
) -> Figure:
    """Maps in rows and columns, all sites the same size; the legend counts the sites of all maps together.

    Raises:
        NotHere: when there is no map.
    """
    rows = [row for row in rows if row]
    if not rows:
        raise NotHere("there is no map to draw")
    columns = max(len(row) for row in rows)
    shapes = [[as_drawn(p.status, p.kind in TRANSPOSED_KINDS).shape for p in row] for row in rows]
    wide = [max(row[i][1] for row in shapes if i < len(row)) for i in range(columns)]
    high = [max(shape[0] for shape in row) for row in shapes]
    site = min(0.2, 15 / sum(wide), 18 / sum(high), 4 / max(*wide, *high))
    widths = [max(count * site, _NARROWEST) for count in wide]
    titles = [[_lines(p.title, widths[i]) for i, p in enumerate(row)] for row in rows]
    heads = [max(map(len, row)) * _TITLE_LINE + _MARK_ROOM for row in titles]
    lefts, width = offsets(widths, gap=0.4)
    tops, height = offsets([h * site + head for h, head in zip(high, heads, strict=True)], gap=0.4)
    sparse = are_sparse([panel.status for row in rows for panel in row], site)
    note = "\n".join(line for line in (note, ENLARGED if sparse else "") if line)
    page = Page(title, body=(width, height), site=site, palette=palette, footer=0.15 * note.count("\n"))
    for row, told, top, head in zip(rows, titles, tops, heads, strict=True):
        for panel, lines, left in zip(row, told, lefts, strict=False):
            page.text(left, top + head - 0.04 - _MARK_ROOM, "\n".join(lines), fontsize=8, va="bottom")
            axes = page.add_map(panel.status, panel.kind in TRANSPOSED_KINDS, (left, top + head), 0.03)
            axes.set_label(panel.title)
            set_ticks(axes, site)
            if sparse:
                enlarge_screened(axes, as_drawn(panel.status, panel.kind in TRANSPOSED_KINDS), palette)
            _mark(axes, panel)
    if note:
        page.footnote(note)
    page.add_legend([panel.status for row in rows for panel in row])
    return page.figure


def _lines(title: str, width: float) -> list[str]:
    return [line for part in title.split("\n") for line in wrap(part, max(8, int(width / _TITLE_CHAR)))]


def _mark(axes: Axes, panel: Panel) -> None:
    """Triangles outside the map at the marked rows and columns, letters at the marked sites."""
    transposed = panel.kind in TRANSPOSED_KINDS
    across, down = (panel.rows, panel.cols) if transposed else (panel.cols, panel.rows)
    style = {"color": MARK, "s": 14, "linewidths": 0, "clip_on": False, "zorder": 4}
    if len(across):
        axes.scatter(across, [1.0] * len(across), marker="v", transform=_raised(axes, x=True), **style)
    if len(down):
        axes.scatter([1.0] * len(down), down, marker="<", transform=_raised(axes, x=False), **style)
    for letter, row, col in panel.points:
        x, y = (row, col) if transposed else (col, row)
        axes.text(x, y, letter, fontsize=6, color=MARK, weight="bold", ha="center", va="center", zorder=5)


def _raised(axes: Axes, *, x: bool) -> Transform:
    """Data along one axis, the edge of the map and 2 points more along the other."""
    edge = axes.get_xaxis_transform() if x else axes.get_yaxis_transform()
    right, up = (0, 3 / 72) if x else (3 / 72, 0)
    return edge + ScaledTranslation(right, up, axes.figure.dpi_scale_trans)
