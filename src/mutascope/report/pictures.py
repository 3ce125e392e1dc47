"""Figures and maps as pictures of a page, which hold their data themselves."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from functools import cached_property

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
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
MOST = 8
"""Pictures of one figure: of many screens there are dozens, each of which takes seconds to draw."""
SHEET = 12
"""Loci that fit a sheet with axes; more are shown as small maps."""

_TOO_LARGE = "the page would be too large; see `mutascope figures"
_CSS_PIXELS = 96
"""Per inch."""
_COLOURS = 128
_LONGEST_SVG = 250_000
"""Characters; a chart of thousands of dots takes less room as pixels."""
_WIDTH = 940
"""CSS pixels for the maps of a layer side by side."""
_LARGEST = 4
"""CSS pixels per site at most."""
_SPARSE = 0.05
"""Share of screened sites below which they are drawn enlarged."""


class Album:
    """The pictures of a page, as many as there is room for (:meth:`fitted`)."""

    def __init__(self, given: ScreenSet, palette: Palette) -> None:
        self.given, self.palette = given, palette
        self._room_of_maps = ROOM
        self._drawn: list[tuple[int, Picture, LeftOut]] = []

    def figures(self, block: Figures) -> Iterable[Picture | LeftOut]:
        """Yield the first pictures of a figure, or why they are left out."""
        only = f" --only {block.figure}"
        try:
            drawn = figure_named(block.figure).draw(self.given, self.palette)
            for rank, (suffix, figure) in enumerate(drawn):
                if rank == MOST:
                    yield LeftOut(f"other pictures of the figure {block.figure}", f"{_TOO_LARGE}{only}`")
                    return
                yield self._placed(
                    figure, block.caption, f"figure {block.figure} {suffix}".rstrip(), only, rank
                )
        except NotHere as reason:
            yield LeftOut(block.caption.rstrip("."), str(reason))

    def fitted(self, blocks: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
        """Yield blocks with the names of their templates: pictures that find no room as sentences.

        First pictures of figures have room before second ones, and so on, so that no figure with a picture of every
        screen takes the room of those that follow. To be called when everything is drawn.
        """
        for template, block in blocks:
            missing = self._without_room.get(id(block))
            yield (template, block) if missing is None else ("blocks/leftout.html", missing)

    @cached_property
    def _without_room(self) -> dict[int, LeftOut]:
        """What is said in place of pictures, by their identity."""
        missing, room = {}, ROOM
        for _, drawn, told in sorted(self._drawn, key=lambda each: each[0]):
            if len(drawn.source) <= room:
                room -= len(drawn.source)
            else:
                missing[id(drawn)] = told
        return missing

    def maps(self, block: Maps) -> Iterable[Picture | Gallery | LeftOut]:
        """Yield the maps of a screen."""
        maps = list(self.given.locus_maps(block.label).values())
        if len(maps) > SHEET:
            yield from self._gallery(block.label, maps)
            return
        figure = draw_sheet(maps, self.palette)
        yield self._placed(figure, f"Maps of {block.label}.", f"maps of {block.label}", " --only sheet", 0)

    def _placed(self, figure: Figure, caption: str, what: str, only: str, rank: int) -> Picture:
        found = picture(figure, caption)
        told = LeftOut(what, f"{_TOO_LARGE}{only}`")
        self._drawn.append((rank, found, told))
        return found

    def _gallery(self, label: str, maps: list[MapData]) -> Iterable[Gallery | LeftOut]:
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
        note = "Screened sites are drawn enlarged." if sparse else ""
        title = f"{label}: PREDICTED where not run" if predicted else label
        yield Gallery(title, kinds, sorted(rows.items()), legend, note)
        if left_out:
            yield LeftOut(f"{left_out:,} maps of {label}", f"{_TOO_LARGE} --only sheet`")


def picture(figure: Figure, caption: str) -> Picture:
    """Return a figure for the page: maps as PNG, in which sites stay sharp, charts as SVG where that is short."""
    width = round(float(figure.get_size_inches()[0]) * _CSS_PIXELS)
    has_maps = any(axes.images for axes in figure.axes)
    drawn = "" if has_maps else _svg(figure)
    return Picture(drawn if 0 < len(drawn) <= _LONGEST_SVG else _png(figure), width, caption)


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
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})  # savefig draws twice
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _png(figure: Figure) -> str:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return _encoded(image.quantize(_COLOURS, dither=Image.Dither.NONE))


def _encoded(image: Image.Image, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True, **options)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
