"""The status of every site of a locus: which of ``max`` and ``min`` change the output there."""

from enum import IntEnum

import numpy as np
import polars as pl

from mutascope.core.kinds import kind_rank
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY


class Status(IntEnum):
    """What the ``max`` and ``min`` mutants of one site do."""

    UNSCREENED = 0
    SILENT = 1
    MAX_ONLY = 2
    MIN_ONLY = 3
    BOTH = 4


def site_status(records: pl.DataFrame, rows: int, cols: int) -> np.ndarray:
    """Status of every site of one locus, as int8 [rows, cols] of ``Status`` values.

    ``records`` are the records of that locus (columns layer, kind, row, col, mutation, silent); ``rows`` and ``cols``
    are its size in sites. Only ``max`` and ``min`` records count. A site with neither is UNSCREENED; where only one
    of the two was screened, the missing one counts as silent.
    """
    _require_one_locus(records)
    seen_max, nsm_max = _screened(records, "max", rows, cols)
    seen_min, nsm_min = _screened(records, "min", rows, cols)
    # Each NSM adds its own amount to SILENT, so that the sum is the value of the enum.
    status = (seen_max | seen_min) * Status.SILENT + nsm_max * 1 + nsm_min * 2
    return status.astype(np.int8)


def locus_statuses(records: pl.DataFrame, loci: pl.DataFrame) -> dict[tuple[int, str], np.ndarray]:
    """Return the status map (:func:`site_status`) of every locus, by layer and kind, in canonical order.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        loci: columns layer, kind, site_rows, site_cols.
    """
    bare = records.select(*MUTANT_KEY, "silent")
    groups = {(layer, kind): group for (layer, kind), group in bare.group_by(*LOCUS_KEY, maintain_order=True)}
    shapes = loci.select(*LOCUS_KEY, "site_rows", "site_cols").rows()
    return {
        (layer, kind): site_status(groups.get((layer, kind), bare.clear()), rows, cols)
        for layer, kind, rows, cols in sorted(shapes, key=lambda row: (row[0], kind_rank(row[1])))
    }


def exact_sites(calls: pl.DataFrame, rows: int, cols: int) -> np.ndarray:
    """Sites of one locus whose ``max`` and ``min`` calls, as far as there are any, were all run, as bool [rows, cols].

    ``calls`` has the columns of :func:`site_status`, and source (``exact`` or ``predicted``).
    """
    chosen = calls.filter(pl.col("mutation").is_in(["max", "min"]))
    exact = np.zeros((rows, cols), dtype=bool)
    exact[chosen["row"].to_numpy(), chosen["col"].to_numpy()] = True
    guessed = chosen.filter(pl.col("source") == "predicted")
    exact[guessed["row"].to_numpy(), guessed["col"].to_numpy()] = False
    return exact


def exact_loci(calls: pl.DataFrame, loci: pl.DataFrame) -> dict[tuple[int, str], np.ndarray]:
    """Return the exact sites (:func:`exact_sites`) of every locus, by layer and kind.

    Args:
        calls: columns layer, kind, row, col, mutation, source.
        loci: columns layer, kind, site_rows, site_cols.
    """
    groups = {
        (layer, kind): group for (layer, kind), group in calls.group_by(*LOCUS_KEY, maintain_order=True)
    }
    return {
        (layer, kind): exact_sites(groups.get((layer, kind), calls.clear()), rows, cols)
        for layer, kind, rows, cols in loci.select(*LOCUS_KEY, "site_rows", "site_cols").iter_rows()
    }


def _screened(records: pl.DataFrame, mutation: str, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Two bool arrays [rows, cols]: sites that have this mutation, and sites where it is non-silent."""
    chosen = records.filter(pl.col("mutation") == mutation)
    row, col = chosen["row"].to_numpy(), chosen["col"].to_numpy()
    outside = (row < 0) | (row >= rows) | (col < 0) | (col >= cols)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise ValueError(f"Site ({row[first]}, {col[first]}) is outside a locus of {rows} x {cols} sites.")
    seen = np.zeros((rows, cols), dtype=bool)
    non_silent = np.zeros((rows, cols), dtype=bool)
    seen[row, col] = True
    changed = ~chosen["silent"].to_numpy().astype(bool)
    non_silent[row[changed], col[changed]] = True
    return seen, non_silent


def _require_one_locus(records: pl.DataFrame) -> None:
    """Records of several loci would overwrite each other's sites without a trace."""
    count = records.select(*LOCUS_KEY).n_unique() if len(records) else 0
    if count > 1:
        raise ValueError(f"The records are of {count} loci; site_status takes the records of one.")
