"""Verification of a folder: every shard present, readable and what it says it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from mutascope.assays.phenotype import PhenotypeReader, content_hash
from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import LocusInfo, Manifest
from mutascope.core.schema import COMPARED, COVARIATE_SCHEMA, MUTANT_KEY, MUTANT_SCHEMA, PREDICTED, SITE_KEY
from mutascope.run.controls import mismatches
from mutascope.run.screen import Screen
from mutascope.run.units import Units
from mutascope.store import ScreenFolder
from mutascope.store.files import DamagedError
from mutascope.store.integrity import planned, unit_of
from mutascope.store.reader import ScreenData
from mutascope.store.shards import SCHEMAS


@dataclass(frozen=True)
class Fault:
    """What is wrong with a unit, with the predictions of a locus, or with another file.

    Attributes:
        of: which.
        reason: what is wrong with it.
        files: to be deleted, in this order, so that it is made again.
    """

    of: str
    reason: str
    files: tuple[str, ...]

    @classmethod
    def in_unit(cls, unit: str, reason: str) -> Fault:
        """Return a fault of a unit; its records are deleted first."""
        tables = (f"{kind}/{unit}.parquet" for kind in SCHEMAS)
        return cls(f"unit {unit}", reason, (*tables, f"checksums/{unit}.sha256"))

    @classmethod
    def in_predictions(cls, locus: str, reason: str) -> Fault:
        """Return a fault of the predictions of a locus."""
        files = (f"predictions/{locus}.parquet", f"checksums/{locus}.sha256")
        return cls(f"predictions of {locus}", reason, files)

    def __str__(self) -> str:
        return f"{self.of}: {self.reason}"


def verify(folder: ScreenFolder) -> list[Fault]:
    """Return what is wrong with the units of a folder, and with its predictions, at most one fault of each.

    Raises:
        MutascopeError: when the manifest or the list of mutants is damaged.
    """
    manifest = folder.manifest()
    mutants = planned(folder, manifest)
    if mutants is None and manifest.imported is None:
        raise MutascopeError(
            f"{folder.path}/manifest.json is damaged: its design has not the mutants that it hashes"
        )
    if mutants is not None and not _is_as_long(mutants, manifest):
        raise MutascopeError(
            f"{folder.path}/manifest.json is damaged: its design has {len(mutants):,} mutants, not"
            f" {manifest.units.mutants:,}"
        )
    sizes = Units(manifest.units.mutants, manifest.units.size).sizes()
    finished = folder.finished_units()
    wanted = sizes.keys() if manifest.vouched or manifest.imported else finished & sizes.keys()
    faults = [
        Fault.in_unit(unit, "does not belong to this screen") for unit in sorted(finished - sizes.keys())
    ]
    for unit in sorted(wanted, key=int):
        expected = None if mutants is None else unit_of(mutants, unit, manifest.units.size)
        faults += [
            Fault.in_unit(unit, reason) for reason in _reasons(folder, manifest, unit, sizes[unit], expected)
        ][:1]
    return faults + _of_predictions(folder, manifest) + _of_site_tables(folder, mutants)


def _of_site_tables(folder: ScreenFolder, mutants: pl.DataFrame | None) -> list[Fault]:
    """Return what is wrong with the covariates and the baselines, which may be missing."""
    covariates, faults = _readable(folder, "covariates.parquet", COVARIATE_SCHEMA)
    _, others = _readable(folder, "baselines.parquet", COMPARED)
    if covariates is not None and mutants is not None and not _of_same_sites(covariates, mutants):
        faults.append(
            Fault("covariates.parquet", "is not of the sites of the design", ("covariates.parquet",))
        )
    return faults + others


def _readable(
    folder: ScreenFolder, name: str, schema: Mapping[str, Any]
) -> tuple[pl.DataFrame | None, list[Fault]]:
    """Return a table where it is there and readable, and else what is wrong with it."""
    try:
        return (folder.files.read_table(name, schema) if folder.files.exists(name) else None), []
    except DamagedError as error:
        return None, [Fault(name, f"is damaged ({error})", (name,))]


def _of_same_sites(table: pl.DataFrame, mutants: pl.DataFrame) -> bool:
    one, other = (frame.select(SITE_KEY).unique().sort(SITE_KEY) for frame in (table, mutants))
    return one.equals(other)


def _is_as_long(mutants: pl.DataFrame, manifest: Manifest) -> bool:
    """Whether a design has the mutants that the manifest tells; a list that grows is written before the manifest."""
    if manifest.design.type == "adaptive":
        return len(mutants) >= manifest.units.mutants
    return len(mutants) == manifest.units.mutants


def _of_predictions(folder: ScreenFolder, manifest: Manifest) -> list[Fault]:
    """Return what is wrong with the predictions of loci."""
    present, loci = folder.predicted_loci(), {locus.name: locus for locus in manifest.loci}
    all_are = manifest.design.type == "adaptive" and manifest.controls is not None
    faults = [
        Fault.in_predictions(name, "do not belong to this screen") for name in sorted(present - loci.keys())
    ]
    for name, locus in loci.items():
        if name not in present:
            faults += [Fault.in_predictions(name, "are missing")] * all_are
            continue
        try:
            found = folder.files.read_table(f"predictions/{name}.parquet", PREDICTED)
        except DamagedError as error:
            faults.append(Fault.in_predictions(name, f"are damaged ({error})"))
            continue
        if manifest.predictions and not _is_all_of(locus, manifest.predictions.mutations, found):
            faults.append(Fault.in_predictions(name, "are not of the mutants of the locus"))
        elif wrong := _wrong_checksum(folder, name):
            faults.append(Fault.in_predictions(name, f"are not what was written ({wrong})"))
    return faults


def _is_all_of(locus: LocusInfo, mutations: Sequence[str], found: pl.DataFrame) -> bool:
    """Whether a table is of every mutant of a locus, by row, column and mutation."""
    if len(found) != locus.site_rows * locus.site_cols * len(mutations):
        return False
    mutants = pl.DataFrame({"layer": [locus.layer], "kind": [locus.kind]})
    for values in (
        {"row": range(locus.site_rows)},
        {"col": range(locus.site_cols)},
        {"mutation": mutations},
    ):
        mutants = mutants.join(pl.DataFrame(values), how="cross", maintain_order="left_right")
    typed = [pl.col(name).cast(MUTANT_SCHEMA[name], strict=False) for name in MUTANT_KEY]
    return found.select(MUTANT_KEY).equals(mutants.select(typed))


def repair(folder: ScreenFolder, faults: list[Fault]) -> None:
    """Delete what is named, so that it is made again.

    Raises:
        MutascopeError: when it cannot be deleted.
    """
    for fault in faults:
        for name in fault.files:
            folder.files.remove(name)


def replay(data: ScreenData, calls: int, **loading: Any) -> list[str]:
    """Run some calls of a folder again on the reference engine, and return those that come out otherwise.

    Args:
        data: the folder.
        calls: how many, drawn with a fixed seed; all where there are fewer.
        loading: as for :meth:`~mutascope.run.screen.Screen.reopen`.

    Raises:
        MutascopeError: when the folder was made with other numerics, or its model is not at hand.
    """
    screen = Screen.reopen(data, **loading)
    screen.check_numerics(data.manifest)
    session = screen.reference.prepare(screen.resolved.prompts, screen.resolved.readout)
    reader = PhenotypeReader(screen.model, screen.resolved, session.wild_type)
    stored = data.outputs() if data.manifest.keeps_outputs else data.records()
    chosen = np.random.default_rng(0).choice(len(stored), min(calls, len(stored)), replace=False)
    return mismatches(screen.reference, reader, stored[np.sort(chosen)])


def _reasons(
    folder: ScreenFolder, manifest: Manifest, unit: str, size: int, mutants: pl.DataFrame | None
) -> Iterator[str]:
    """Yield what is wrong with a unit, what explains most first."""
    tables: dict[str, pl.DataFrame] = {}
    for kind in ("records", "phenotypes", "outputs") if manifest.keeps_outputs else ("records", "phenotypes"):
        try:
            tables[kind] = folder.files.read_table(f"{kind}/{unit}.parquet", SCHEMAS[kind])
        except DamagedError as error:
            yield f"{kind}/{unit}.parquet is missing or damaged ({error})"
            return
    if wrong := _wrong_checksum(folder, unit):
        yield wrong
    records, phenotypes, outputs = tables["records"], tables["phenotypes"], tables.get("outputs")
    if len(records) != size:
        yield f"it has {len(records)} records instead of {size}"
    elif mutants is not None and not records.select(list(MUTANT_SCHEMA)).equals(mutants):
        yield "its mutants are not those of the design"
    if outputs is not None and not _crossed(records, outputs, len(manifest.prompts)):
        yield "its outputs are not one per mutant and prompt"
    texts = phenotypes["phenotype"]
    if not all(
        content_hash(text) == known for known, text in phenotypes.select("phenotype", "text").iter_rows()
    ):
        yield "a text does not match its hash"
    if not _silence_is_told(manifest, records, outputs):
        yield "its silent mutants are not those that say what the wild type says"
    for frame in (records, outputs):
        if frame is not None and not frame["phenotype"].is_in(texts.implode()).all():
            yield "the text of a phenotype is missing"


def _wrong_checksum(folder: ScreenFolder, of: str) -> str | None:
    """Return what is wrong with the checksums of a unit or locus."""
    try:
        wrong = folder.wrong_checksums(of)
    except (OSError, ValueError):
        return f"checksums/{of}.sha256 is damaged"
    return f"the checksum of {wrong[0]} is wrong" if wrong else None


def _silence_is_told(manifest: Manifest, records: pl.DataFrame, outputs: pl.DataFrame | None) -> bool:
    """Whether the silent mutants are those whose every output is the wild type's, as far as outputs are known."""
    wild = pl.Series([output.phenotype for output in manifest.wild_type], dtype=pl.String)
    if manifest.numerics is None or (outputs is None and len(wild) != 1):
        return True
    if outputs is None:
        return records["silent"].equals(records["phenotype"] == wild[0])
    if len(outputs) != len(records) * len(wild) or not outputs["prompt"].is_between(0, len(wild) - 1).all():
        return False
    same = (outputs["phenotype"] == wild.gather(outputs["prompt"])).to_numpy().reshape(-1, len(wild))
    return bool((records["silent"].to_numpy() == same.all(axis=1)).all())


def _crossed(records: pl.DataFrame, outputs: pl.DataFrame, prompts: int) -> bool:
    """Whether the outputs are those of every mutant, in order, on every prompt, in order."""
    keys = list(MUTANT_SCHEMA)
    order = pl.DataFrame({"prompt": pl.Series(range(prompts), dtype=pl.Int32)})
    return outputs.select(*keys, "prompt").equals(records.select(keys).join(order, how="cross"))
