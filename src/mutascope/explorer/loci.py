"""The page of one locus: every mutant, and what is known of its rows and columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mutascope.analysis.copa import rearrange, sign_map
from mutascope.analysis.enrichment import AXES, HITS
from mutascope.analysis.maps import MapData
from mutascope.explorer.packing import pack

_NONE = 2**32 - 1
_SILENT, _NSM, _PREDICTED = 1, 2, 4
"""State of a mutant: one of the first two, and the third where it was not run."""


def locus_page(
    data: MapData,
    calls: pl.DataFrame,
    mutations: Sequence[str],
    measures: Sequence[str],
    lines: pl.DataFrame,
    covariates: pl.DataFrame | None,
) -> bytes:
    """Return everything on one locus, packed.

    Per mutation ``<mutation>.site`` (row times columns plus column; absent where every site is there, in order),
    ``.state``, ``.divergence`` (-1: none), ``.phenotype`` (place in the table; 2^32 - 1: none), ``.chance`` (of an
    NSM, times 255, where predicted and calibrated) and the measures; ``row.`` and ``col.`` ``order`` (of COPA), ``any``
    and ``both`` (q of the test for more NSM sites, and for more sites of which max and min are), and the covariates of
    columns. What would hold nothing is absent.

    Args:
        data: the map.
        calls: of the locus: row, col, mutation, silent, first_divergence, index (of the phenotype); perhaps source,
            probability and the measures.
        mutations: of the screen.
        measures: numbers that records have beyond those that all have.
        lines: tests of the rows and columns of the locus: axis, index, hit, q.
        covariates: of the sites of the locus, where they are known: columns col, input_norm, massive.
    """
    arrays = {}
    for mutation in mutations:
        told = _mutants(calls.filter(mutation=mutation), data, measures)
        arrays |= {f"{mutation}.{column}": values for column, values in told.items()}
    for axis in AXES:
        arrays |= _line_arrays(data, axis, lines.filter(axis=axis))
    known = {} if covariates is None else _covariates(data, covariates)
    return pack(arrays | known, rows=data.status.shape[0], cols=data.status.shape[1])


def _mutants(calls: pl.DataFrame, data: MapData, measures: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of one mutation."""
    rows, cols = data.status.shape
    calls = calls.sort("row", "col")
    site = calls["row"].to_numpy().astype(np.uint32) * cols + calls["col"].to_numpy().astype(np.uint32)
    state = np.where(calls["silent"].to_numpy(), _SILENT, _NSM).astype(np.uint8)
    arrays = {} if len(site) == rows * cols else {"site": site}
    if "source" in calls.columns:
        state = state + _PREDICTED * (calls["source"] == "predicted").to_numpy().astype(np.uint8)
        if calls["probability"].count():  # a prediction that was never calibrated has none
            chance = calls["probability"].fill_null(0).to_numpy()
            arrays["chance"] = np.round(chance * 255).astype(np.uint8)
    arrays["state"] = state
    arrays["divergence"] = calls["first_divergence"].fill_null(-1).to_numpy().astype(np.int16)
    if calls["index"].count():
        arrays["phenotype"] = calls["index"].fill_null(_NONE).to_numpy().astype(np.uint32)
    for name in measures:
        if name in calls.columns:
            arrays[name] = calls[name].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    return arrays


def _line_arrays(data: MapData, axis: str, tested: pl.DataFrame) -> dict[str, np.ndarray]:
    length = data.status.shape[AXES.index(axis)]
    order = rearrange(sign_map(data.status), axis).order.astype(np.uint32)
    arrays: dict[str, np.ndarray] = {f"{axis}.order": order}
    for hit in HITS:
        mine = tested.filter(hit=hit)
        if len(mine):
            q = np.ones(length, dtype=np.float32)
            q[mine["index"].to_numpy()] = mine["q"].to_numpy()
            arrays[f"{axis}.{hit}"] = q
    return arrays


def _covariates(data: MapData, known: pl.DataFrame) -> dict[str, np.ndarray]:
    """Norm of what the columns read, and where an activation is massive."""
    here = known.group_by("col").agg(pl.first("input_norm"), pl.col("massive").any())
    norm = np.zeros(data.status.shape[1], dtype=np.float32)
    massive = np.zeros(data.status.shape[1], dtype=np.uint8)
    norm[here["col"].to_numpy()] = here["input_norm"].fill_null(0).to_numpy()
    massive[here["col"].to_numpy()] = here["massive"].fill_null(False).to_numpy()
    return {"col.input_norm": norm, "col.massive": massive}
