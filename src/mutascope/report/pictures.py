"""Figures and maps as data URIs."""

from __future__ import annotations

import base64
import io

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mutascope.analysis.status import Status
from mutascope.figures.maps import lighter, status_colours
from mutascope.figures.palette import Palette
from mutascope.report.blocks import Picture

_CSS_PIXELS = 96
"""Per inch."""
_COLOURS = 128


def picture(figure: Figure, caption: str) -> Picture:
    """Return a figure for the page: maps as PNG, in which sites stay sharp, charts as SVG."""
    width = round(float(figure.get_size_inches()[0]) * _CSS_PIXELS)
    has_maps = any(axes.images for axes in figure.axes)
    return Picture(_png(figure) if has_maps else _svg(figure), width, caption)


def map_source(status: np.ndarray, palette: Palette) -> str:
    """Return the data URI of a PNG with one pixel per site.

    Args:
        status: [rows, cols] of ``Status`` values, or those of :func:`with_predicted`.
        palette: colours of the statuses.
    """
    colours = status_colours(palette)
    image = Image.fromarray(status.astype(np.uint8), "P")
    image.putpalette(np.round(255 * np.concatenate([colours, lighter(colours)])).astype(np.uint8).tobytes())
    return _encoded(image, bits=3 if status.max(initial=0) < len(Status) else 4)


def with_predicted(status: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return a map in which the statuses of predicted sites are raised by their number, to be drawn lighter."""
    predicted = (status != Status.UNSCREENED) & ~exact
    return np.where(predicted, status + len(Status), status).astype(np.int8)


def enlarged(status: np.ndarray) -> np.ndarray:
    """Return the map with every screened site grown over the unscreened ones next to it."""
    high, wide = status.shape
    framed = np.pad(status, 1, constant_values=Status.UNSCREENED)
    grown = np.max([framed[i : i + high, j : j + wide] for i in range(3) for j in range(3)], axis=0)
    return np.where(status == Status.UNSCREENED, grown, status).astype(np.int8)


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
