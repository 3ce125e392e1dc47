"""What the records of a folder must be, by its manifest alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import polars as pl

from mutascope.core.design import Design
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Genome, Locus, Tiling
from mutascope.core.manifest import DesignInfo, Manifest
from mutascope.core.schema import MUTANT_SCHEMA
from mutascope.store.folder import ScreenFolder
from mutascope.store.shards import damaged


def planned(folder: ScreenFolder, manifest: Manifest) -> pl.DataFrame | None:
    """Return the mutants of the design in order (columns: ``MUTANT_SCHEMA``).

    None where the manifest does not say which: of an imported screen, or where its design is not what it hashes.

    Raises:
        MutascopeError: when the list of mutants cannot be read, or there is no such design.
    """
    if manifest.imported is not None:
        return None
    if manifest.design.type in ("list", "adaptive"):
        if folder.has_mutants():
            return folder.mutants().select(list(MUTANT_SCHEMA))
        return None if manifest.units.mutants else pl.DataFrame(schema=MUTANT_SCHEMA)
    design, tiling = manifest.design, Tiling(manifest.tile)
    loci = tuple(Locus(each.layer, each.kind, each.rows, each.cols, "") for each in manifest.loci)
    told = [(each.site_rows, each.site_cols) for each in manifest.loci]
    try:
        if [tiling.grid(locus) for locus in loci] != told:  # before all of them are enumerated
            raise ValueError("another grid of sites")
        plan = _region(design).plan(Genome(loci, 0), tiling)
        return plan.frame() if plan.digest == design.sha256 else None
    except (ValueError, OverflowError, MemoryError) as error:
        raise MutascopeError(f"{folder.path}/manifest.json is damaged: there is no such design") from error


def _region(design: DesignInfo) -> Design:
    return Design(
        rows=None if design.rows is None else tuple(design.rows),
        cols=None if design.cols is None else tuple(design.cols),
        mutations=tuple(design.mutations),
        sample=design.sample,
        sample_seed=design.sample_seed or 0,
    )


def unit_of(mutants: pl.DataFrame, unit: str, size: int) -> pl.DataFrame:
    """Return the mutants of one unit."""
    return mutants.slice(int(unit) * size, size)


def check_presence(folder: ScreenFolder, manifest: Manifest, units: Iterable[str]) -> None:
    """Raise MutascopeError where a finished unit lacks one of its files."""
    for kind in ("phenotypes", "outputs") if manifest.keeps_outputs else ("phenotypes",):
        present = set(folder.files.tables(kind))
        for unit in sorted(set(units) - present):
            raise damaged(folder.files, kind, unit, "it is missing")


def check_coordinates(
    folder: ScreenFolder, manifest: Manifest, units: Collection[str], records: pl.DataFrame
) -> None:
    """Raise MutascopeError where the records of units are not of the mutants that the design has there."""
    mutants = planned(folder, manifest)
    if mutants is None:
        return
    start, size = 0, manifest.units.size
    for unit in units:
        if not unit.isdecimal() or unit_of(mutants, unit, size).is_empty():
            raise damaged(folder.files, "records", unit, "it does not belong to this screen")
    for unit in sorted(units, key=int):
        expected = unit_of(mutants, unit, size)
        if not records.slice(start, len(expected)).select(list(MUTANT_SCHEMA)).equals(expected):
            raise damaged(folder.files, "records", unit, "its mutants are not those of the unit")
        start += len(expected)
    if start != len(records):
        raise damaged(folder.files, "records", max(units, key=int), "it has more records than mutants")
