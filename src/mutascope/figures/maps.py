"""NSM maps: a picture of one locus, a square per site, and a sheet of all screened loci."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mutascope.analysis.maps import MapData
from mutascope.core.errors import NotHere
from mutascope.figures.charts import in_kind_order
from mutascope.figures.page import ENLARGED, LEFT, Page, are_sparse, enlarge_screened, offsets, set_ticks
from mutascope.figures.palette import PAPER, Palette


def draw_map(data: MapData, palette: Palette = PAPER) -> Figure:
    """Return the picture of one map. Sites that were predicted are lighter, and a dot marks the others."""
    high, wide = data.drawn.shape
    site = min(0.5, 12 / wide, 9 / high)
    page = Page(data.title, body=(wide * site, high * site), site=site, palette=palette)
    axes = page.add_map(data, (0.0, 0.0))
    set_ticks(axes, site)
    _label_axes(axes, data.transposed, low=high * site < 2)
    page.add_legend([data])
    return page.figure


def draw_sheet(maps: Sequence[MapData], palette: Palette = PAPER) -> Figure:
    """Return the maps of a screen on one sheet: layers are rows, kinds are columns, all sites the same size.

    Where sites are small and few of them were sampled, the sampled ones are drawn enlarged, and a note below says so.

    Raises:
        NotHere: when there is no map.
    """
    if not maps:
        raise NotHere("there is no locus to draw")
    layout = _SheetLayout(maps)
    enlarge = are_sparse(maps, layout.site)
    body = (layout.width, layout.height)
    page = Page(maps[0].title, body=body, site=layout.site, palette=palette, header=0.35, footer=0.05)
    for data in maps:
        axes = page.add_map(data, (layout.left[data.kind], layout.top[data.layer]), grid_from=0.03)
        axes.set_label(data.name)
        set_ticks(axes, layout.site, x=data.layer == layout.layers[-1], y=data.kind == layout.kinds[0])
        if enlarge:
            enlarge_screened(axes, data, palette)
    _label_sheet(page, layout)
    note = "row: output features, col: input features, in tiles"
    page.footnote(f"{note}\n{ENLARGED}" if enlarge else note)
    page.add_legend(maps)
    return page.figure


@dataclass
class _SheetLayout:
    """Where the map of each layer and kind goes: ``left`` by kind and ``top`` by layer, from the body's upper left."""

    maps: Sequence[MapData]
    layers: list[int] = field(init=False)
    kinds: list[str] = field(init=False)
    left: dict[str, float] = field(init=False)
    top: dict[int, float] = field(init=False)

    def __post_init__(self) -> None:
        self.layers = sorted({data.layer for data in self.maps})
        self.kinds = in_kind_order(data.kind for data in self.maps)
        wide: dict[str, int] = dict.fromkeys(self.kinds, 0)
        high: dict[int, int] = dict.fromkeys(self.layers, 0)
        for data in self.maps:
            down, across = data.drawn.shape
            wide[data.kind] = max(wide[data.kind], across)
            high[data.layer] = max(high[data.layer], down)
        longest = max(*wide.values(), *high.values())
        self.site = min(0.4, 6 / longest, 14 / sum(wide.values()), 22 / sum(high.values()))
        # A column is never narrower than its heading, nor a row lower than its layer number.
        lefts, self.width = offsets([max(wide[kind] * self.site, 0.7) for kind in self.kinds], gap=0.15)
        tops, self.height = offsets([max(high[layer] * self.site, 0.15) for layer in self.layers], gap=0.12)
        self.left = dict(zip(self.kinds, lefts, strict=True))
        self.top = dict(zip(self.layers, tops, strict=True))


def _label_axes(axes: Axes, transpose: bool, low: bool) -> None:
    """Say which coordinate runs which way; a ``low`` map has no room for the whole label beside it."""
    row, col = "row (output features, in tiles)", "col (input features, in tiles)"
    across, down = (f"{row}\ndrawn transposed", col) if transpose else (col, row)
    axes.set_xlabel(across, fontsize=9, loc="left", multialignment="left")
    axes.set_ylabel(down.replace(" features, in", "\nfeatures, in") if low else down, fontsize=9, loc="top")


def _label_sheet(page: Page, layout: _SheetLayout) -> None:
    """Kinds above the columns of a sheet and layers beside its rows."""
    for kind, transposed in {data.kind: data.transposed for data in layout.maps}.items():
        page.text(layout.left[kind], -0.2, kind, weight="bold", fontsize=10)
        page.text(layout.left[kind], -0.07, "row →  col ↓" if transposed else "col →  row ↓", fontsize=7)
    page.text(0.12 - LEFT, -0.2, "layer", fontsize=9)
    for layer in layout.layers:
        page.text(0.12 - LEFT, layout.top[layer] + 0.12, str(layer), weight="bold", fontsize=9)
