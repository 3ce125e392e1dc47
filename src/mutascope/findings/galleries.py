"""Maps for galleries, which pick the loci that show their matter best: 3 loci are readable, and so are 224."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from mutascope.analysis.maps import LocusKey, MapData
from mutascope.analysis.severity import marked_sites
from mutascope.analysis.status import Status, site_status
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.findings.screens import ScreenSet

_MOST_SCREENS = 6
UNKNOWN = "not known"
NOT_PANELLED = "not on the panel"


def across(
    given: ScreenSet,
    locus: LocusKey,
    labels: Iterable[str],
    mark: Callable[[str, MapData], MapData] = lambda _, data: data,
) -> list[MapData]:
    """Return the maps of a locus in the first of the screens that have it; ``mark`` points out things, by label."""
    screens = [(label, given.locus_maps(label)) for label in list(labels)[:_MOST_SCREENS]]
    return [
        mark(label, replace(maps[locus], title=f"{maps[locus].name} {label}"))
        for label, maps in screens
        if locus in maps
    ]


def marked(
    given: ScreenSet,
    label: str,
    records: pl.DataFrame,
    locus: LocusKey,
    told: Sequence[tuple[str, pl.Expr]],
    unknown: str = UNKNOWN,
) -> list[MapData]:
    """Return a map of a locus for every title and sort of NSMs: the other NSMs are as white as silent mutants there.

    Grey are sites that were not run, and those with an NSM of which the sort is null: ``unknown`` says why.
    """
    whole = given.locus_maps(label).get(locus)
    if whole is None:
        return []
    here = records.filter(layer=locus[0], kind=locus[1])
    screened = np.minimum(site_status(here, *whole.status.shape), Status.SILENT).astype(np.int8)
    maps = []
    for title, chosen in told:
        found, hidden = marked_sites(here, chosen), here.filter(~pl.col("silent"), chosen.is_null())
        status = screened.copy()
        status[hidden["row"].to_numpy(), hidden["col"].to_numpy()] = Status.UNSCREENED
        status[found["row"].to_numpy(), found["col"].to_numpy()] = found["status"].to_numpy()
        names = {Status.SILENT: "no such NSM"}
        if len(hidden):  # of the other mutant of a site nothing may be known
            names |= {
                Status.MAX_ONLY: "max only, or\nmin not known",
                Status.MIN_ONLY: "min only, or\nmax not known",
            }
            names[Status.UNSCREENED] = f"unscreened or\n{unknown}"
        title = f"{whole.name} {title}".strip()
        maps.append(replace(whole, status=status, exact=None, title=title, names=names))
    return maps


def of_loci(records: pl.DataFrame, loci: Sequence[LocusKey]) -> pl.DataFrame:
    """Return the records of some loci, in their order: those of a whole screen are millions."""
    keys = pl.DataFrame(loci, schema={name: records.schema[name] for name in LOCUS_KEY}, orient="row")
    return records.join(keys, on=LOCUS_KEY, how="semi")


def flagged(records: pl.DataFrame, known: pl.DataFrame, chosen: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return records with a column that is true for chosen mutants, false for other known ones, null for the rest."""
    here = known.join(records.select(LOCUS_KEY).unique(), on=LOCUS_KEY, how="semi")
    flags = here.select(MUTANT_KEY).join(
        chosen.select(*MUTANT_KEY, pl.lit(True).alias(name)), on=MUTANT_KEY, how="left", maintain_order="left"
    )
    return records.join(
        flags.with_columns(pl.col(name).fill_null(False)), on=MUTANT_KEY, how="left", maintain_order="left"
    )


def top_loci(mutants: pl.DataFrame, count: int) -> list[LocusKey]:
    """Return the loci with most of the mutants."""
    ranked = (
        mutants.group_by(LOCUS_KEY, maintain_order=True)
        .len()
        .sort("len", "layer", "kind", descending=[True, False, False])
    )
    return ranked.head(count).select(LOCUS_KEY).rows()


def with_most(
    given: ScreenSet, label: str, records: pl.DataFrame, severe: pl.Expr, told: Sequence[tuple[str, pl.Expr]]
) -> list[list[MapData]]:
    """Return rows of maps of the three loci with most severe NSMs: :func:`marked` ones, and the whole map."""
    found = records.filter(~pl.col("silent"), severe)
    return [
        [*marked(given, label, records, locus, told), titled(given, label, locus, "all NSMs")]
        for locus in top_loci(found, 3)
    ]


def titled(given: ScreenSet, label: str, locus: LocusKey, title: str) -> MapData:
    """Return the whole map of a locus under another title."""
    data = given.locus_maps(label)[locus]
    return replace(data, title=f"{data.name} {title}")
