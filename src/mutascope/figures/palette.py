"""Colours of all figures: those of the paper, and a set that colour-blind people can tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mutascope.analysis.status import Status
from mutascope.core.genome import check_name


@dataclass(frozen=True)
class Palette:
    """Colours of a figure.

    Attributes:
        statuses: of the sites of a map, in the order of its legend.
        series: of the assays, mutations or kinds of a chart, taken in turn.
        sequential: name of the matplotlib colour map for magnitudes.
        diverging: of the one for what is less or more than expected.
    """

    statuses: Mapping[Status, str]
    series: tuple[str, ...]
    sequential: str
    diverging: str = "BrBG"


PAPER = Palette(
    {
        Status.MAX_ONLY: "#e3201b",
        Status.MIN_ONLY: "#1f4fe0",
        Status.BOTH: "#1fa33c",
        Status.SILENT: "#ffffff",
        Status.UNSCREENED: "#c9c9c9",
    },
    ("#1f4fe0", "#e3201b", "#1fa33c", "#8e44ad", "#e08b1f", "#17a2b8", "#7f5539", "#5f5f5f"),
    "Blues",
)

COLOURBLIND = Palette(
    {
        Status.MAX_ONLY: "#e69f00",
        Status.MIN_ONLY: "#0072b2",
        Status.BOTH: "#000000",
        Status.SILENT: "#ffffff",
        Status.UNSCREENED: "#d4d4d4",
    },
    ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000", "#999999"),
    "viridis_r",
)
"""Orange, blue and black differ in lightness as well as in hue; the series are those of Okabe and Ito."""

PALETTES = {"paper": PAPER, "colourblind": COLOURBLIND}


def palette_named(name: str) -> Palette:
    """Return the palette of this name.

    Raises:
        MutascopeError: when there is none.
    """
    check_name("palette", name, list(PALETTES))
    return PALETTES[name]
