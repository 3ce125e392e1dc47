"""Maps as pixels: the colour of every site, which all pictures of maps share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from mutascope.analysis.maps import MapData
from mutascope.analysis.status import Status
from mutascope.figures.palette import Palette

LABELS = {
    Status.MAX_ONLY: "max only",
    Status.MIN_ONLY: "min only",
    Status.BOTH: "both",
    Status.SILENT: "silent",
    Status.UNSCREENED: "unscreened",
}
LIGHTER = "lighter: predicted"

_LIGHTER = 0.45
"""How far the colour of a predicted site is moved towards white."""


def map_pixels(data: MapData, palette: Palette, *, grown: bool = False) -> np.ndarray:
    """Return the colour of every site as it is drawn: [down, across, (red, green, blue)], 0 to 1.

    Args:
        data: the map; sites that were predicted are lighter.
        palette: colours of the statuses, of the tokens, or of a scale.
        grown: screened sites also colour the unscreened ones next to them, to be seen where they are few.
    """
    colours = code_colours(data, palette)
    codes = data.drawn + len(colours) * (~data.run & (data.drawn != Status.UNSCREENED))
    return np.concatenate([colours, lighter(colours)])[_grown(codes) if grown else codes]


def status_colours(palette: Palette) -> np.ndarray:
    """Return the colours [statuses, 3] (red, green, blue, 0 to 1), indexed by status."""
    return _numbers([palette.statuses[status] for status in Status])


def legend_of(data: MapData, palette: Palette) -> list[tuple[int, str, str]]:
    """Return code, colour and label of whatever the sites of a map can be, in the order of the legend."""
    if data.coded is None:
        labels = {**LABELS, **data.names}
        return [(status, colour, labels[status]) for status, colour in palette.statuses.items()]
    if data.scale:
        steps = np.linspace(0, 1, len(data.labels))
        tints = [to_hex(tint) for tint in colormaps[palette.sequential](steps)]
        first, others = Status.SILENT, (Status.UNSCREENED,)
    else:
        tints = [*palette.series[: len(data.labels) - 1], palette.series[-1]]
        first, others = Status.SILENT + 1, (Status.SILENT, Status.UNSCREENED)
    coded = enumerate(zip(tints, data.labels, strict=True), first)
    rest = [(status, palette.statuses[status], LABELS[status]) for status in others]
    return [*((code, tint, label) for code, (tint, label) in coded), *rest]


def code_colours(data: MapData, palette: Palette) -> np.ndarray:
    """Return the colours [codes, 3] of a map (red, green, blue, 0 to 1), indexed by code."""
    return _numbers([colour for _, colour, _ in sorted(legend_of(data, palette))])


def _numbers(colours: Sequence[str]) -> np.ndarray:
    return np.array([list(bytes.fromhex(code.removeprefix("#"))) for code in colours]) / 255


def lighter(colours: np.ndarray) -> np.ndarray:
    """Return the colours of predicted sites, from those of sites that were run."""
    return colours + _LIGHTER * (1 - colours)


def _grown(codes: np.ndarray) -> np.ndarray:
    high, wide = codes.shape
    framed = np.pad(codes, 1, constant_values=Status.UNSCREENED)
    most = np.max([framed[i : i + high, j : j + wide] for i in range(3) for j in range(3)], axis=0)
    return np.where(codes == Status.UNSCREENED, most, codes)
