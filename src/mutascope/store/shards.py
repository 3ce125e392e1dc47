"""Shards: the results of a unit, in a file per table (docs/format.md, section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.core.schema import OUTPUT_SCHEMA, PHENOTYPE_SCHEMA, RECORD_SCHEMA
from mutascope.store.files import DamagedError, Files

SCHEMAS = {"records": RECORD_SCHEMA, "outputs": OUTPUT_SCHEMA, "phenotypes": PHENOTYPE_SCHEMA}
_READERS = 4
_AHEAD = 32
"""Shards that are read at a time, and before the first of them is handed on."""


@dataclass(frozen=True)
class Shard:
    """The results of one unit: ``records`` and ``phenotypes`` always, ``outputs`` where an assay needs them."""

    records: pl.DataFrame
    phenotypes: pl.DataFrame
    outputs: pl.DataFrame | None = None

    def tables(self) -> list[tuple[str, pl.DataFrame]]:
        """Return the tables by kind, the records last: their presence says that the others are there."""
        some = [("phenotypes", self.phenotypes), ("outputs", self.outputs), ("records", self.records)]
        return [(kind, frame) for kind, frame in some if frame is not None]


def read_shard(files: Files, kind: str, unit: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return one table of a unit, or some of its columns.

    Raises:
        MutascopeError: when it is missing or damaged.
    """
    try:
        return files.read_table(f"{kind}/{unit}.parquet", SCHEMAS[kind], columns)
    except DamagedError as error:
        raise damaged(files, kind, unit, str(error)) from error


def read_shards(
    files: Files, kind: str, units: Iterable[str], columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """Read the tables of one kind that units have, or some of their columns, in order of the units, several at a time.

    Raises:
        MutascopeError: when one is damaged.
    """
    chosen = set(units)
    names = [name for name in files.tables(kind) if name in chosen]
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(names), _AHEAD):
            yield from pool.map(
                lambda unit: read_shard(files, kind, unit, columns), names[start : start + _AHEAD]
            )


def distinct_phenotypes(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return every phenotype once.

    The same texts are in hundreds of shards: what is known already is dropped as soon as it is read.
    """
    known: set[str] = set()
    kept = [pl.DataFrame(schema=PHENOTYPE_SCHEMA)]
    for frame in frames:
        fresh = pl.Series([phenotype not in known for phenotype in frame["phenotype"]], dtype=pl.Boolean)
        known.update(frame["phenotype"])
        kept.append(_own(frame.filter(fresh)))
    stacked = pl.concat(kept, how="diagonal_relaxed", rechunk=True)
    return stacked.unique("phenotype", keep="first", maintain_order=True)


def sharing(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame in which equal phenotypes are one string in memory: millions of mutants have few of them."""
    encoded = frame["phenotype"].to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    told = pl.Series("phenotype", encoded.dictionary).gather(pl.Series(encoded.indices))
    return frame.with_columns(told)


def damaged(files: Files, kind: str, unit: str, reason: str) -> MutascopeError:
    """Return the error of a damaged shard, which says how to repair it."""
    return MutascopeError(
        f"{files.path}/{kind}/{unit}.parquet is damaged ({reason}); delete {files.path}/records/{unit}.parquet and run"
        f" the same `mutascope screen` again: it re-runs unit {unit} alone"
    )


def _own(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a copy that does not keep alive the texts of the frame that it was filtered from."""
    return pl.DataFrame(pl.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest())))
