"""A prediction: every mutant of a region predicted, some of them run, the exact calls where they change most.

1. Every locus is predicted (:mod:`mutascope.predict`) and stored as soon as it is, by the process that leases it.
2. A random sample of sites is run exactly and calibrates the predictions.
3. Where a target is set, the mutants with the most uncertain calls are run exactly, in rounds with a calibration
   after each, until the expected share of wrong calls is below the target, or the time is up.

All of it is resumable: a finished locus is not predicted again, a finished unit is not run again.
"""

from __future__ import annotations

import sys
import time
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import polars as pl

from mutascope.assays import Assay
from mutascope.core.design import Design, Plan
from mutascope.core.errors import MutascopeError
from mutascope.core.identity import check_same_screen
from mutascope.core.manifest import Manifest, describe_loci
from mutascope.core.schema import LOCUS_KEY
from mutascope.core.words import counted
from mutascope.model.loading import Model
from mutascope.predict.autograd import check_predictable
from mutascope.predict.baselines import site_baselines
from mutascope.run.description import describe_screen, new_manifest
from mutascope.run.executors.local import run_local
from mutascope.run.job import Job
from mutascope.run.loci import Loci
from mutascope.run.population import Population
from mutascope.run.probabilities import Risks
from mutascope.run.rounds import Target, choose, sample_unit
from mutascope.run.shards import Shard
from mutascope.run.spec import PredictSpec, Settings, spec_of
from mutascope.run.threads import fixed_threads
from mutascope.run.work import Executor
from mutascope.store.reader import ScreenData

ADAPTIVE = "adaptive"
SITES_PER_LOCUS = 2


