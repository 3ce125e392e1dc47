"""Reader and writer of a screen folder, local or any fsspec URL (docs/format.md is the specification)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest
from mutascope.core.schema import (
    BASELINE_SCHEMA,
    COMPARED,
    COVARIATE_SCHEMA,
    MUTANT_SCHEMA,
    PREDICTED,
    PREDICTION_SCHEMA,
    RECORD_SCHEMA,
)
from mutascope.store.files import DamagedError, Files, encoded
from mutascope.store.leases import Leases
from mutascope.store.parts import Parts
from mutascope.store.shards import (
    SCHEMAS,
    Shard,
    damaged,
    distinct_phenotypes,
    read_shard,
    read_shards,
    sharing,
)


class ScreenFolder:
    """Holds nothing but a path: cheap to make, safe to send to workers.

    Args:
        path: local folder or fsspec URL.

    Attributes:
        files: of the folder.
        parts: of units that are not finished.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = str(path)
        self.files = Files(self.path)
        self.parts = Parts(self.files)

    def __repr__(self) -> str:
        return f"ScreenFolder({self.path!r})"

    def exists(self) -> bool:
        """Whether the folder holds a screen."""
        return self.files.exists("manifest.json")

    def check_free(self) -> None:
        """Raise MutascopeError when a new screen cannot be written here, and none has been begun meanwhile.

        Writes nothing.
        """
        try:
            self.files.check_free()
        except MutascopeError:
            if not self.exists():
                raise

    def check_writable(self) -> None:
        """Raise MutascopeError when a local folder, or the one that it would be made in, is not writable."""
        self.files.check_writable()

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            MutascopeError: when there is none, it is damaged, or it is of a later format.
        """
        if not self.exists():
            raise MutascopeError(f"{self.path} is not a screen folder: it has no manifest.json")
        try:
            content = self.files.read("manifest.json")
        except OSError as error:
            raise MutascopeError(f"{self.path}/manifest.json cannot be read: {error.strerror}") from error
        return Manifest.parse(content, self.path)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, replacing an older one in one step."""
        self.files.write("manifest.json", manifest.to_json().encode())

    def begin(self, manifest: Manifest) -> bool:
        """Write the manifest of a new screen; return False where another process has begun one meanwhile.

        Raises:
            MutascopeError: when the folder holds something else, or cannot be written.
        """
        return self.files.create("manifest.json", manifest.to_json().encode())

    @contextmanager
    def changed_manifest(self) -> Iterator[Manifest]:
        """Hand out the manifest to be changed, and write it after the block; other processes wait meanwhile."""
        with self.alone("manifest"):
            manifest = self.manifest()
            yield manifest
            self.write_manifest(manifest)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Let one process at a time into a block of this name."""
        with Leases(self.files) as leases, leases.alone(name):
            yield

    # tables of the whole screen

    def write_mutants(self, mutants: pl.DataFrame) -> None:
        """Write the explicit list of mutants that the design consists of (columns: ``MUTANT_SCHEMA``)."""
        typed = mutants.select(pl.col(name).cast(kind) for name, kind in MUTANT_SCHEMA.items())
        self.files.write_table("mutants.parquet", typed)

    def mutants(self) -> pl.DataFrame:
        """Return the explicit list of mutants.

        Raises:
            MutascopeError: when it is missing or damaged.
        """
        try:
            return self.files.read_table("mutants.parquet", MUTANT_SCHEMA)
        except DamagedError as error:
            raise MutascopeError(f"{self.path}/mutants.parquet cannot be read ({error})") from error

    def has_mutants(self) -> bool:
        """Whether the explicit list of mutants is there."""
        return self.files.exists("mutants.parquet")

    def write_covariates(self, covariates: pl.DataFrame) -> None:
        """Write the covariates of the sites (columns: ``COVARIATE_SCHEMA``)."""
        self.files.write_table("covariates.parquet", covariates.select(list(COVARIATE_SCHEMA)))

    def has_covariates(self) -> bool:
        """Whether the covariates of the sites are there."""
        return self.files.exists("covariates.parquet")

    def covariates(self) -> pl.DataFrame:
        """Return a row per site of the design (columns: ``COVARIATE_SCHEMA``).

        Raises:
            MutascopeError: when the folder holds none, or they are damaged.
        """
        again = "run the same `mutascope screen` again, which computes them from the model"
        if not self.has_covariates():
            raise MutascopeError(f"{self.path} has no covariates.parquet: {again}")
        try:
            return self.files.read_table("covariates.parquet", COVARIATE_SCHEMA)
        except DamagedError as error:
            raise MutascopeError(
                f"{self.path}/covariates.parquet is damaged ({error}); delete it and {again}"
            ) from error

    def write_baselines(self, baselines: pl.DataFrame) -> None:
        """Write what predictions are compared with (columns: ``BASELINE_SCHEMA``)."""
        self.files.write_table("baselines.parquet", baselines.select(list(BASELINE_SCHEMA)))

    def baselines(self) -> pl.DataFrame | None:
        """Return a row per site of the predicted loci, None where none was written.

        Columns are those of ``BASELINE_SCHEMA``; files of earlier versions have ``COMPARED`` alone.

        Raises:
            MutascopeError: when they are damaged.
        """
        if not self.files.exists("baselines.parquet"):
            return None
        try:
            return self.files.read_table("baselines.parquet", COMPARED)
        except DamagedError as error:
            raise MutascopeError(
                f"{self.path}/baselines.parquet is damaged ({error}); delete it and run the same `mutascope predict`"
                " again"
            ) from error

    def predicted_loci(self) -> set[str]:
        """Return the names of the loci, ``15.down``, whose predictions are there."""
        return set(self.files.tables("predictions"))

    def is_predicted(self, locus: str) -> bool:
        """Whether the predictions of a locus are there."""
        return self.files.exists(f"predictions/{locus}.parquet")

    def write_predictions(self, locus: str, predictions: pl.DataFrame) -> None:
        """Write the predictions of a locus, a row per mutant (columns: ``PREDICTION_SCHEMA``)."""
        name = f"predictions/{locus}.parquet"
        content = encoded(predictions.select(list(PREDICTION_SCHEMA)))
        former = (self._checksums(locus) or [])[:1]  # of what stands there until it is replaced
        self._write_checksums(locus, [_checksum(name, content), *former])
        self.files.write(name, content)
        if former:
            self._write_checksums(locus, [_checksum(name, content)])

    def predictions(self, locus: str) -> pl.DataFrame:
        """Return the predictions of a locus, by row, column and mutation (columns: ``PREDICTION_SCHEMA``).

        Raises:
            MutascopeError: when they are missing or damaged.
        """
        name = f"predictions/{locus}.parquet"
        try:
            frame = self.files.read_table(name, PREDICTED)
        except DamagedError as error:
            raise MutascopeError(
                f"{self.path}/{name} cannot be read ({error}); delete it and run the same `mutascope predict` again"
            ) from error
        if "silence" not in frame.columns:  # written before it was predicted
            frame = frame.with_columns(silence=pl.lit(None, pl.Float32))
        return frame.select(list(PREDICTION_SCHEMA))

    # units

    def finished_units(self) -> set[str]:
        """Return the names of the units whose records are there."""
        return set(self.files.tables("records"))

    def is_finished(self, unit: str) -> bool:
        """Whether the records of a unit are there."""
        return self.files.exists(f"records/{unit}.parquet")

    def write_unit(self, unit: str, shard: Shard) -> None:
        """Write a unit: phenotypes and outputs first, so that the presence of its records says that it is done."""
        contents = {f"{kind}/{unit}.parquet": encoded(frame) for kind, frame in shard.tables()}
        self._write_checksums(unit, [_checksum(name, content) for name, content in contents.items()])
        for name, content in contents.items():
            self.files.write(name, content)
        self.parts.drop(unit)

    def wrong_checksums(self, of: str) -> list[str]:
        """Return the files of a unit or locus that are not what was written; none where no checksums are known.

        Raises:
            ValueError: when the checksums are damaged.
        """
        sums = self._checksums(of)
        if sums is None:
            return []
        if not sums:
            raise ValueError("there are no checksums in it")
        names = dict.fromkeys(name.rstrip("\n") for _, name in (line.split("  ", 1) for line in sums))
        return [name for name in names if _checksum(name, self.files.read(name)) not in sums]

    def _write_checksums(self, of: str, lines: list[str]) -> None:
        self.files.write(f"checksums/{of}.sha256", "".join(lines).encode())

    def _checksums(self, of: str) -> list[str] | None:
        try:
            return self.files.read(f"checksums/{of}.sha256").decode().splitlines(keepends=True)
        except FileNotFoundError:  # of an earlier version
            return None

    def records(self, units: Collection[str] | None = None) -> pl.DataFrame:
        """Return a row per mutant, in design order (columns: ``RECORD_SCHEMA``, then measures).

        Args:
            units: names of finished units, here and below; all of them by default.
        """
        return self._read("records", units)

    def outputs(self, units: Collection[str] | None = None) -> pl.DataFrame:
        """Return a row per (mutant, prompt); empty where the assay keeps no outputs (columns: ``OUTPUT_SCHEMA``)."""
        return self._read("outputs", units)

    def phenotypes(self, units: Collection[str] | None = None) -> pl.DataFrame:
        """Return every phenotype once (columns: ``PHENOTYPE_SCHEMA``; text and continuation null for non-finite)."""
        return distinct_phenotypes(read_shards(self.files, "phenotypes", self._chosen(units)))

    def count_records(self, units: Collection[str] | None = None) -> int:
        """Return the number of records, from the footers of the shards alone."""
        return sum(self._count(unit) for unit in self._chosen(units))

    def silent(self, units: Collection[str]) -> pl.Series:
        """Return whether the mutants of units are silent, in design order."""
        frames = list(read_shards(self.files, "records", units, ["silent"]))
        return pl.concat(frames)["silent"] if frames else pl.Series("silent", [], dtype=pl.Boolean)

    def check_units(self, units: Collection[str], sizes: Mapping[str, int]) -> pl.DataFrame:
        """Read finished units, raise MutascopeError for a damaged one, and return their records in design order.

        Args:
            units: names of finished units.
            sizes: expected number of records by unit.
        """
        found = [pl.DataFrame(schema=RECORD_SCHEMA)]
        for unit in sorted(units, key=lambda name: (len(name), name)):
            if unit not in sizes:
                raise MutascopeError(
                    f"{self.path}/records/{unit}.parquet does not belong to this screen: delete it"
                )
            records = read_shard(self.files, "records", unit)
            if len(records) != sizes[unit]:
                told = f"it has {len(records)} records instead of {sizes[unit]}"
                raise damaged(self.files, "records", unit, told)
            known = read_shard(self.files, "phenotypes", unit)["phenotype"]
            if not records["phenotype"].is_in(known.implode()).all():
                raise damaged(self.files, "records", unit, "the texts of its phenotypes are missing")
            found.append(records)
        return pl.concat(found, how="diagonal_relaxed")

    def _chosen(self, units: Collection[str] | None) -> Collection[str]:
        return self.finished_units() if units is None else units

    def _read(self, kind: str, units: Collection[str] | None) -> pl.DataFrame:
        frames = [sharing(frame) for frame in read_shards(self.files, kind, self._chosen(units))]
        if not frames:
            return pl.DataFrame(schema=SCHEMAS[kind])
        found = pl.concat(frames, how="diagonal_relaxed", rechunk=True)
        return found.drop("replayed", strict=False)  # of format version 1

    def _count(self, unit: str) -> int:
        try:
            return self.files.count_rows(f"records/{unit}.parquet")
        except DamagedError as error:
            raise damaged(self.files, "records", unit, str(error)) from error


def _checksum(name: str, content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n"
