"""The maps of all loci."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope import figures
from mutascope.analysis.counts import count_statuses
from mutascope.analysis.sites import by_assay
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Maps
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Pictures, Section, finding
from mutascope.findings.screens import ScreenSet

LEGEND = (
    "One square per site: rows along the output features, columns along the input features; gate and up are drawn"
    " transposed. The colour says which mutations change the output there."
)


def _sheets(given: ScreenSet, palette: figures.Palette) -> Pictures:
    for label in given.labels:
        yield label, figures.draw_sheet(list(given.locus_maps(label).values()), palette)


def fullest(given: ScreenSet) -> str:
    """Return the label of the screen whose maps show most sites.

    Raises:
        NotHere: when no screen is a map.
    """
    return max(given.maps, key=lambda label: sum(data.called for data in given.locus_maps(label).values()))


def _blocks(given: ScreenSet) -> Iterator[Block]:
    first = fullest(given)
    for label in given.maps:
        if label != first:
            yield Maps(label, f"Maps of {label}.")


@finding(
    "statuses_by_locus",
    columns(silent="number that are silent: same output as the wild type"),
    figure=Drawing("sheet", "maps of all loci (2, Supplementary Figures)", _sheets),
    section=Section("maps", "Maps", _blocks),
)
def statuses_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Sites of each status by locus."""
    return by_assay(given.maps, lambda records: count_statuses(records, LOCUS_KEY))
