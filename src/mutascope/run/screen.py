"""A screen: a model, an assay and a design, run into a folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import polars as pl
from transformers import PreTrainedModel

from mutascope.analysis.maps import MapData
from mutascope.assays import Assay, reopened
from mutascope.core.design import Design, Plan
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant, coverage
from mutascope.core.identity import check_same_screen
from mutascope.core.manifest import Manifest
from mutascope.core.operators import check_mutations
from mutascope.core.tables import rows_to_html
from mutascope.core.words import counted
from mutascope.model.activations import site_covariates
from mutascope.model.loading import Model
from mutascope.model.shuffling import shuffle
from mutascope.run.description import describe_screen, new_manifest
from mutascope.run.executors.local import run_local
from mutascope.run.job import Job
from mutascope.run.shards import Shard
from mutascope.run.spec import ScreenSpec, Settings, spec_of
from mutascope.run.units import unit_size
from mutascope.run.work import Executor
from mutascope.store.integrity import check_coordinates, check_presence
from mutascope.store.reader import ScreenData


@dataclass(frozen=True)
class Finished:
    """What a run did: ``fresh`` mutants now, ``total`` in the design, units that other shards have ``left``."""

    fresh: int
    total: int
    left: int = 0


class Screen(Job[ScreenSpec]):
    """A mutagenesis screen.

    Args:
        model: alias, local folder, Hub id, or a loaded :class:`~mutascope.model.loading.Model`.
        assay: name of a preset, path of a YAML file, or an assay: a ``TextAssay``, a ``ChoiceAssay``
            or a ``PanelAssay``.
        design: which mutants; all sites with max and min by default.
        measure: also record, for every mutant, the mean log-probability of the wild type's continuation and the mean
            KL divergence along it (:mod:`mutascope.engine.measures`).
        null_seed: screen the null model of this seed: every locus of the design shuffled
            (:mod:`mutascope.model.shuffling`). A model that is given is copied for it.
        settings: further fields of a :class:`~mutascope.run.spec.ScreenSpec`: tile, engine, batch, dtype, device,
            numerics, allow_pickle, trust_remote_code.

    Raises:
        MutascopeError: for an unknown assay, engine or setting, and where a loaded model is not of the dtype or device
            that is asked for.
    """

    def __init__(
        self,
        model: str | Model,
        assay: str | Assay,
        design: Design | None = None,
        *,
        measure: bool = False,
        null_seed: int | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        told = {"measure": measure, "null_seed": null_seed, **settings}
        spec = spec_of(ScreenSpec, model, assay, design, told)
        super().__init__(spec, model=model if isinstance(model, Model) else None)
        if isinstance(model, Model) and null_seed is not None:
            self.model = self._shuffled(replace(model, network=deepcopy(model.network)), null_seed)

    @classmethod
    def reopen(cls, data: ScreenData, **loading: Any) -> Screen:
        """Return the screen of a folder with its model loaded again, to run one mutant or another.

        Args:
            data: the folder.
            loading: device, allow_pickle and trust_remote_code, as of :func:`~mutascope.model.loading.load_model`.

        Raises:
            MutascopeError: when the model of that name has other weights now, or the screen was imported.
        """
        manifest = data.manifest
        model = data.load_model(**loading)
        resolved = reopened(model, manifest)
        stock = manifest.numerics is not None and manifest.numerics.stock
        screen = cls(
            model,
            resolved.assay,
            tile=manifest.tile,
            engine=manifest.engine,
            measure=manifest.measure,
            numerics="stock" if stock else "own",
        )
        screen.folder, screen.resolved = data.folder, resolved
        return screen

    @cached_property
    def model(self) -> Model:
        """The model of the spec, shuffled where it is to be."""
        model, seed = super().model, self.spec.null_seed
        return model if seed is None else self._shuffled(model, seed)

    def _shuffled(self, model: Model, seed: int) -> Model:
        return shuffle(model, self.spec.design.plan(model.genome, self.tiling_of(model.genome)).loci, seed)

    @property
    def measure(self) -> bool:
        """Whether every mutant is measured along the wild type's continuation."""
        return self.spec.measure or bool(self.spec.assay.further)

    @property
    def listed(self) -> Plan:
        """The mutants to be run: all of the design."""
        return self.plan

    def run(
        self,
        out: str | Path | None = None,
        *,
        quiet: bool = False,
        executor: Executor = run_local,
        shard: Shard | None = None,
    ) -> Finished:
        """Run into a folder, new or not; go on where an earlier run stopped.

        Args:
            out: local folder or fsspec URL; by default ``screens/MODEL-ASSAY-DESIGN``.
            quiet: no progress on standard error.
            executor: runs the units (:mod:`mutascope.run.executors`).
            shard: units to run, all by default. Whoever runs the last unit finishes the screen.

        Raises:
            MutascopeError: when the folder is another screen's, damaged or not writable.
        """
        self.open(str(self._default_folder() if out is None else out))
        self.prepare()
        pending, vouched = self.pending(), self.closed
        if not pending and vouched:
            return Finished(0, len(self.plan))
        if not quiet:
            print(self, file=sys.stderr)
        started = time.time()
        mine = self.pending(shard)
        fresh = executor(self, mine, quiet=quiet) if mine else 0
        left = len(self.pending())
        if left:
            return Finished(fresh, len(self.plan), left)
        with self.home.alone("controls"):
            if vouched or not self.closed:  # else another process has finished it
                self.finish(seconds_of_last_run=round(time.time() - started, 3))
        return Finished(fresh, len(self.plan))

    def prepare(self) -> None:
        """Write the manifest of a new folder, or check that it holds this screen; then what its sites are like.

        Raises:
            MutascopeError: when the folder is another screen's, damaged or not writable.
        """
        folder = self.home
        if not folder.exists():
            folder.check_free()
        if folder.exists() or not folder.begin(self._new_manifest()):
            self.open(folder)  # what another process has begun meanwhile says what is asked
            self._check_same(folder.manifest())
        if self.spec.design.mutants is not None and not folder.has_mutants():
            folder.write_mutants(self.plan.frame())
        manifest, finished = folder.manifest(), folder.finished_units()
        records = folder.check_units(finished, self.units().sizes())
        check_presence(folder, manifest, finished)
        check_coordinates(folder, manifest, finished, records)
        if self.pending() or not self.closed:
            folder.check_writable()
            self.check_here()
            self._store_covariates()
        else:
            self._add_covariates()

    @property
    def closed(self) -> bool:
        """Whether the controls were written."""
        return self.home.manifest().controls is not None

    def state(self) -> str:
        """Return in words how many mutants are stored."""
        stored = self.home.count_records() + self.home.parts.count()
        planned = self.home.manifest().units.mutants
        return f"{stored:,} of {counted(planned, 'mutant')} are stored in {self.home.path}"

    def _identity(self) -> dict[str, Any]:
        spec = self.spec
        return describe_screen(self.model, self.resolved, spec.design, self.plan, self.tiling, spec.engine)

    def _check_same(self, manifest: Manifest) -> None:
        check_same_screen(manifest, self._identity(), self.home.path)
        if manifest.numerics:
            self.check_numerics(manifest)

    def _new_manifest(self) -> Manifest:
        # several prompts take longer than one
        least = max(1, self.session.engine.unit_size // (4 if len(self.resolved.prompts) > 1 else 1))
        size = unit_size(len(self.plan), least)
        numerics = self.described_numerics
        outputs = self.session.further
        return new_manifest(self._identity(), numerics, self.plan, self.tiling, self.reader, size, outputs)

    def _add_covariates(self) -> None:
        """Give a finished screen of an earlier version its covariates, if its folder can be written."""
        if self.home.has_covariates():
            return
        try:
            self.home.check_writable()
        except MutascopeError:
            print(
                f"{self.home.path} has no covariates.parquet and is not writable, so what explains its maps stays"
                " unknown",
                file=sys.stderr,
            )
            return
        self.check_wild_type(self.home.manifest())
        self._store_covariates()

    def _store_covariates(self) -> None:
        """Write what the sites are like, unless an earlier run did."""
        if not self.home.has_covariates():
            tokens = [output.tokens for output in self.wild_type]
            found = site_covariates(self.model, self.plan, self.tiling, self.resolved.prompts, tokens)
            self.home.write_covariates(found)

    def _default_folder(self) -> Path:
        name = (Path(self.spec.model).name, self.spec.assay.name, self.plan.digest[:8])
        return Path("screens") / "-".join(name)

    # one mutant, and what is stored

    @contextmanager
    def mutant(self, name: str | Mutant) -> Iterator[PreTrainedModel]:
        """Hand out the model with one mutation in place; it is restored bit for bit afterwards.

        Raises:
            MutascopeError: when there is no such mutant.
        """
        mutant = Mutant.parse(name) if isinstance(name, str) else name
        check_mutations([mutant.mutation])
        self.model.genome.check_mutant(mutant, self.tiling)
        with self.reference.mutagen.mutated(mutant) as network:
            yield network

    @property
    def results(self) -> ScreenData:
        """What is stored so far.

        Raises:
            MutascopeError: when the screen has not been run.
        """
        return ScreenData(self.home)

    def records(self) -> pl.DataFrame:
        """Return a row per mutant (docs/format.md)."""
        return self.results.records()

    def map(self, layer: int, kind: str) -> MapData:
        """Return the NSM map of a locus, for :func:`mutascope.draw_map`."""
        return self.results.map(layer, kind)

    def __repr__(self) -> str:
        facts = self._facts()
        where = f"in {self.folder.path}" if self.folder else "not run yet"
        return (
            f"Screen of {self.spec.model} in {facts['assay']}: {facts['mutants']}, tile {facts['tile']},"
            f" {facts['engine']} engine, {where}" + (f" ({facts['weights']})" if "weights" in facts else "")
        )

    def _repr_html_(self) -> str:
        rows = {"model": self.spec.model, **self._facts()}
        return rows_to_html("Screen", {**rows, "folder": self.folder.path if self.folder else "not run yet"})

    def _facts(self) -> dict[str, str]:
        """Return the headline facts in words; of a model that is not loaded yet, those that need none."""
        spec = self.spec
        facts = {"assay": spec.assay.name, "tile": str(spec.tile), "engine": spec.engine}
        if "model" not in self.__dict__:
            return {**facts, "mutants": f"{spec.design.described()['type']} design"}
        loci = counted(len(self.plan.loci), "locus", "loci")
        mutants = f"{counted(len(self.plan), 'mutant')} ({'/'.join(self.plan.mutations)}) in {loci}"
        screened = sum(locus.rows * locus.cols for locus in self.plan.loci)
        genome = self.model.genome
        share = coverage(screened, genome.layer_weights, genome.uncovered)
        return {**facts, "tile": str(self.tiling.tile), "mutants": mutants, "weights": share}
