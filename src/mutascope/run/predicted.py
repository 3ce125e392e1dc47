"""A predicted atlas: every mutant of a region predicted, some of them run, the exact calls where they change most.

1. Every locus is predicted (:mod:`mutascope.predict`) and stored as soon as it is.
2. A random sample of sites is run exactly and calibrates the predictions.
3. Where a target is set, the mutants with the most uncertain calls are run exactly, in rounds with a calibration
   after each, until the expected share of wrong calls is below the target, or the time is up.

All of it is resumable: a finished locus is not predicted again, a finished unit is not run again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mutascope.analysis.calibration import calibrated, fit_calibration
from mutascope.assays import ChoiceAssay, TextAssay
from mutascope.core.design import MUTANT_COLUMNS, Design, Plan
from mutascope.core.errors import MutascopeError
from mutascope.core.identity import check_same_screen
from mutascope.core.manifest import Calibration, Controls, Manifest, Predictions, describe_loci
from mutascope.model.loading import Model
from mutascope.predict.predictor import Predictor
from mutascope.run.description import describe_screen, new_manifest
from mutascope.run.executors.local import Units, run_units
from mutascope.run.progress import PredictionProgress, ScreenProgress
from mutascope.run.screen import Screen
from mutascope.store import ScreenFolder
from mutascope.store.reader import Results

ADAPTIVE = "adaptive"
SITES_PER_LOCUS = 2
_UNIT = 64
"""Mutants of a unit at most: what an interruption may cost."""
_ROUND = 0.5
"""Share of the mutants that are still to be run that a round runs: the next one chooses with a better calibration."""


@dataclass(frozen=True)
class _Target:
    """When to stop running mutants: at an expected share of wrong calls, or at a time (monotonic, seconds)."""

    error: float | None
    deadline: float | None

    @property
    def set(self) -> bool:
        """Whether there is one."""
        return self.error is not None or self.deadline is not None


@dataclass(frozen=True)
class _Risks:
    """Risk and kind (its place among the kinds) of every mutant of the population."""

    risk: np.ndarray
    kind: np.ndarray


class Atlas:
    """Predictions of a region, calibrated by exact calls.

    Args:
        model, assay, tile, engine, batch, dtype: as in :class:`~mutascope.run.screen.Screen`.
        design: layers, kinds, mutations; ``sample`` is the number of sites run exactly, by default two per locus, and 0
            runs none.
        rivals: targets per generated token (:class:`~mutascope.predict.predictor.Predictor`).

    Raises:
        MutascopeError: for an unknown model, assay or engine, and for a design of rows, columns or listed mutants.
    """

    def __init__(
        self,
        model: str | Model,
        assay: str | TextAssay | ChoiceAssay,
        design: Design | None = None,
        *,
        tile: int | str = "auto",
        engine: str = "fast",
        batch: int | None = None,
        dtype: str = "float32",
        sample: int | None = None,
        rivals: float | None = None,
    ) -> None:
        design = design or Design()
        if design.rows or design.cols or design.mutants or design.sample:
            raise MutascopeError(
                "a prediction is of whole loci: choose layers and kinds, not rows, columns or a list"
            )
        self.screen = Screen(model, assay, design, tile=tile, engine=engine, batch=batch, dtype=dtype)
        self.population: Plan = self.screen.plan
        self.sample = SITES_PER_LOCUS * len(self.population.loci) if sample is None else sample
        self.rivals = rivals
        shape = [
            (*self.screen.tiling.grid(locus), len(self.population.mutations))
            for locus in self.population.loci
        ]
        self._sizes = np.array(shape, dtype=np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(self._sizes.prod(axis=1))])

    def run(
        self,
        out: str | Path,
        *,
        error: float | None = None,
        budget: float | None = None,
        quiet: bool = False,
    ) -> Results:
        """Predict into a folder, new or not; go on where an earlier run stopped.

        The folder of a screen of the same model, assay and tile gets predictions, calibrated by its own records.

        Args:
            out: local folder or fsspec URL.
            error: expected share of wrong calls at which to stop running mutants.
            budget: seconds after which to stop running mutants.
            quiet: no progress on standard error.

        Raises:
            MutascopeError: when the folder is another screen's, or not adaptive and a target is set.
        """
        folder = ScreenFolder(out)
        target = _Target(error, None if budget is None else time.monotonic() + budget)
        if target.set and not self.sample:
            raise MutascopeError(
                "a target needs exact calls to calibrate with: give a --sample of at least one site"
            )
        manifest = self._open(folder)
        adaptive = manifest.design.type == ADAPTIVE
        if not adaptive and target.set:
            raise MutascopeError(
                f"{folder.path} is a screen with a design of its own, to which nothing is added: choose another --out"
            )
        folder.check_writable()
        self._predict(folder, manifest, quiet=quiet)
        risks = self._risks(folder)
        if adaptive:
            self._run_sample(folder, manifest, quiet=quiet)
            while target.set and self._run_round(folder, manifest, risks, target, quiet=quiet):
                pass
            self._close(folder, manifest)
        self._store_probabilities(folder, manifest, risks)
        return Results(folder)

    # folder

    def _open(self, folder: ScreenFolder) -> Manifest:
        screen, plan = self.screen, self.population
        screen.ask_what_was_asked(folder)
        identity = describe_screen(
            screen.model, screen.resolved, screen.design, plan, screen.tiling, screen.engine_name
        )
        drawn = {"sample": self.sample, "sample_seed": screen.design.sample_seed}
        identity["design"] = {**identity["design"], "type": ADAPTIVE, **drawn}
        if folder.exists():
            manifest = folder.manifest()
            if manifest.design.type != ADAPTIVE:
                for own in ("design", "engine"):
                    identity.pop(own)
                identity["measure"] = manifest.measure
            check_same_screen(manifest, identity, folder.path)
            self._check_region(folder, manifest)
            return manifest
        folder.check_free()
        codes = self._drawn()
        manifest = new_manifest(
            identity,
            screen.described_numerics,
            plan,
            screen.tiling,
            screen.reader,
            _unit_size(len(codes), len(plan.mutations)),
        )
        manifest.loci = describe_loci(self._listed(codes), screen.tiling)
        manifest.units.mutants = 0
        folder.write_manifest(manifest)
        return manifest

    def _check_region(self, folder: ScreenFolder, manifest: Manifest) -> None:
        """Raise MutascopeError for loci that the screen does not have, and for other mutations than were predicted."""
        known = {locus.name for locus in manifest.loci}
        other = [locus.name for locus in self.population.loci if locus.name not in known]
        if manifest.design.type != ADAPTIVE and other:
            raise MutascopeError(
                f"{folder.path} is a screen without {other[0]}: choose --layers and --kinds that it has"
                " (mutascope status lists them), or another --out"
            )
        before = manifest.predictions and manifest.predictions.mutations
        if before is not None and before != list(self.population.mutations):
            raise MutascopeError(
                f"{folder.path} holds predictions of {', '.join(before)}: give --mutations {','.join(before)},"
                " or another --out"
            )

    def _listed(self, codes: np.ndarray) -> Plan:
        return Plan(self.population.loci, self.population.mutations, codes, self.population.population)

    def _drawn(self) -> np.ndarray:
        """Codes of the random sample, none of it for a sample of 0 sites."""
        if not self.sample:
            return self.population.codes[:0]
        design = self.screen.design.model_copy(update={"sample": self.sample})
        return design.plan(self.screen.model.genome, self.screen.tiling).codes

    def _codes(self, frame: pl.DataFrame) -> np.ndarray:
        """Codes of listed mutants."""
        loci = {(locus.layer, locus.kind): at for at, locus in enumerate(self.population.loci)}
        mutations = {name: at for at, name in enumerate(self.population.mutations)}
        codes = [
            (loci[layer, kind], row, col, mutations[mutation])
            for layer, kind, row, col, mutation in frame.select(MUTANT_COLUMNS).iter_rows()
        ]
        return np.array(codes, dtype=np.int32).reshape(-1, 4)

    def _index(self, codes: np.ndarray) -> np.ndarray:
        """Place of mutants in the population."""
        locus, row, col, mutation = codes.astype(np.int64).T
        _, cols, mutations = self._sizes[locus].T
        return self._offsets[locus] + (row * cols + col) * mutations + mutation

    # predictions

    def _predict(self, folder: ScreenFolder, manifest: Manifest, *, quiet: bool) -> None:
        """Predict the loci that are not there yet."""
        names = [locus.name for locus in self.population.loci]
        missing: Collection[str] = set(names) - folder.predicted_loci()
        if not missing:
            return
        screen, started = self.screen, time.monotonic()
        predictor = Predictor(
            screen.model,
            screen.tiling,
            screen.resolved.prompts,
            screen.resolved.readout,
            self.population.mutations,
            self.rivals,
        )
        stored = [output.tokens for output in manifest.wild_type]
        if stored != [list(output.tokens) for output in predictor.wild]:
            raise MutascopeError(
                f"the wild type of {folder.path} is not reproduced here: predict into another --out"
            )
        about = Predictions(mutations=list(self.population.mutations), targets=len(predictor.targets))
        manifest.predictions = about
        folder.write_manifest(manifest)
        with PredictionProgress(len(missing), quiet=quiet) as progress:
            for locus, calls in predictor.calls(missing):
                folder.write_predictions(locus.name, calls.frame(locus, self.population.mutations))
                progress(calls.margin.numel())
        about.seconds = round(time.monotonic() - started, 3)
        folder.write_manifest(manifest)

    def _risks(self, folder: ScreenFolder) -> _Risks:
        risk = np.empty(self._offsets[-1], dtype=np.float32)
        kind = np.empty(self._offsets[-1], dtype=np.int8)
        for at, locus in enumerate(self.population.loci):
            part = slice(self._offsets[at], self._offsets[at + 1])
            risk[part] = folder.predictions(locus.name)["risk"].to_numpy()
            kind[part] = self._kinds.index(locus.kind)
        return _Risks(risk, kind)

    @property
    def _kinds(self) -> list[str]:
        return list(dict.fromkeys(locus.kind for locus in self.population.loci))

    def _calibrate(
        self, folder: ScreenFolder, risks: _Risks
    ) -> tuple[pl.DataFrame, np.ndarray, np.ndarray] | None:
        """Return the calibration, all probabilities, and the places of the exact calls; None without such calls."""
        loci = [(locus.layer, locus.kind) for locus in self.population.loci]
        keys = pl.DataFrame(loci, schema={"layer": pl.Int16, "kind": pl.String}, orient="row")
        records = folder.records().join(keys, on=["layer", "kind"], how="semi", maintain_order="left")
        records = records.filter(pl.col("mutation").is_in(self.population.mutations))
        if records.is_empty():
            return None
        known = self._index(self._codes(records))
        curve = fit_calibration(records.with_columns(risk=pl.Series(risks.risk[known])))
        names = np.array(self._kinds, dtype=object)[risks.kind]
        whole = pl.DataFrame({"kind": pl.Series(names, dtype=pl.String), "risk": risks.risk})
        return curve, calibrated(whole, curve)["probability"].to_numpy(), known

    def _store_probabilities(self, folder: ScreenFolder, manifest: Manifest, risks: _Risks) -> None:
        """Write the probabilities beside the predictions, and say in the manifest where they come from."""
        found = self._calibrate(folder, risks)
        if found is None:
            return
        curve, probability, known = found
        calibration = Calibration(
            calls=len(known),
            curves={kind or "all": [a, b] for kind, a, b, _ in curve.iter_rows()},
            lapse=curve["lapse"][0],
        )
        assert manifest.predictions is not None, "the loci have been predicted"
        if manifest.predictions.calibration == calibration:
            return
        for at, locus in enumerate(self.population.loci):
            part = pl.Series(probability[self._offsets[at] : self._offsets[at + 1]])
            frame = folder.predictions(locus.name).with_columns(probability=part)
            folder.write_predictions(locus.name, frame)
        manifest.predictions.calibration = calibration
        folder.write_manifest(manifest)

    # exact calls

    def _run_sample(self, folder: ScreenFolder, manifest: Manifest, *, quiet: bool) -> None:
        codes = self._codes(folder.mutants()) if folder.has_mutants() else self._drawn()
        self._run(folder, manifest, codes, quiet=quiet)

    def _run_round(
        self, folder: ScreenFolder, manifest: Manifest, risks: _Risks, target: _Target, *, quiet: bool
    ) -> bool:
        """Run the most uncertain mutants; return whether there was something to run."""
        found = self._calibrate(folder, risks)
        assert found is not None, "a target needs a sample, which has been run"
        _, probability, known = found
        chosen, expected = choose(probability, known, target.error or 0.0, manifest.units.size)
        if not quiet:
            told = f"expected share of wrong calls {expected:.4f}, {len(known):,} mutants run"
            print(told, file=sys.stderr)
        late = target.deadline is not None and time.monotonic() >= target.deadline
        if late or not len(chosen):
            return False
        codes = np.concatenate([self._codes(folder.mutants()), self.population.codes[chosen]])
        self._run(folder, manifest, codes, quiet=quiet)
        return True

    def _run(self, folder: ScreenFolder, manifest: Manifest, codes: np.ndarray, *, quiet: bool) -> None:
        """Run those of the listed mutants that are not stored yet."""
        plan, screen = self._listed(codes), self.screen
        units = Units(len(plan), manifest.units.size)
        pending = [unit for unit in units.sizes() if unit not in folder.finished_units()]
        if not pending:
            return
        screen.check_numerics(folder, manifest)
        folder.write_mutants(pl.DataFrame(plan.mutants()))
        manifest.units.mutants = len(plan)
        folder.write_manifest(manifest)
        before, session, reader = folder.records(), screen.session, screen.reader
        nsms = int((~before["silent"]).sum())
        with ScreenProgress(
            len(plan), len(before), nsms, underway=lambda: session.underway, quiet=quiet
        ) as progress:
            run_units(pending, plan, units, session, reader, folder, progress)

    def _close(self, folder: ScreenFolder, manifest: Manifest) -> None:
        """Store the controls of the exact calls, unless they are those of an earlier run."""
        plan = self._listed(self._codes(folder.mutants()) if folder.has_mutants() else self._drawn())
        if manifest.controls is None or manifest.controls.calls != len(plan):
            manifest.controls = Controls(**self.screen.controls(folder, plan), calls=len(plan))
            folder.write_manifest(manifest)


def choose(probability: np.ndarray, known: np.ndarray, error: float, unit: int) -> tuple[np.ndarray, float]:
    """Return which mutants to run next, and the expected share of wrong calls now.

    A call of probability p is wrong with min(p, 1 - p). The most uncertain mutants come first; a round is a share of as
    many as it takes for the rest to stay below the target, and no more than were run before, in whole units.

    Args:
        probability: of being an NSM, of all mutants.
        known: places of those that were run.
        error: target.
        unit: mutants per unit.
    """
    doubt = np.minimum(probability, 1 - probability).astype(float)
    doubt[known] = 0
    expected = doubt.sum() / len(doubt)
    if expected <= error:
        return np.empty(0, dtype=np.int64), expected
    open_calls = np.flatnonzero(np.bincount(known, minlength=len(doubt)) == 0)
    order = open_calls[np.argsort(-doubt[open_calls], kind="stable")]
    left = doubt.sum() - np.cumsum(doubt[order])
    needed = min(int((left > error * len(doubt)).sum()) + 1, len(order))
    size = -(-max(1, min(int(_ROUND * needed), len(known))) // unit) * unit
    return order[: min(size, len(order))], expected


def _unit_size(mutants: int, per_site: int) -> int:
    """Mutants per unit, a divisor of the sample, so that what is chosen later starts a unit."""
    return max((size for size in range(per_site, _UNIT + 1) if mutants % size == 0), default=max(1, mutants))
