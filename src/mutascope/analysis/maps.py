"""The map of a locus as data: made once, and drawn by figures, notebooks and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from mutascope.analysis.status import Status, exact_loci, locus_statuses
from mutascope.core.kinds import KINDS

LocusKey = tuple[int, str]
"""Layer and kind."""


@dataclass(frozen=True, eq=False)
class MapData:
    """The map of one locus, and what is pointed out in it.

    Attributes:
        layer: of the locus.
        kind: of the locus; decides whether the map is drawn transposed.
        status: int8 [rows, cols] of ``Status`` values: rows along the output features, columns along the input
            features, in sites.
        exact: bool [rows, cols], the sites that were run; the others are predicted. None: all were run.
        tile: side of a site, in elements.
        title: what is shown.
        rows: rows that get a mark at the edge.
        cols: columns that get a mark at the edge.
        points: sites that get a letter, by letter: row and column.
    """

    layer: int
    kind: str
    status: np.ndarray
    exact: np.ndarray | None = None
    tile: int = 1
    title: str = ""
    rows: Sequence[int] = ()
    cols: Sequence[int] = ()
    points: Sequence[tuple[str, int, int]] = ()

    @property
    def name(self) -> str:
        """Name of the locus, ``15.down``."""
        return f"{self.layer}.{self.kind}"

    @property
    def transposed(self) -> bool:
        """Whether rows run from left to right in pictures."""
        kind = KINDS.get(self.kind.partition(".")[0])
        return kind is not None and kind.transposed

    @property
    def drawn(self) -> np.ndarray:
        """The statuses as they are drawn: [down, across]."""
        return self.status.T if self.transposed else self.status

    @property
    def run(self) -> np.ndarray:
        """The sites that were not predicted, as they are drawn: bool [down, across]."""
        if self.exact is None:
            return np.ones(self.drawn.shape, dtype=bool)
        return self.exact.T if self.transposed else self.exact

    @property
    def called(self) -> int:
        """Number of sites that were run or predicted."""
        return int(np.count_nonzero(self.status != Status.UNSCREENED))

    @property
    def nsm_sites(self) -> int:
        """Number of sites at which max, min or both change the output."""
        return int(np.count_nonzero(self.status > Status.SILENT))


def locus_maps(calls: pl.DataFrame, loci: pl.DataFrame, tile: int, title: str) -> dict[LocusKey, MapData]:
    """Return the map of every locus, by layer and kind, in canonical order.

    Args:
        calls: columns layer, kind, row, col, mutation, silent; of a predicted screen also source (``exact`` or
            ``predicted``).
        loci: columns layer, kind, site_rows, site_cols.
        tile: side of a site, in elements.
        title: of the screen.
    """
    predicted = "source" in calls.columns
    exact = exact_loci(calls, loci) if predicted else {}
    told = f"{title}: PREDICTED where not marked as run" if predicted else title
    return {
        (layer, kind): MapData(layer, kind, status, exact.get((layer, kind)), tile, told)
        for (layer, kind), status in locus_statuses(calls, loci).items()
    }
