"""What every analysis starts from: a row per site, the order of loci, and several assays side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from mutascope.analysis.status import Status
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.core.kinds import kind_rank
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

BASE_KIND = pl.col("kind").str.split(".").list.first()
"""A kind without what says which expert it is."""
MAP_MUTATIONS = ("max", "min")
"""The mutations that the status of a site, and with it every map, is made of (METHOD, Statistics: Status)."""


def site_frame(records: pl.DataFrame) -> pl.DataFrame:
    """Return a row per screened site, with what its mutants did (METHOD, Statistics: Status of a site).

    Args:
        records: columns layer, kind, row, col, mutation, silent; any loci, in any order.

    Returns:
        Columns layer, kind, row, col, status (Int8, a :class:`~mutascope.analysis.status.Status`), max_nsm, min_nsm,
        zero_nsm (Boolean, null where the mutation was not screened), by layer, kind, row and col. As in a map, the
        status comes from ``max`` and ``min`` alone, a missing one of the two counts as silent, and a site with
        neither is unscreened. A site without any record has no row.
    """
    nsm = {f"{name}_nsm": pl.when(mutation=name).then(~pl.col("silent")) for name in (*MAP_MUTATIONS, "zero")}
    sites = (
        records.select(*SITE_KEY, site=site_number(kinds_of(records["kind"])), **nsm)
        .group_by("site", maintain_order=True)
        .agg(pl.col(SITE_KEY).first(), pl.col(*nsm).max())
        .sort("site")
    )
    screened = pl.any_horizontal(pl.col("max_nsm", "min_nsm").is_not_null())
    value = Status.SILENT + pl.sum_horizontal(
        pl.col("max_nsm").fill_null(False).cast(pl.Int8), pl.col("min_nsm").fill_null(False).cast(pl.Int8) * 2
    )
    status = pl.when(screened).then(value).otherwise(Status.UNSCREENED).cast(pl.Int8)
    return sites.select(*SITE_KEY, status.alias("status"), *nsm)


def kinds_of(*columns: pl.Series) -> list[str]:
    """Return the kinds in columns, in canonical order; other kinds by name after them."""
    return sorted({kind for column in columns for kind in column.unique()}, key=kind_rank)


def site_number(kinds: Sequence[str]) -> pl.Expr:
    """Return one whole number for a site: it groups, joins and sorts in a third of the time of its four coordinates.

    Args:
        kinds: those of the frame, in the order that the numbers shall have within a layer (:func:`kinds_of`).
    """
    known = [*kinds] or [""]  # there is no empty mapping
    kind = pl.col("kind").replace_strict(known, range(len(known)), return_dtype=pl.Int64)
    locus = pl.col("layer").cast(pl.Int64) * len(known) + kind
    return (locus * 2**21 + pl.col("row")) * 2**21 + pl.col("col")


def in_order(frame: pl.DataFrame, *then: str) -> pl.DataFrame:
    """Return the frame by layer and kind (canonical order, other kinds by name after them), then by ``then``.

    Columns layer and kind are optional.
    """
    keys: list[pl.Expr] = []
    if "layer" in frame.columns:
        keys.append(pl.col("layer"))
    if "kind" in frame.columns:
        ranks = {kind: rank for rank, kind in enumerate(kinds_of(frame["kind"].drop_nulls()))}
        keys.append(pl.col("kind").replace_strict(ranks, default=len(ranks), return_dtype=pl.Int32))
    keys += [pl.col(name) for name in then]
    return frame.sort(keys, maintain_order=True) if keys else frame


def by_assay(
    screens: Mapping[str, pl.DataFrame], analysis: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """Return the frames of ``analysis`` for the records of every screen, one below the other.

    Args:
        screens: records by label of the screen.
        analysis: from records to a frame; the same columns for every screen.

    Returns:
        Column assay (the label), then those of ``analysis``.

    Raises:
        MutascopeError: when there is no screen.
    """
    if not screens:
        raise MutascopeError("there is no screen to analyse: give at least one")
    return pl.concat(
        analysis(records).select(pl.lit(label).alias("assay"), pl.all()) for label, records in screens.items()
    )


def check_equal_shapes(loci: Mapping[str, pl.DataFrame]) -> None:
    """Raise NotHere when a locus of one screen has another shape, or is tiled otherwise, in another screen.

    Args:
        loci: by label of the screen, columns layer, kind, rows, cols (elements), site_rows, site_cols (tiles).
    """
    shape = ("rows", "cols", "site_rows", "site_cols")
    labels = list(loci)
    for label in labels[1:]:
        both = loci[labels[0]].join(
            loci[label], on=LOCUS_KEY, how="inner", suffix="_other", maintain_order="left"
        )
        unequal = both.filter(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_other") for name in shape))
        if len(unequal):
            row = in_order(unequal).row(0, named=True)
            first, other = ([row[name + suffix] for name in shape] for suffix in ("", "_other"))
            raise NotHere(
                f"{labels[0]} and {label} cannot be compared site by site: {row['layer']}.{row['kind']} has"
                f" {first[0]} x {first[1]} elements in {first[2]} x {first[3]} sites in the one and"
                f" {other[0]} x {other[1]} in {other[2]} x {other[3]} in the other;"
                " compare screens of equal shape and tile"
            )
