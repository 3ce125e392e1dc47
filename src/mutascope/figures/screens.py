"""The maps of a screen, from its folder to a picture."""

from __future__ import annotations

from matplotlib.figure import Figure

from mutascope.analysis.status import exact_loci, exact_sites, locus_statuses, site_status
from mutascope.core.errors import MutascopeError
from mutascope.figures.maps import map_figure, sheet_figure
from mutascope.figures.palette import PAPER, Palette
from mutascope.store.reader import ScreenData


def draw_map(data: ScreenData, layer: int, kind: str, palette: Palette | None = None) -> Figure:
    """Return the NSM map of a locus, with the colours of the paper by default.

    Raises:
        MutascopeError: when the locus was not part of the screen.
    """
    grid, name = _grid(data, layer, kind), f"{layer}.{kind}"
    title, colours = f"{data.title}, {name}", palette or PAPER
    if name not in data.folder.predicted_loci():
        status = site_status(data.records().filter(layer=layer, kind=kind), *grid)
        return map_figure(status, title=title, kind=kind, palette=colours)
    calls = data.calls(name)
    status, exact = site_status(calls, *grid), exact_sites(calls, *grid)
    return map_figure(status, title=predicted_title(title), kind=kind, palette=colours, exact=exact)


def draw_sheet(data: ScreenData, palette: Palette | None = None) -> Figure:
    """Return the NSM maps of all loci of a screen on one sheet, with the colours of the paper by default."""
    calls, colours = data.calls() if data.predicted else data.records(), palette or PAPER
    statuses = locus_statuses(calls, data.loci)
    maps = [(layer, kind, status) for (layer, kind), status in statuses.items()]
    if not data.predicted:
        return sheet_figure(maps, title=data.title, palette=colours)
    exact = exact_loci(calls, data.loci)
    return sheet_figure(maps, title=predicted_title(data.title), palette=colours, exact=exact)


def predicted_title(title: str) -> str:
    """Return the title of maps that are predicted in part or whole."""
    return f"{title}: PREDICTED where not marked as run"


def _grid(data: ScreenData, layer: int, kind: str) -> tuple[int, int]:
    """Return the number of site rows and columns of a locus."""
    locus = data.loci.filter(layer=layer, kind=kind)
    if locus.is_empty():
        layers, kinds = data.loci["layer"].unique().sort(), data.loci["kind"].unique(maintain_order=True)
        raise MutascopeError(
            f"{data.folder.path} has no locus {layer}.{kind}; it screens layers {layers.to_list()} and kinds"
            f" {kinds.to_list()}"
        )
    return locus["site_rows"][0], locus["site_cols"][0]
