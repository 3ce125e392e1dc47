"""A job: a spec and a folder. It can be sent to any process, which loads what the spec names when it needs it."""

from __future__ import annotations

import gc
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any, Generic, Self, TypeVar

import torch

from mutascope.assays import Resolved
from mutascope.assays.phenotype import PhenotypeReader
from mutascope.core.design import Plan
from mutascope.core.errors import MutascopeError, Unsupported
from mutascope.core.genome import Genome, Tiling, auto_tile
from mutascope.core.identity import check_same_numerics
from mutascope.core.manifest import Controls, Manifest, Numerics
from mutascope.core.operators import check_mutations
from mutascope.core.protocol import Output, Session
from mutascope.engine import make_engine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import Model, fingerprint, load_model
from mutascope.run.controls import run_controls, warning
from mutascope.run.progress import ScreenProgress
from mutascope.run.shards import Shard
from mutascope.run.spec import JobSpec
from mutascope.run.units import Progress, Units, run_units
from mutascope.run.usage import peak_usage
from mutascope.store import ScreenFolder
from mutascope.store.leases import Leases

SpecT = TypeVar("SpecT", bound=JobSpec)


class Job(ABC, Generic[SpecT]):
    """Mutants that are run in units, stored in a folder and resumed.

    :meth:`prepare`, then :meth:`run_units` in any number of processes, then :meth:`finish`. Nothing is loaded before it
    is needed, and nothing that was loaded is pickled.

    Args:
        spec: what to do.
        folder: of the results, new or to be continued; :meth:`open` sets it later.
        model: the model of the spec, where it is loaded already.
    """

    def __init__(
        self, spec: SpecT, folder: ScreenFolder | str | None = None, model: Model | None = None
    ) -> None:
        self.spec = spec
        self.folder = ScreenFolder(folder) if isinstance(folder, str) else folder
        self._given = model is not None
        if model is not None:
            self.model = model

    @classmethod
    def from_spec(cls, spec: SpecT, folder: ScreenFolder | str | None = None) -> Self:
        """Return the job of a spec, whatever the subclass is made from."""
        job = cls.__new__(cls)
        Job.__init__(job, spec, folder)
        return job

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is loaded when it is needed."""
        return {"spec": self.spec, "folder": self.folder, "_given": False}

    # the folder

    @property
    def home(self) -> ScreenFolder:
        """The folder.

        Raises:
            MutascopeError: when none was given yet.
        """
        if self.folder is None:
            raise MutascopeError(
                f"this {type(self).__name__.lower()} has not been run yet: call .run(out) first"
            )
        return self.folder

    def open(self, folder: ScreenFolder | str) -> Self:
        """Set the folder; one that is continued says what is asked, whatever was asked before."""
        self.folder = ScreenFolder(folder) if isinstance(folder, str) else folder
        if self.folder.exists():
            for name in ("resolved", "session", "reader"):
                vars(self).pop(name, None)
        return self

    @abstractmethod
    def prepare(self) -> None:
        """Make the folder ready: its manifest, and what is stored beside the records.

        Raises:
            MutascopeError: when the folder is another job's, damaged or not writable.
        """

    @property
    @abstractmethod
    def listed(self) -> Plan:
        """The mutants to be run."""

    @property
    def measure(self) -> bool:
        """Whether every mutant is measured along the wild type's continuation."""
        return False

    def units(self) -> Units:
        """Return the units of a folder that was prepared."""
        return Units(len(self.listed), self.home.manifest().units.size)

    def pending(self, shard: Shard | None = None) -> list[str]:
        """Return the names of the units, of all or of a shard, that are not stored."""
        done = self.home.finished_units()
        names = [name for name in self.units().sizes() if name not in done]
        return [name for name in names if shard is None or shard.holds(int(name))]

    def stored(self) -> set[str]:
        """Return the names of the units that are stored, by whomever."""
        return self.home.finished_units()

    @abstractmethod
    def state(self) -> str:
        """Return in words what is stored."""

    def progress(self, names: Sequence[str], *, quiet: bool = False, here: bool = False) -> ScreenProgress:
        """Return the progress of a run of units, in which all others that are stored are counted.

        Args:
            names: of the units that are to be run.
            quiet: report nothing.
            here: whether this process runs them, so that it knows what is underway.
        """
        silent = self.home.silent(self.stored().difference(names))
        progress = ScreenProgress(len(self.listed), len(silent), int((~silent).sum()), quiet=quiet)
        if here:
            session = self.session
            progress.underway = lambda: session.underway
        return progress

    def count(self, names: Collection[str], progress: Progress) -> None:
        """Tell a progress of the mutants of stored units."""
        for silent in self.home.silent(names):
            progress(silent)

    def run_units(
        self,
        names: Sequence[str],
        progress: Progress | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> int:
        """Run units of a folder that was prepared, in this process, and store them.

        Args:
            names: of units; those that are stored by now, or that other processes store, are not run.
            progress: called once per mutant, with whether it is silent.
            stopped: asked after every mutant; where it says so, what is done is kept and Terminated is raised.

        Returns:
            The number of mutants run.

        Raises:
            MutascopeError: when this process has other weights or numerics than the folder, or another wild type.
        """
        with Leases(self.home.files, peak_usage) as leases:
            self.check_here()  # others leave a share to a process that still loads its model
            return run_units(
                names,
                self.listed,
                self.units(),
                self.session,
                self.reader,
                self.home,
                leases,
                progress,
                stopped,
            )

    def check_here(self) -> None:
        """Raise MutascopeError where records of this process would not mix with those of the folder."""
        manifest = self.home.manifest()
        self.check_weights(manifest)
        self.check_numerics(manifest)
        self.check_wild_type(manifest)

    def check_weights(self, manifest: Manifest) -> None:
        """Raise MutascopeError when the model has other weights now than those of a folder."""
        if manifest.model.fingerprint != self.model.fingerprint:
            raise MutascopeError(
                f"{self.model.name} has other weights now than when {self.home.path} was screened"
            )

    def check_wild_type(self, manifest: Manifest) -> None:
        """Raise MutascopeError when this machine does not reproduce the wild type that the folder was made with."""
        stored = [*manifest.wild_type, *manifest.further_wild_types]
        if [output.tokens for output in stored] != [
            list(output.tokens) for output in (*self.wild_type, *self.session.further)
        ]:
            raise MutascopeError(
                f"the wild type of {self.home.path} is not reproduced here, so its mutants would not be comparable;"
                f" it was made with {manifest.libraries}"
            )

    def check_numerics(self, manifest: Manifest) -> None:
        """Raise MutascopeError when what is run here does not mix with the records of a folder."""
        check_same_numerics(manifest, self.described_numerics, self.home.path)

    def finish(self, **told: Any) -> None:
        """Close the folder: verified weights, no-ops and a replayed sample; failed controls are said on standard error.

        Args:
            told: fields of the manifest's controls.

        Raises:
            MutascopeError: when the weights are not what they were.
        """
        if fingerprint(self.model.network) != self.model.fingerprint:
            raise MutascopeError(
                "the weights changed during the screen: its records cannot be trusted (please report)"
            )
        engine, plan = self.session.engine.name, self.listed
        controls: dict[str, Any] = {"engine": engine, "weights_restored": True}
        if engine != "reference" and len(plan):
            outputs = self.home.outputs() if self.resolved.keeps_outputs else None
            records = self.home.records()
            controls |= run_controls(self.session, self.reader, plan, self.tiling, records, outputs)
        failed = warning(controls)
        if failed:
            print(failed, file=sys.stderr)
        with self.home.changed_manifest() as manifest:
            manifest.controls = Controls(**controls, **told)

    # what is loaded when it is needed

    def unload(self) -> None:
        """Give back the memory of what is loaded; it is loaded again when it is needed."""
        for name in ("session", "reader", "reference", "resolved", *(() if self._given else ("model",))):
            vars(self).pop(name, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @cached_property
    def model(self) -> Model:
        """The model of the spec."""
        spec = self.spec
        return load_model(
            spec.model,
            dtype=spec.dtype,
            device=spec.device,
            allow_pickle=spec.allow_pickle,
            trust_remote_code=spec.trust_remote_code,
        )

    @cached_property
    def tiling(self) -> Tiling:
        """The tiling of the spec, ``auto`` resolved."""
        return self.tiling_of(self.model.genome)

    def tiling_of(self, genome: Genome) -> Tiling:
        """Return the tiling of the spec for the matrices of a genome."""
        tile = self.spec.tile
        return Tiling(auto_tile(genome.hidden_size) if tile == "auto" else tile)

    @cached_property
    def plan(self) -> Plan:
        """The design, enumerated."""
        plan = self.spec.design.plan(self.model.genome, self.tiling)
        check_mutations(plan.mutations)
        return plan

    @cached_property
    def reference(self) -> ReferenceEngine:
        """The engine that defines the truth."""
        return ReferenceEngine(self.model, self.tiling, stock=self.spec.numerics == "stock")

    @cached_property
    def resolved(self) -> Resolved:
        """The assay as this model meets it; of a folder that is continued, with what it asks."""
        continued = self.folder is not None and self.folder.exists()
        asked = self.home.manifest().prompts if continued else None
        return self.spec.assay.resolve(self.model, self.reference.read_out, measure=self.measure, asked=asked)

    @cached_property
    def session(self) -> Session:
        """What runs the mutants: the engine asked for, or the reference engine for what that one does not support."""
        spec, asked = self.spec, (self.resolved.prompts, self.resolved.readout)
        engine = make_engine(spec.engine, self.reference, spec.batch)
        if isinstance(engine, ReferenceEngine) and engine.refused:
            _tell(f"{engine.refused}: torch's own kernels run, whose records depend on the machine")
        try:
            return engine.prepare(*asked)
        except Unsupported as reason:
            _tell(f"the {engine.name} engine refuses: {reason}; running the reference engine")
        return self.reference.prepare(*asked)

    @cached_property
    def described_numerics(self) -> Numerics:
        """Whose arithmetic the network and the sampling have, as a manifest says it: that of the reference engine."""
        return Numerics(**self.reference.describe_numerics(self.resolved.readout))

    @property
    def wild_type(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model, one per prompt."""
        outputs = self.session.wild_type
        if not all(output.finite for output in (*outputs, *self.session.further)):
            raise MutascopeError(
                f"{self.model.name} itself puts out NaN or inf on {self.spec.assay.name}: nothing to compare"
            )
        return outputs

    @cached_property
    def reader(self) -> PhenotypeReader:
        """Reads phenotypes."""
        return PhenotypeReader(self.model, self.resolved, self.wild_type)


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr)
