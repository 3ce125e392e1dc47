"""Where the logged mutants lie, which sites were run, and whether log, code, done and finished files agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Locus, Tiling
from mutascope.core.kinds import kind_rank
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.interop.authors.codec import matrix_locus, matrix_name
from mutascope.interop.authors.reading import Codes

_SWAPPED = {"max": "min", "min": "max"}


@dataclass(frozen=True)
class Range:
    """How far the script came in a matrix: its sites by columns, the first ``sites`` of them; None: not known."""

    locus: Locus
    site_rows: int
    site_cols: int
    sites: int | None

    @property
    def complete(self) -> bool:
        """Whether every site was run."""
        return self.sites == self.site_rows * self.site_cols


def located(log: pl.DataFrame, tile: int, swapped: bool) -> pl.DataFrame:
    """Return the log with layer, kind, row and col of every mutant, and the mutation that was written.

    Raises:
        MutascopeError: for a mutant between two sites, or of another matrix than the paper's models have.
    """
    off = log.filter((pl.col("loc1") % tile != 0) | (pl.col("loc2") % tile != 0))
    if len(off):
        line = off.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has a mutant at {line['loc1']},{line['loc2']}, which is no multiple of the step {tile} of"
            " the code files"
        )
    matrices = log.unique("matrix", keep="first").select("matrix", "file")
    rows = []
    for matrix, file in matrices.iter_rows():
        try:
            rows.append((matrix, *matrix_locus(matrix)))
        except MutascopeError as error:
            raise MutascopeError(f"{file}: {error}") from error
    places = pl.DataFrame(
        rows, schema={"matrix": pl.String, "layer": pl.Int16, "kind": pl.String}, orient="row"
    )
    mutation = pl.col("mutation").replace(_SWAPPED if swapped else {})
    return log.join(places, on="matrix", how="left", maintain_order="left").with_columns(
        mutation=mutation, row=pl.col("loc1") // tile, col=pl.col("loc2") // tile
    )


def ranges(
    log: pl.DataFrame,
    done: Iterable[str],
    finished: Mapping[tuple[int, str], tuple[int, int, Path]],
    shapes: Mapping[str, tuple[int, int]],
    tiling: Tiling,
) -> list[Range]:
    """Return how far the script came in every matrix that a file names, in the order of layers and kinds.

    Raises:
        MutascopeError: when nothing is named, a shape is unknown, or the files contradict each other.
    """
    complete = {matrix_locus(name) for name in done}
    names = {*complete, *finished, *log.select(*LOCUS_KEY).unique().iter_rows()}
    if not names:
        raise MutascopeError("the files hold no mutant: no matrix is done and nothing is logged")
    found = []
    for layer, kind in sorted(names, key=lambda name: (name[0], kind_rank(name[1]))):
        if kind not in shapes:
            raise MutascopeError(f"the shape of {layer}.{kind} is unknown: give the elements of kind {kind}")
        locus = Locus(layer, kind, *shapes[kind], parameter=matrix_name(layer, kind))
        site_rows, site_cols = tiling.grid(locus)
        sites = site_rows * site_cols if (layer, kind) in complete else None
        if (layer, kind) in finished:
            sites = _sites_until(finished[layer, kind], locus, tiling, complete=sites is not None)
        found.append(Range(locus, site_rows, site_cols, sites))
    return found


def _sites_until(last: tuple[int, int, Path], locus: Locus, tiling: Tiling, *, complete: bool) -> int:
    """The number of sites up to the last one that was run: the script goes through a matrix by columns."""
    loc1, loc2, file = last
    site_rows, site_cols = tiling.grid(locus)
    (row, off_row), (col, off_col) = divmod(loc1, tiling.tile), divmod(loc2, tiling.tile)
    if off_row or off_col or row >= site_rows or col >= site_cols:
        raise MutascopeError(f"{file} says that {loc1},{loc2} was run last, which is no site of {locus.name}")
    sites = col * site_rows + row + 1
    if complete and sites < site_rows * site_cols:
        raise MutascopeError(
            f"{file} says that {locus.name} was run up to {loc1},{loc2}, and a done file that it is complete: sites"
            " were passed over, or the files are of different runs"
        )
    return sites


def check_mutants(log: pl.DataFrame, found: Sequence[Range], mutations: Sequence[str]) -> None:
    """Raise MutascopeError for a mutant of another mutation, outside its matrix, or with two codes."""
    unknown = log.filter(~pl.col("mutation").is_in(list(mutations)))
    if len(unknown):
        line = unknown.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has a {line['mutation']} mutant, and the mutations are said to be {', '.join(mutations)}"
        )
    grids = [(each.locus.layer, each.locus.kind, each.site_rows, each.site_cols) for each in found]
    schema = {"layer": pl.Int16, "kind": pl.String, "site_rows": pl.Int64, "site_cols": pl.Int64}
    table = log.join(pl.DataFrame(grids, schema=schema, orient="row"), on=[*LOCUS_KEY])
    outside = table.filter((pl.col("row") >= pl.col("site_rows")) | (pl.col("col") >= pl.col("site_cols")))
    if len(outside):
        line = outside.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has a mutant at {line['loc1']},{line['loc2']}, which lies outside"
            f" {line['layer']}.{line['kind']}: give the shapes of the model that was screened"
        )
    twice = log.filter(pl.struct(*MUTANT_KEY).is_duplicated())
    if len(twice):
        line = twice.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has {line['mutation']} {line['matrix']}:{line['loc1']},{line['loc2']} twice with different"
            " codes"
        )


def with_entries(log: pl.DataFrame, codes: Codes) -> pl.DataFrame:
    """Return the log with ``entry``, the number of its text among the entries.

    Raises:
        MutascopeError: for a code without a text.
    """
    rows = ((matrix, code, number) for (matrix, code), number in codes.numbers.items())
    schema = {"matrix": pl.String, "code": pl.Int32, "entry": pl.Int64}
    numbered = pl.DataFrame(rows, schema=schema, orient="row")
    joined = log.join(numbered, on=["matrix", "code"], how="left", maintain_order="left")
    missing = joined.filter(pl.col("entry").is_null())
    if len(missing):
        line = missing.row(0, named=True)
        raise MutascopeError(
            f"{line['file']} has code {line['code']} of {line['matrix']}, for which the code files have no text"
        )
    return joined


def check_logged(log: pl.DataFrame, codes: Codes, found: Sequence[Range]) -> None:
    """Raise MutascopeError where a log of a complete matrix is missing: what it says would be taken for silent."""
    logged = set(log.select("matrix", "code").unique().iter_rows())
    complete = {(each.locus.layer, each.locus.kind) for each in found if each.complete}
    for layer, kind in sorted(complete - codes.loci):
        raise MutascopeError(
            f"a done file names {matrix_name(layer, kind)}, and no code file is of it: give all files of the experiment"
        )
    for matrix, code in codes.numbers:
        if matrix_locus(matrix) in complete and (matrix, code) not in logged:
            raise MutascopeError(
                f"no log has a mutant with code {code} of {matrix}, which is done: a log is missing or was cut, and its"
                " mutants would be taken for silent"
            )


def within(log: pl.DataFrame, found: Sequence[Range]) -> pl.DataFrame:
    """Return the logged mutants of the sites that are known to have been run."""
    told = [(each.locus.layer, each.locus.kind, each.site_rows, each.sites or 0) for each in found]
    schema = {"layer": pl.Int16, "kind": pl.String, "site_rows": pl.Int64, "sites": pl.Int64}
    table = pl.DataFrame(told, schema=schema, orient="row")
    place = pl.col("col") * pl.col("site_rows") + pl.col("row")
    joined = log.join(table, on=[*LOCUS_KEY], how="left", maintain_order="left")
    return joined.filter(place < pl.col("sites")).drop("site_rows", "sites")
