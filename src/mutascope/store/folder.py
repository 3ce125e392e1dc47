"""Reader and writer of a screen folder, local or any fsspec URL (docs/format.md is the specification)."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest
from mutascope.core.schema import (
    COVARIATE_SCHEMA,
    FORMAT_VERSION,
    MUTANT_SCHEMA,
    OUTPUT_SCHEMA,
    PHENOTYPE_SCHEMA,
    PREDICTION_SCHEMA,
    RECORD_SCHEMA,
)

_READERS = 4
_AHEAD = 32
"""Shards that are read at a time, and before the first of them is handed on."""
_SCHEMAS = {"records": RECORD_SCHEMA, "outputs": OUTPUT_SCHEMA, "phenotypes": PHENOTYPE_SCHEMA}


class _DamagedError(Exception):
    """A Parquet file that is not as the format demands; says why."""


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


class ScreenFolder:
    """Holds nothing but a path: cheap to make, safe to send to workers.

    Args:
        path: local folder or fsspec URL.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        try:
            self._fs, self._root = fsspec.url_to_fs(self.path)
        except (ValueError, ImportError) as error:
            raise MutascopeError(f"{self.path} cannot be opened: {error}") from error

    def __repr__(self) -> str:
        return f"ScreenFolder({self.path!r})"

    # manifest

    def exists(self) -> bool:
        """Whether the folder holds a screen."""
        return self._fs.exists(self._join("manifest.json"))

    def check_free(self) -> None:
        """Raise MutascopeError when a new screen cannot be written here. Writes nothing."""
        if self._fs.exists(self._root):
            visible = [
                n for n in self._fs.ls(self._root, detail=False) if not os.path.basename(n).startswith(".")
            ]
            if visible or not self._fs.isdir(self._root):
                raise MutascopeError(f"{self.path} exists and is not a screen folder: choose another --out")
        self.check_writable()

    def check_writable(self) -> None:
        """Raise MutascopeError when a local folder, or the one that it would be made in, is not writable."""
        if not isinstance(self._fs, LocalFileSystem):
            return
        place = os.path.abspath(self._root)
        while not os.path.exists(place):
            place = os.path.dirname(place)
        if not os.path.isdir(place) or not os.access(place, os.W_OK | os.X_OK):
            raise MutascopeError(
                f"{self.path} is not writable: choose another --out, or change its permissions"
            )

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            MutascopeError: when there is none, it is damaged, or it is of a later format.
        """
        if not self.exists():
            raise MutascopeError(f"{self.path} is not a screen folder: it has no manifest.json")
        return Manifest.parse(self._fs.cat_file(self._join("manifest.json")), self.path)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, replacing an older one in one step."""
        self._put("manifest.json", manifest.to_json().encode())

    def write_mutants(self, mutants: pl.DataFrame) -> None:
        """Write the explicit list of mutants that the design consists of (columns: the coordinates of a record)."""
        typed = mutants.select(pl.col(name).cast(kind) for name, kind in MUTANT_SCHEMA.items())
        self._put("mutants.parquet", _parquet(typed))

    def mutants(self) -> pl.DataFrame:
        """Return the explicit list of mutants.

        Raises:
            MutascopeError: when it is missing or damaged.
        """
        try:
            return self._read_table("mutants.parquet", MUTANT_SCHEMA)
        except _DamagedError as error:
            raise MutascopeError(f"{self.path}/mutants.parquet cannot be read ({error})") from error

    def has_mutants(self) -> bool:
        """Whether the explicit list of mutants is there."""
        return self._fs.exists(self._join("mutants.parquet"))

    # covariates

    def write_covariates(self, covariates: pl.DataFrame) -> None:
        """Write the covariates of the sites (columns: ``COVARIATE_SCHEMA``)."""
        self._put("covariates.parquet", _parquet(covariates.select(list(COVARIATE_SCHEMA))))

    def has_covariates(self) -> bool:
        """Whether the covariates of the sites are there."""
        return self._fs.exists(self._join("covariates.parquet"))

    def covariates(self) -> pl.DataFrame:
        """Return a row per site of the design (columns: ``COVARIATE_SCHEMA``).

        Raises:
            MutascopeError: when the folder holds none, or they are damaged.
        """
        again = "run the same `mutascope screen` again, which computes them from the model"
        if not self.has_covariates():
            raise MutascopeError(f"{self.path} has no covariates.parquet: {again}")
        try:
            return self._read_table("covariates.parquet", COVARIATE_SCHEMA)
        except _DamagedError as error:
            raise MutascopeError(
                f"{self.path}/covariates.parquet is damaged ({error}); delete it and {again}"
            ) from error

    # predictions

    def predicted_loci(self) -> set[str]:
        """Return the names of the loci, ``15.down``, whose predictions are there."""
        return {os.path.basename(path).removesuffix(".parquet") for path in self._shards("predictions")}

    def write_predictions(self, locus: str, predictions: pl.DataFrame) -> None:
        """Write the predictions of a locus, a row per mutant (columns: ``PREDICTION_SCHEMA``)."""
        self._put(f"predictions/{locus}.parquet", _parquet(predictions.select(list(PREDICTION_SCHEMA))))

    def predictions(self, locus: str) -> pl.DataFrame:
        """Return the predictions of a locus, by row, column and mutation (columns: ``PREDICTION_SCHEMA``).

        Raises:
            MutascopeError: when they are missing or damaged.
        """
        name = f"predictions/{locus}.parquet"
        try:
            return self._read_table(name, PREDICTION_SCHEMA)
        except _DamagedError as error:
            raise MutascopeError(
                f"{self.path}/{name} cannot be read ({error}); delete it and run the same `mutascope predict` again"
            ) from error

    # units

    def finished_units(self) -> set[str]:
        """Return the names of the units whose records are there."""
        return {os.path.basename(path).removesuffix(".parquet") for path in self._shards("records")}

    def write_unit(self, unit: str, shard: Shard) -> None:
        """Write a unit: phenotypes and outputs first, so that the presence of its records says that it is done."""
        for kind, frame in shard.tables():
            self._put(f"{kind}/{unit}.parquet", _parquet(frame))
        self.drop_part(unit)

    def write_part(self, unit: str, shard: Shard) -> None:
        """Keep what is done of a unit that is not: the same run again goes on from there."""
        for kind, frame in shard.tables():
            self._put(f"partial/{kind}/{unit}.parquet", _parquet(frame))

    def part(self, unit: str) -> Shard | None:
        """Return what is done of a unit, None where nothing is, or it is damaged: then it is run again."""
        if not self._fs.exists(self._join(f"partial/records/{unit}.parquet")):
            return None
        try:
            found = {
                kind: self._read_table(f"partial/{kind}/{unit}.parquet", schema)
                for kind, schema in _SCHEMAS.items()
                if self._fs.exists(self._join(f"partial/{kind}/{unit}.parquet"))
            }
        except _DamagedError:
            return None
        texts = found["phenotypes"]["phenotype"] if "phenotypes" in found else pl.Series([], dtype=pl.String)
        complete = found["records"]["phenotype"].is_in(texts.implode()).all()
        return Shard(**found) if complete else None

    def drop_part(self, unit: str) -> None:
        """Forget what was done of a unit."""
        for kind in ("records", "outputs", "phenotypes"):
            path = self._join(f"partial/{kind}/{unit}.parquet")
            if self._fs.exists(path):
                self._fs.rm_file(path)

    def count_parts(self) -> int:
        """Return the number of mutants that are done of units that are not."""
        parts = [self.part(unit) for unit in self._parts() - self.finished_units()]
        return sum(len(part.records) for part in parts if part)

    def tidy_parts(self) -> None:
        """Forget what was kept of units that are done: an interrupt may have come between the two."""
        for unit in self._parts() & self.finished_units():
            self.drop_part(unit)

    def _parts(self) -> set[str]:
        kinds = [self._shards(f"partial/{kind}") for kind in _SCHEMAS]
        return {os.path.basename(path).removesuffix(".parquet") for paths in kinds for path in paths}

    def records(self) -> pl.DataFrame:
        """Return all records, a row per mutant, in design order (columns: ``RECORD_SCHEMA``, then measures)."""
        return self._read("records", RECORD_SCHEMA)

    def outputs(self) -> pl.DataFrame:
        """Return all outputs, a row per (mutant, prompt); empty for an assay of one prompt."""
        return self._read("outputs", OUTPUT_SCHEMA)

    def count_records(self) -> int:
        """Return the number of records, from the footers of the shards alone."""
        return sum(self._count(f"records/{unit}.parquet") for unit in self.finished_units())

    def phenotypes(self) -> pl.DataFrame:
        """Return every phenotype once: phenotype (content hash), text, continuation (null for non-finite).

        The same texts are in hundreds of shards: what is known already is dropped as soon as it is read.
        """
        known: set[str] = set()
        frames = [pl.DataFrame(schema=PHENOTYPE_SCHEMA)]
        for frame in self._frames("phenotypes"):
            fresh = pl.Series([phenotype not in known for phenotype in frame["phenotype"]], dtype=pl.Boolean)
            known.update(frame["phenotype"])
            frames.append(_own(frame.filter(fresh)))
        return pl.concat(frames, how="diagonal_relaxed", rechunk=True).unique(
            "phenotype", keep="first", maintain_order=True
        )

    def check_units(self, sizes: dict[str, int]) -> None:
        """Read every finished unit and raise MutascopeError for a damaged one.

        Args:
            sizes: expected number of records by unit.
        """
        for unit in sorted(self.finished_units()):
            if unit not in sizes:
                raise MutascopeError(
                    f"{self.path}/records/{unit}.parquet does not belong to this screen: delete it"
                )
            name = f"records/{unit}.parquet"
            records = self._read_shard(name)
            if len(records) != sizes[unit]:
                raise self._damaged(name, f"it has {len(records)} records instead of {sizes[unit]}")
            known = self._read_shard(f"phenotypes/{unit}.parquet")["phenotype"]
            if not records["phenotype"].is_in(known.implode()).all():
                raise self._damaged(name, "the texts of its phenotypes are missing")

    # files

    def _join(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _shards(self, kind: str) -> list[str]:
        folder = self._join(kind)
        if not self._fs.exists(folder):
            return []
        self._fs.invalidate_cache(folder)
        names = sorted(self._fs.ls(folder, detail=False), key=lambda name: (len(name), name))
        return [n for n in names if n.endswith(".parquet") and not os.path.basename(n).startswith(".")]

    def _read(self, kind: str, schema: dict[str, Any]) -> pl.DataFrame:
        frames = list(self._frames(kind))
        if not frames:
            return pl.DataFrame(schema=schema)
        found = pl.concat(frames, how="diagonal_relaxed", rechunk=True)
        return found.drop("replayed", strict=False)  # of format version 1

    def _frames(self, kind: str) -> Iterator[pl.DataFrame]:
        """Read the shards of the finished units in order, several at a time."""
        done = self.finished_units()
        names = [f"{kind}/{os.path.basename(path)}" for path in self._shards(kind)]
        names = [name for name in names if os.path.basename(name).removesuffix(".parquet") in done]
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(names), _AHEAD):
                yield from pool.map(self._read_shard, names[start : start + _AHEAD])

    def _read_shard(self, name: str) -> pl.DataFrame:
        try:
            return self._read_table(name, _SCHEMAS[name.partition("/")[0]])
        except _DamagedError as error:
            raise self._damaged(name, str(error)) from error

    def _count(self, name: str) -> int:
        try:
            with self._fs.open(self._join(name), "rb") as file:
                return pq.ParquetFile(file).metadata.num_rows
        except (OSError, pa.ArrowException) as error:
            raise self._damaged(name, str(error).partition("\n")[0]) from error

    def _read_table(self, name: str, schema: dict[str, Any]) -> pl.DataFrame:
        try:
            with self._fs.open(self._join(name), "rb") as file:
                table = pq.read_table(io.BytesIO(file.read()), page_checksum_verification=True)
            table.validate(full=True)
            bare = pa.table(dict(zip(table.column_names, table.columns, strict=True)))  # without metadata
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise _DamagedError(str(error).partition("\n")[0]) from error
        frame = pl.DataFrame(pl.from_arrow(bare))
        if {column: frame.schema.get(column) for column in schema} != schema:
            raise _DamagedError("its columns are not those of the format")
        return frame

    def _damaged(self, name: str, reason: str) -> MutascopeError:
        unit = os.path.basename(name).removesuffix(".parquet")
        return MutascopeError(
            f"{self.path}/{name} is damaged ({reason}); delete {self.path}/records/{unit}.parquet and run the same"
            f" `mutascope screen` again: it re-runs unit {unit} alone"
        )

    def _put(self, name: str, content: bytes) -> None:
        """Write a file in one step: a reader, or a crash, sees all of it or nothing."""
        target = self._join(name)
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(target, content)
            return
        folder = os.path.dirname(target)
        scratch = f"{folder}/.{os.path.basename(target)}.{uuid.uuid4().hex}"
        try:
            os.makedirs(folder, exist_ok=True)
            with open(scratch, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, target)
            _sync_folder(folder)
        except OSError as error:
            raise MutascopeError(f"{target} cannot be written: {error.strerror}") from error


def _own(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a copy that does not keep alive the texts of the frame that it was filtered from."""
    return pl.DataFrame(pl.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest())))


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    table = table.replace_schema_metadata({"mutascope.format_version": str(FORMAT_VERSION)})
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
