"""Figures and maps as pictures of a page, which hold their data themselves."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from mutascope.analysis.maps import MapData
from mutascope.analysis.status import Status
from mutascope.core.errors import NotHere
from mutascope.figures.charts import in_kind_order
from mutascope.figures.maps import draw_sheet
from mutascope.figures.palette import Palette
from mutascope.figures.pixels import LABELS, LIGHTER, lighter, map_pixels, status_colours
from mutascope.findings import ScreenSet, figure_named
from mutascope.findings.blocks import Figures, LeftOut, Maps
from mutascope.report.blocks import Gallery, Picture, Thumbnail

ROOM = 6_000_000
"""Characters that pictures may take, and those that small maps may: the page stays below 15 MB."""
SHEET = 12
"""Loci that fit a sheet with axes; more are shown as small maps."""

_CSS_PIXELS = 96
"""Per inch."""
_COLOURS = 128
_WIDTH = 940
"""CSS pixels for the maps of a layer side by side."""
_LARGEST = 4
"""CSS pixels per site at most."""
_SPARSE = 0.05
"""Share of screened sites below which they are drawn enlarged."""


class Album:
    """The pictures of a page, as many as there is room for."""

    def __init__(self, given: ScreenSet, palette: Palette) -> None:
        self.given, self.palette = given, palette
        self._room = self._room_of_maps = ROOM

    def figures(self, block: Figures) -> Iterable[Picture | LeftOut]:
        """Yield the pictures of a figure, or why they are left out."""
        try:
            for suffix, figure in figure_named(block.figure).draw(self.given, self.palette):
                yield self._placed(figure, block.caption, f"figure {block.figure} {suffix}", "")
        except NotHere as reason:
            yield LeftOut(block.caption.rstrip("."), str(reason))

    def maps(self, block: Maps) -> Iterable[Picture | Gallery | LeftOut]:
        """Yield the maps of a screen."""
        maps = list(self.given.locus_maps(block.label).values())
        if len(maps) > SHEET:
            yield from self._gallery(block, maps)
            return
        figure = draw_sheet(maps, self.palette)
        yield self._placed(figure, block.caption, f"maps of {block.label}", " --only sheet")

    def _placed(self, figure: Figure, caption: str, what: str, only: str) -> Picture | LeftOut:
        found = picture(figure, caption)
        if len(found.source) > self._room:
            return LeftOut(what, f"the page would be too large; see `mutascope figures{only}`")
        self._room -= len(found.source)
        return found

    def _gallery(self, block: Maps, maps: list[MapData]) -> Iterable[Gallery | LeftOut]:
        """Small maps of a screen, those with the most NSMs where not all find room."""
        predicted = maps[0].exact is not None
        sparse = sum(data.called for data in maps) < _SPARSE * sum(data.status.size for data in maps)
        kinds = in_kind_order(data.kind for data in maps)
        wide = [max(data.drawn.shape[1] for data in maps if data.kind == kind) for kind in kinds]
        scale = min(_LARGEST, _WIDTH / sum(wide))
        rows: dict[int, dict[str, Thumbnail]] = {}
        left_out = 0
        for data in sorted(maps, key=lambda data: -data.nsm_sites):
            small = _thumbnail(data, scale, map_pixels(data, self.palette, grown=sparse))
            if len(small.source) > self._room_of_maps:
                left_out += 1
                continue
            self._room_of_maps -= len(small.source)
            rows.setdefault(data.layer, {})[data.kind] = small
        legend = [(colour, LABELS[status]) for status, colour in self.palette.statuses.items()]
        if predicted:
            legend.append((to_hex(lighter(status_colours(self.palette))[Status.BOTH]), LIGHTER))
        note = f"{block.caption} Screened sites are drawn enlarged." if sparse else block.caption
        title = f"{block.label}: PREDICTED where not run" if predicted else block.label
        yield Gallery(title, kinds, sorted(rows.items()), legend, note)
        if left_out:
            reason = "the page would be too large; see `mutascope figures --only sheet`"
            yield LeftOut(f"{left_out:,} maps of {block.label}", reason)


def picture(figure: Figure, caption: str) -> Picture:
    """Return a figure for the page: maps as PNG, in which sites stay sharp, charts as SVG."""
    width = round(float(figure.get_size_inches()[0]) * _CSS_PIXELS)
    has_maps = any(axes.images for axes in figure.axes)
    return Picture(_png(figure) if has_maps else _svg(figure), width, caption)


def _thumbnail(data: MapData, scale: float, pixels: np.ndarray) -> Thumbnail:
    high, wide = data.drawn.shape
    told = f"{data.name}: {data.nsm_sites:,} of {data.called:,}"
    if data.exact is None:
        told += " screened sites are NSM sites"
    else:
        run = np.count_nonzero(data.exact & (data.status != Status.UNSCREENED))
        told += f" sites are called NSM sites; {run:,} were run, the others predicted"
    return Thumbnail(_map_source(pixels), max(1, round(wide * scale)), max(1, round(high * scale)), told)


def _map_source(pixels: np.ndarray) -> str:
    """The data URI of a PNG with one pixel per site."""
    colours, codes = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    image = Image.fromarray(codes.reshape(pixels.shape[:2]).astype(np.uint8), "P")
    image.putpalette(np.round(255 * colours).astype(np.uint8).tobytes())
    return _encoded(image, bits=3 if len(colours) <= 8 else 4)


def _svg(figure: Figure) -> str:
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "mutascope"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return _encoded(Image.open(buffer).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE))


def _encoded(image: Image.Image, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True, **options)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
