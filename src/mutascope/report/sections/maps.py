"""The maps of all loci: a sheet where they are few, a gallery of small ones where they are many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.colors import to_hex

from mutascope.analysis.status import Status
from mutascope.figures.charts import in_kind_order
from mutascope.figures.maps import LABELS, LIGHTER, TRANSPOSED_KINDS, as_drawn, lighter, status_colours
from mutascope.report.blocks import Block, Gallery, LeftOut, Prose, Thumbnail
from mutascope.report.pictures import enlarged, map_source, with_predicted
from mutascope.report.source import PICTURES, Source

SHEET = 12
"""Loci that fit a sheet with axes; more are shown as small maps."""
_WIDTH = 940
"""CSS pixels for the maps of a layer side by side."""
_LARGEST = 4
"""CSS pixels per site at most."""
_SPARSE = 0.05
"""Share of screened sites below which they are drawn enlarged."""

Locus = tuple[int, str]


def blocks(source: Source) -> Iterator[Block]:
    """Yield the maps of every screen."""
    given = source.given
    yield Prose(
        "One square per site: rows along the output features, columns along the input features; gate and up are drawn"
        " transposed. The colour says which mutations change the output there."
    )
    few = [label for label in given.maps if len(given.loci[label]) <= SHEET]
    if few:
        yield from source.figure("sheet", "Maps of all loci.", suffixes=few)
    many = [label for label in given.maps if label not in few]
    for label in many:
        yield from _gallery(source, label, PICTURES // len(many))


def _gallery(source: Source, label: str, room: int) -> Iterator[Block]:
    """Small maps of a screen, those with the most NSMs where not all find room."""
    statuses, exact = source.given.statuses(label), source.given.exact(label)
    screened = sum(np.count_nonzero(status != Status.UNSCREENED) for status in statuses.values())
    sparse = screened < _SPARSE * sum(status.size for status in statuses.values())
    kinds = in_kind_order(kind for _, kind in statuses)
    shapes = {
        locus: as_drawn(status, locus[1] in TRANSPOSED_KINDS).shape for locus, status in statuses.items()
    }
    wide = {kind: max(shape[1] for (_, other), shape in shapes.items() if other == kind) for kind in kinds}
    scale = min(_LARGEST, _WIDTH / sum(wide.values()))
    rows: dict[int, dict[str, Thumbnail]] = {}
    left_out = 0
    for locus in sorted(statuses, key=lambda locus: -np.count_nonzero(statuses[locus] > Status.SILENT)):
        layer, kind = locus
        status = statuses[locus]
        codes = status if exact is None else with_predicted(status, exact[locus])
        drawn = as_drawn(enlarged(codes) if sparse else codes, kind in TRANSPOSED_KINDS)
        uri = map_source(drawn, source.palette)
        room -= len(uri)
        if room < 0:
            left_out += 1
            continue
        high, across = shapes[locus]
        hint = _hint(locus, status, None if exact is None else exact[locus])
        thumbnail = Thumbnail(uri, max(1, round(across * scale)), max(1, round(high * scale)), hint)
        rows.setdefault(layer, {})[kind] = thumbnail
    legend = [(colour, LABELS[status]) for status, colour in source.palette.statuses.items()]
    if exact is not None:
        legend.append((to_hex(lighter(status_colours(source.palette))[Status.BOTH]), LIGHTER))
    note = "Screened sites are drawn enlarged." if sparse else ""
    title = label if exact is None else f"{label}: PREDICTED where not run"
    yield Gallery(title, kinds, sorted(rows.items()), legend, note)
    if left_out:
        yield LeftOut(
            f"{left_out:,} maps of {label}",
            "the page would be too large; see `mutascope figures --only sheet`",
        )


def _hint(locus: Locus, status: np.ndarray, run: np.ndarray | None) -> str:
    called = status != Status.UNSCREENED
    nsms, sites = np.count_nonzero(status > Status.SILENT), np.count_nonzero(called)
    told = f"{locus[0]}.{locus[1]}: {nsms:,} of {sites:,}"
    if run is None:
        return f"{told} screened sites are NSM sites"
    return f"{told} sites are called NSM sites; {np.count_nonzero(called & run):,} were run, the others predicted"
