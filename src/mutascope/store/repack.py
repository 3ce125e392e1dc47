"""Units of screens, written into another folder: in larger units, or those of several parts of a screen together."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.core.identity import check_same_screen
from mutascope.core.manifest import MOST, Manifest, Predictions, UnitsInfo
from mutascope.store.folder import ScreenFolder
from mutascope.store.shards import Shard

LARGE = 20_000
"""Mutants of a unit that is large enough."""
_OF_A_RUN = ("created", "libraries", "platform", "controls", "predictions", "units")
"""Keys of a manifest that are not the same in all parts of a screen."""
_WHOLE = ("mutants.parquet", "covariates.parquet", "baselines.parquet")
"""Tables that are not in units."""


def compact(source: ScreenFolder, target: ScreenFolder, size: int | None = None) -> None:
    """Write a screen into another folder in larger units; the folder that is read stays as it is.

    Args:
        source: the screen; what it has of units that are not whole in the other one is kept in ``partial/``.
        target: new, or one that this has begun.
        size: mutants of a unit, a multiple of what it was; by default about 20,000.

    Raises:
        MutascopeError: for another size, for a screen that may grow, and when the target holds something else.
    """
    manifest = source.manifest()
    old = manifest.units.size
    size = size or old * max(1, LARGE // old)
    if size < old or size % old or size > MOST:
        raise MutascopeError(
            f"--size must be a multiple of {old}, the mutants of a unit of {source.path}, not {size}"
        )
    if manifest.design.type == "adaptive":
        raise MutascopeError(
            f"{source.path} is a prediction, whose exact calls may grow: it stays in its units"
        )
    _gather([source], target, manifest, size)
    controls = source.manifest().controls
    if controls is not None and target.manifest().controls != controls:
        with target.changed_manifest() as written:
            written.controls = controls


def merge(parts: Sequence[ScreenFolder], target: ScreenFolder) -> int:
    """Write the units of parts of one screen into a folder, and return how many are missing in all of them.

    Args:
        parts: folders of the same spec, in units of the same size.
        target: new, or one that this has begun.

    Raises:
        MutascopeError: when they are of other screens, or two of them have other records of a unit, other predictions
            of a locus, or other mutants to be run.
    """
    first, *others = [part.manifest() for part in parts]
    for part, manifest in zip(parts[1:], others, strict=True):
        _check_same(manifest, first, part.path)
        if manifest.units.size != first.units.size:
            raise MutascopeError(
                f"{part.path} is in units of {manifest.units.size} mutants and {parts[0].path} of {first.units.size}:"
                " parts must be cut alike"
            )
    _check_tables(parts)
    _gather(parts, target, first.model_copy(update={"predictions": _predicted(parts)}), first.units.size)
    return -(-first.units.mutants // first.units.size) - len(target.finished_units())


def _gather(sources: Sequence[ScreenFolder], target: ScreenFolder, manifest: Manifest, size: int) -> None:
    """Write every unit that the target lacks and the sources have, and a manifest, but for its units and controls."""
    _begin(target, manifest, size)
    _copy_tables(sources, target)
    holders = _holders(sources)
    for name, inside in _groups(manifest.units, size).items():
        present = [(unit, holders[unit]) for unit in inside if unit in holders]
        if target.is_finished(name) or not present:
            continue
        joined = _joined(present, manifest.keeps_outputs)
        if len(present) == len(inside):
            target.write_unit(name, joined)
        else:
            target.parts.write(name, joined)


def _holders(sources: Sequence[ScreenFolder]) -> dict[str, ScreenFolder]:
    """Return where each unit is.

    Raises:
        MutascopeError: when two folders have other records of it.
    """
    found: dict[str, ScreenFolder] = {}
    for source in sources:
        for unit in sorted(source.finished_units(), key=int):
            first = found.setdefault(unit, source)
            if first is not source and not first.records([unit]).equals(source.records([unit])):
                raise MutascopeError(
                    f"unit {unit} of {source.path} has other records than that of {first.path}: run mutascope verify"
                    " --replay on both"
                )
    return found


def _groups(units: UnitsInfo, size: int) -> dict[str, list[str]]:
    """Return which units, by name, a unit of another size consists of."""
    names = [f"{number:06d}" for number in range(-(-units.mutants // units.size))]
    per = size // units.size
    return {f"{start // per:06d}": names[start : start + per] for start in range(0, len(names), per)}


def _begin(target: ScreenFolder, manifest: Manifest, size: int) -> None:
    units = manifest.units.model_copy(update={"size": size})
    wanted = manifest.model_copy(update={"units": units, "controls": None})
    if not target.exists():
        target.check_free()
    if not target.exists() and target.begin(wanted):
        return
    there = target.manifest()
    _check_same(there, manifest, target.path)
    if there.units != units:
        raise MutascopeError(f"{target.path} is in units of {there.units.size} mutants: choose another --out")


def _check_same(manifest: Manifest, other: Manifest, path: str) -> None:
    description = {key: value for key, value in other.to_dict().items() if key not in _OF_A_RUN}
    check_same_screen(manifest, description, path)
    if manifest.units.mutants != other.units.mutants:
        raise MutascopeError(
            f"{path} is of {manifest.units.mutants:,} mutants, not of {other.units.mutants:,}"
        )


def _copy_tables(sources: Sequence[ScreenFolder], target: ScreenFolder) -> None:
    """Copy what is not in units: the list of mutants, covariates, predictions.

    Probabilities are those of the calls that a source knows, and stay with it where there are several.
    """
    for source in sources:
        for name in _WHOLE:
            if source.files.exists(name) and not target.files.exists(name):
                target.files.write(name, source.files.read(name))
        for locus in sorted(source.predicted_loci() - target.predicted_loci()):
            found = source.predictions(locus)
            unknown = {} if len(sources) == 1 else {"probability": pl.lit(None, pl.Float32)}
            target.write_predictions(locus, found.with_columns(**unknown))


def _check_tables(parts: Sequence[ScreenFolder]) -> None:
    """Raise MutascopeError when two parts list other mutants, or predict a locus otherwise.

    Probabilities depend on the calls that were known, and are found again when the whole is calibrated.
    """
    lists = [(part, part.mutants()) for part in parts if part.has_mutants()]
    for part, mutants in lists[1:]:
        if not mutants.equals(lists[0][1]):
            raise MutascopeError(f"{part.path} lists other mutants to be run than {lists[0][0].path}")
    told: dict[str, ScreenFolder] = {}
    for part in parts:
        for locus in sorted(part.predicted_loci()):
            first = told.setdefault(locus, part)
            mine, other = (folder.predictions(locus).drop("probability") for folder in (part, first))
            if not mine.equals(other):
                raise MutascopeError(f"{part.path} predicts other calls of {locus} than {first.path}")


def _predicted(parts: Sequence[ScreenFolder]) -> Predictions | None:
    """Return what the manifest of the whole says of predictions, which are calibrated when it is finished.

    Raises:
        MutascopeError: when two parts predict other mutations.
    """
    told = [(part, found) for part in parts if (found := part.manifest().predictions)]
    for part, found in told[1:]:
        if found.mutations != told[0][1].mutations:
            raise MutascopeError(f"{part.path} predicts other mutations than {told[0][0].path}")
    return told[0][1].model_copy(update={"calibration": None, "seconds": None}) if told else None


def _joined(units: Sequence[tuple[str, ScreenFolder]], with_outputs: bool) -> Shard:
    """Return the tables of consecutive units as those of one."""
    outputs = pl.concat([folder.outputs([unit]) for unit, folder in units]) if with_outputs else None
    texts = pl.concat([folder.phenotypes([unit]) for unit, folder in units], how="diagonal_relaxed")
    return Shard(
        pl.concat([folder.records([unit]) for unit, folder in units], how="diagonal_relaxed"),
        texts.unique("phenotype", keep="first", maintain_order=True),
        outputs,
    )