class Prediction(Job[PredictSpec]):
    """Predictions of a region, calibrated by exact calls.

    Args:
        model, assay: as in :class:`~mutascope.run.screen.Screen`.
        design: layers, kinds, mutations.
        sample: number of sites that are run exactly, by default two per locus; 0 runs none.
        rivals: targets per generated token (:class:`~mutascope.predict.predictor.Predictor`).
        settings: further fields of a :class:`~mutascope.run.spec.PredictSpec`, as in Screen.

    Raises:
        MutascopeError: for an unknown assay, engine or setting, and for a design of rows, columns or listed mutants.
    """

    def __init__(
        self,
        model: str | Model,
        assay: str | Assay,
        design: Design | None = None,
        *,
        sample: int | None = None,
        rivals: float | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        told = {"sample": sample, "rivals": rivals, **settings}
        spec = spec_of(PredictSpec, model, assay, design, told)
        super().__init__(spec, model=model if isinstance(model, Model) else None)

    @cached_property
    def population(self) -> Population:
        """Every mutant of the region."""
        return Population(self.plan, self.tiling)

    @property
    def sample(self) -> int:
        """Number of sites of the random sample."""
        return SITES_PER_LOCUS * len(self.plan.loci) if self.spec.sample is None else self.spec.sample

    @property
    def listed(self) -> Plan:
        """The mutants to be run so far: the random sample, then those that were chosen."""
        folder = self.home
        drawn = self.population.codes(folder.mutants()) if folder.has_mutants() else self._drawn()
        return self.population.subset(drawn)

    @property
    def adaptive(self) -> bool:
        """Whether the folder is this job's own, and not that of a screen that gets predictions."""
        return self.home.manifest().design.type == ADAPTIVE

    @property
    def finished(self) -> bool:
        """Whether all loci are predicted and all listed mutants run: this process was the last, or the only one."""
        return not (Loci(self).pending() or (self.adaptive and self.pending()))

    def run(
        self,
        out: str | Path,
        *,
        error: float | None = None,
        budget: float | None = None,
        quiet: bool = False,
        executor: Executor = run_local,
        shard: Shard | None = None,
    ) -> ScreenData:
        """Predict into a folder, new or not; go on where an earlier run stopped.

        The folder of a screen of the same model, assay and tile gets predictions, calibrated by its own records.

        Args:
            out: local folder or fsspec URL.
            error: expected share of wrong calls at which to stop running mutants.
            budget: seconds after which to stop running mutants.
            quiet: no progress on standard error.
            executor: predicts the loci and runs the units (:mod:`mutascope.run.executors`).
            shard: loci to predict and units to run, all by default; whoever is last calibrates the predictions.

        Raises:
            MutascopeError: when the folder is another screen's, or not adaptive and a target is set.
        """
        if shard and (error is not None or budget is not None):
            raise MutascopeError(
                "a target needs all predictions: run the shards without --error and --budget, then once with them"
            )
        target = Target(error, None if budget is None else time.monotonic() + budget)
        if target.set and self.spec.sample == 0:
            raise MutascopeError(
                "a target needs exact calls to calibrate with: give a --sample of at least one site"
            )
        self.open(str(out))
        check_predictable(self.model.network, self.plan.loci)
        self.prepare()
        if target.set and not self.adaptive:
            raise MutascopeError(
                f"{self.home.path} is a screen with a design of its own, to which nothing is added: choose another"
                " --out"
            )
        self._predict(executor, shard, quiet=quiet)
        self._store_baselines()
        if self.adaptive:
            self._run_pending(executor, shard, quiet=quiet)
        if not self.finished:
            return ScreenData(self.home)
        risks = Risks(self.population, self.home)
        if self.adaptive:
            while target.set and self._choose(risks, target, quiet=quiet):
                self._run_pending(executor, None, quiet=quiet)
            with self.home.alone("controls"):
                if not self.pending():  # else another process is running the rest
                    self.finish()
        with self.home.alone("calibration"):
            risks.store()
        return ScreenData(self.home)

    def prepare(self) -> None:
        """Write the manifest of a new folder, or check that predictions of this job belong there.

        Raises:
            MutascopeError: when the folder is another screen's, or not writable.
        """
        folder = self.home
        if not folder.exists():
            folder.check_free()
        if folder.exists() or not folder.begin(self._new_manifest()):
            self.open(folder)  # what another process has begun meanwhile says what is asked
            self._check_same(folder.manifest())
            folder.check_writable()
        if self.adaptive:
            with folder.alone("choice"):
                self._list(self.listed)

    def finish(self, **told: Any) -> None:
        """Store the controls of the exact calls, unless they are those of an earlier run."""
        controls, calls = self.home.manifest().controls, len(self.listed)
        if controls is None or controls.calls != calls:
            super().finish(calls=calls, **told)

    def state(self) -> str:
        """Return in words how many loci are predicted, and how many mutants are stored."""
        loci = f"{len(self.home.predicted_loci()):,} of {counted(len(self.home.manifest().loci), 'locus', 'loci')}"
        stored = self.home.count_records() + self.home.parts.count()
        return f"{loci} are predicted, and {counted(stored, 'mutant')} stored, in {self.home.path}"

    def __repr__(self) -> str:
        where = f"in {self.folder.path}" if self.folder else "not run yet"
        return f"Prediction of {self.spec.model} in {self.spec.assay.name}, {where}"

    # the folder

    def _identity(self) -> dict[str, Any]:
        spec, drawn = self.spec, {"sample": self.sample, "sample_seed": self.spec.design.sample_seed}
        told = describe_screen(self.model, self.resolved, spec.design, self.plan, self.tiling, spec.engine)
        return {**told, "design": {**told["design"], "type": ADAPTIVE, **drawn}}

    def _check_same(self, manifest: Manifest) -> None:
        identity = self._identity()
        if manifest.design.type != ADAPTIVE:
            identity = {**identity, "measure": manifest.measure}
            del identity["design"], identity["engine"]
        check_same_screen(manifest, identity, self.home.path)
        self._check_region(manifest)

    def _check_region(self, manifest: Manifest) -> None:
        """Raise MutascopeError for loci that the screen does not have, and for other mutations than were predicted."""
        known = {locus.name for locus in manifest.loci}
        other = [locus.name for locus in self.plan.loci if locus.name not in known]
        if manifest.design.type != ADAPTIVE and other:
            raise MutascopeError(
                f"{self.home.path} is a screen without {other[0]}: choose --layers and --kinds that it has"
                " (mutascope status lists them), or another --out"
            )
        before = manifest.predictions and manifest.predictions.mutations
        if before is not None and before != list(self.plan.mutations):
            raise MutascopeError(
                f"{self.home.path} holds predictions of {', '.join(before)}: give --mutations {','.join(before)},"
                " or another --out"
            )

    def _new_manifest(self) -> Manifest:
        drawn = self.population.subset(self._drawn())
        size = sample_unit(len(drawn), len(self.plan.mutations))
        numerics = self.described_numerics
        manifest = new_manifest(self._identity(), numerics, self.plan, self.tiling, self.reader, size)
        manifest.loci = describe_loci(drawn, self.tiling)
        manifest.units.mutants = 0
        return manifest

    def _drawn(self) -> np.ndarray:
        """Codes of the random sample, none of it for a sample of 0 sites."""
        if not self.sample:
            return self.plan.codes[:0]
        design = self.spec.design.model_copy(update={"sample": self.sample})
        return design.plan(self.model.genome, self.tiling).codes

    def _list(self, plan: Plan) -> None:
        """Write the list of the mutants to be run, unless it stands there."""
        if self.home.manifest().units.mutants != len(plan):
            self.home.write_mutants(plan.frame())
            with self.home.changed_manifest() as manifest:
                manifest.units.mutants = len(plan)

    # predictions and exact calls

    def _predict(self, executor: Executor, shard: Shard | None, *, quiet: bool) -> None:
        """Predict the loci that are not there yet."""
        loci, started = Loci(self), time.monotonic()
        missing = loci.pending(shard)
        if missing:
            executor(loci, missing, quiet=quiet)
            with self.home.changed_manifest() as manifest:
                assert manifest.predictions is not None
                manifest.predictions.seconds = round(time.monotonic() - started, 3)

    def _store_baselines(self) -> None:
        """Write what the predictions are compared with, of loci for which it is not there."""
        with self.home.alone("baselines"):
            known = self.home.baselines()
            there = set() if known is None else set(known.select(LOCUS_KEY).unique().iter_rows())
            if all((locus.layer, locus.kind) in there for locus in self.plan.loci):
                return
            written = [output.tokens for output in self.home.manifest().wild_type]
            with fixed_threads():
                found = site_baselines(self.model, self.plan, self.tiling, self.resolved.prompts, written)
            others = [] if known is None else [known.join(found, on=LOCUS_KEY, how="anti")]
            self.home.write_baselines(pl.concat([*others, found], how="diagonal"))

    def _run_pending(self, executor: Executor, shard: Shard | None, *, quiet: bool) -> None:
        pending = self.pending(shard)
        if pending:
            executor(self, pending, quiet=quiet)

    def _choose(self, risks: Risks, target: Target, *, quiet: bool) -> bool:
        """List the most uncertain mutants, one process at a time; return whether there is something to run."""
        with self.home.alone("choice"):
            return bool(self.pending()) or self._choose_here(risks, target, quiet=quiet)

    def _choose_here(self, risks: Risks, target: Target, *, quiet: bool) -> bool:
        found = risks.calibrate()
        assert found is not None, "a target needs a sample, which has been run"
        size = self.home.manifest().units.size
        chosen, expected = choose(found.probability, found.known, target.error or 0.0, size)
        if not quiet:
            told = f"expected share of wrong calls {expected:.4f}, {len(found.known):,} mutants run"
            print(told, file=sys.stderr)
        if target.late or not len(chosen):
            return False
        self._list(self.population.subset(np.concatenate([self.listed.codes, self.plan.codes[chosen]])))
        return True
