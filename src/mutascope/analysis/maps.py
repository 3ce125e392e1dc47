"""The map of a locus as data: made once, and drawn by figures, notebooks and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from mutascope.analysis.fragile import tokens_left_at
from mutascope.analysis.sites import MAP_MUTATIONS
from mutascope.analysis.status import Status, exact_loci, locus_statuses
from mutascope.core.kinds import KINDS
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

LocusKey = tuple[int, str]
"""Layer and kind."""

_TENTHS = 10
"""Steps of the scale of chances."""


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
        coded: int8 [rows, cols], what decides the colours instead of the status: UNSCREENED, SILENT, and SILENT + n
            for the n-th of ``labels``, from 1; on a scale nothing is SILENT, and the labels count from 0. None: status.
        labels: of these codes.
        scale: whether the labels are steps of a magnitude, in ascending order.
        legend: its heading.
        names: what statuses are called that mean something else here, ``no such NSM`` for SILENT.
        shown: makes what a notebook shows of the map, by media type; None: nothing but its name.
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
    coded: np.ndarray | None = None
    labels: Sequence[str] = ()
    scale: bool = False
    legend: str = "sites"
    names: Mapping[Status, str] = field(default_factory=dict)
    shown: Callable[[MapData], dict[str, Any]] | None = field(default=None, repr=False)

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {"text/plain": repr(self)} if self.shown is None else self.shown(self)

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
        """The codes of the colours, as they are drawn: [down, across]."""
        codes = self.status if self.coded is None else self.coded
        return codes.T if self.transposed else codes

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


def by_token(
    maps: Sequence[MapData], calls: pl.DataFrame, pieces: Sequence[str] = (), most: int = 6
) -> list[MapData]:
    """Return the maps coloured by the token of the wild type's text that the NSMs of a site leave at first.

    Args:
        maps: of one screen.
        calls: columns layer, kind, row, col, mutation, silent, first_divergence.
        pieces: texts of the tokens, where they are known.
        most: tokens with a colour of their own, those at which most NSMs of the maps leave; the others share one.
    """
    mine = pl.DataFrame(
        [(data.layer, data.kind) for data in maps],
        schema={name: calls.schema[name] for name in LOCUS_KEY},
        orient="row",
    )
    nsms = calls.join(mine, on=LOCUS_KEY, how="semi").filter(
        pl.col("mutation").is_in(MAP_MUTATIONS), ~pl.col("silent")
    )
    tokens = (
        tokens_left_at(nsms).sort("share", descending=True, maintain_order=True)["token"].head(most).to_list()
    )
    words = [f"{token} {pieces[token]!r}" if token < len(pieces) else str(token) for token in tokens]
    codes = {token: Status.SILENT + place for place, token in enumerate(tokens, 1)}
    coded = (
        nsms.group_by(SITE_KEY, maintain_order=True)
        .agg(pl.col("first_divergence").min())
        .with_columns(
            code=pl.col("first_divergence").replace_strict(
                codes, default=Status.SILENT + len(tokens) + 1, return_dtype=pl.Int8
            )
        )
    )
    return [
        _coloured(data, coded.filter(layer=data.layer, kind=data.kind), [*words, "another"]) for data in maps
    ]


def _coloured(data: MapData, sites: pl.DataFrame, words: Sequence[str]) -> MapData:
    """Return a map with the codes of its NSM sites (columns row, col, code)."""
    coded = np.minimum(data.status, Status.SILENT)
    coded[sites["row"].to_numpy(), sites["col"].to_numpy()] = sites["code"].to_numpy()
    return replace(data, coded=coded, labels=words, legend="first divergence\nat token")


def by_silence(maps: Sequence[MapData], chances: pl.DataFrame) -> list[MapData]:
    """Return the maps coloured by the chance over the noise that a site is not silent, mean of max and min, in tenths.

    Args:
        maps: of one screen.
        chances: columns layer, kind, row, col, mutation, silence.
    """
    tenth = ((1 - pl.col("silence").mean()) * _TENTHS).floor().clip(0, _TENTHS - 1)
    sites = (
        chances.filter(pl.col("mutation").is_in(MAP_MUTATIONS))
        .group_by(SITE_KEY, maintain_order=True)
        .agg(code=(tenth + Status.SILENT).cast(pl.Int8))
    )
    labels = [f"{low / _TENTHS:.1f} to {(low + 1) / _TENTHS:.1f}" for low in range(_TENTHS)]
    return [_scaled(data, sites.filter(layer=data.layer, kind=data.kind), labels) for data in maps]


def _scaled(data: MapData, sites: pl.DataFrame, labels: Sequence[str]) -> MapData:
    """Return a map with the codes of its sites (columns row, col, code) on a scale."""
    coded = np.full_like(data.status, Status.UNSCREENED)
    coded[sites["row"].to_numpy(), sites["col"].to_numpy()] = sites["code"].to_numpy()
    return replace(data, coded=coded, labels=labels, scale=True, legend="chance of an NSM")
