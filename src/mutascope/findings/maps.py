"""The maps of all loci."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.counts import count_statuses
from mutascope.analysis.sites import by_assay
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Maps, Prose
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section
from mutascope.findings.screens import ScreenSet, once

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

LEGEND = (
    "One square per site: rows along the output features, columns along the input features; gate and up are drawn"
    " transposed. The colour says which mutations change the output there."
)


@once
def statuses_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Return the numbers of sites that are silent, max only, min only and both."""
    return by_assay(given.maps, lambda records: count_statuses(records, LOCUS_KEY))


def _sheets(given: ScreenSet, palette: Palette) -> Pictures:
    for label in given.maps:  # a panel runs chosen NSMs: of a site's other mutation, nothing is known
        yield label, figures.draw_sheet(list(given.locus_maps(label).values()), palette)


def fullest(given: ScreenSet) -> str:
    """Return the label of the screen whose maps show most sites.

    Raises:
        NotHere: when no screen is a map.
    """
    return max(given.maps, key=lambda label: sum(data.called for data in given.locus_maps(label).values()))


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield the maps of the screens that are not at the top of the page."""
    first = fullest(given)
    yield Prose(f"{LEGEND} The maps of {first} are at the top of this page.")
    yield from (Maps(label) for label in given.maps if label != first)


FINDINGS = (
    Finding(
        "statuses_by_locus",
        "Sites of each status by locus.",
        statuses_by_locus,
        columns(silent="number that are silent: same output as the wild type"),
        Drawing("sheet", "maps of all loci (2, Supplementary Figures)", _sheets),
        Section("maps", "Maps", _blocks),
    ),
)
