"""Records and loci made by hand, for the tests of the analyses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from mutascope.core.schema import MUTANT_KEY, RECORD_SCHEMA

RECORDS = {name: RECORD_SCHEMA[name] for name in (*MUTANT_KEY, "silent", "phenotype")}
CODES = {".": (0, 0), "+": (1, 0), "-": (0, 1), "#": (1, 1)}
"""Silent, max only, min only, both; a blank is an unscreened site."""


def records_of(maps: Mapping[tuple[int, str], str], phenotype: str = "text") -> pl.DataFrame:
    """Records of loci drawn as text, a line per row of sites (see ``CODES``)."""
    rows = []
    for (layer, kind), text in maps.items():
        for row, line in enumerate(text.strip("\n").splitlines()):
            for col, code in enumerate(line):
                if code == " ":
                    continue
                for mutation, nsm in zip(("max", "min"), CODES[code], strict=True):
                    name = f"{phenotype} {layer}.{kind}:{row},{col}:{mutation}" if nsm else "wild type"
                    rows.append((layer, kind, row, col, mutation, not nsm, name))
    return pl.DataFrame(rows, schema=RECORDS, orient="row")


def loci_of(
    sizes: Mapping[tuple[int, str], tuple[int, int]], tile: int = 4, region: bool = True
) -> pl.DataFrame:
    """Loci of given numbers of site rows and columns, every site in the region."""
    rows = [
        (layer, kind, high * tile, wide * tile, high, wide, high * wide if region else None, high * wide)
        for (layer, kind), (high, wide) in sizes.items()
    ]
    names = ("layer", "kind", "rows", "cols", "site_rows", "site_cols", "region_sites", "sampled_sites")
    types = {"layer": pl.Int16, "kind": pl.String, "region_sites": pl.Int64}
    return pl.DataFrame(rows, schema={name: types.get(name, pl.Int64) for name in names}, orient="row")


def records_of_arrays(maps: Mapping[tuple[int, str], np.ndarray]) -> pl.DataFrame:
    """Complete records of loci from status arrays [rows, cols] of 1 silent, 2 max only, 3 min only, 4 both."""
    frames = []
    for (layer, kind), status in maps.items():
        row, col = np.indices(status.shape).reshape(2, -1)
        for mutation, code in (("max", 2), ("min", 3)):
            nsm = np.isin(status.ravel(), (code, 4))
            frames.append(
                pl.DataFrame({"row": row, "col": col, "silent": ~nsm}).select(
                    layer=pl.lit(layer),
                    kind=pl.lit(kind),
                    row="row",
                    col="col",
                    mutation=pl.lit(mutation),
                    silent="silent",
                    phenotype=pl.when("silent").then(pl.lit("wild type")).otherwise(pl.lit("text")),
                )
            )
    return pl.concat(frames).cast(RECORDS)
