"""A screen: a model, an assay and a design, run into a folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure
from transformers import PreTrainedModel

from mutascope.assays import Assay, Resolved, load_assay
from mutascope.assays.phenotype import PhenotypeReader
from mutascope.core.design import Design, Plan
from mutascope.core.errors import MutascopeError, Unsupported
from mutascope.core.genome import Mutant, Tiling, auto_tile
from mutascope.core.identity import check_same_numerics, check_same_screen
from mutascope.core.manifest import Controls, Manifest, Numerics, PromptInfo
from mutascope.core.operators import check_mutations
from mutascope.core.protocol import Output, Session
from mutascope.core.tables import rows_to_html
from mutascope.engine import make_engine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.activations import site_covariates
from mutascope.model.loading import Model, fingerprint, load_model
from mutascope.model.mutations import Mutagen
from mutascope.run.controls import run_controls, warning
from mutascope.run.description import describe_screen, new_manifest
from mutascope.run.executors.local import Units, run_units, unit_size
from mutascope.run.progress import ScreenProgress
from mutascope.store import ScreenFolder
from mutascope.store.reader import Results


@dataclass(frozen=True)
class Finished:
    """What a run did: ``fresh`` mutants now, ``total`` in the folder."""

    fresh: int
    total: int


class Screen:
    """A mutagenesis screen.

    Args:
        model: alias, local folder, Hub id, or a loaded :class:`~mutascope.model.loading.Model`.
        assay: name of a preset, path of a YAML file, or an assay such as
            :class:`~mutascope.assays.TextAssay`.
        design: which mutants; all sites with max and min by default.
        tile: side of a tile in elements, or ``auto``.
        engine: ``fast``, or ``reference``, which is the paper's way and the truth; what the fast engine cannot run
            exactly falls back to the reference engine.
        batch: mutants that the fast engine decodes at a time; by default what the free memory holds.
        measure: also record, for every mutant, the mean log-probability of the wild type's continuation and the mean
            KL divergence along it (:mod:`mutascope.engine.measures`).
        dtype: of the weights.
        numerics: ``own``, which are the same on every CPU (docs/numerics.md), or ``stock``: torch's kernels, on the
            reference engine, to audit.

    Raises:
        MutascopeError: for an unknown model, assay or engine.
    """

    def __init__(
        self,
        model: str | Model,
        assay: str | Assay,
        design: Design | None = None,
        *,
        tile: int | str = "auto",
        engine: str = "fast",
        batch: int | None = None,
        measure: bool = False,
        dtype: str = "float32",
        numerics: str = "own",
    ) -> None:
        self.assay = load_assay(assay) if isinstance(assay, str) else assay
        self.design = design or Design()
        check_mutations(list(self.design.mutations or ()))
        self.model = load_model(model, dtype=dtype) if isinstance(model, str) else model
        self.tiling = Tiling(check_tile(tile) or auto_tile(self.model.genome.hidden_size))
        self.engine_name = engine
        self.numerics = numerics
        self.batch = batch
        self.measure = measure
        if measure and not self.assay.measurable:
            raise MutascopeError(f"{self.assay.name} is no assay of one text: leave out --measure")
        self.folder: ScreenFolder | None = None

    @cached_property
    def resolved(self) -> Resolved:
        """The assay as this model meets it; a choice assay asks the wild type which questions to use."""
        return self._resolve()

    @cached_property
    def plan(self) -> Plan:
        """The design, enumerated."""
        plan = self.design.plan(self.model.genome, self.tiling)
        check_mutations(list(plan.mutations))
        return plan

    @cached_property
    def session(self) -> Session:
        """What runs the mutants: the engine asked for, or the reference engine for what that one does not support."""
        asked = (self.resolved.prompts, self.resolved.readout)
        engine = make_engine(self.engine_name, self.model, self.tiling, self.batch, self.numerics)
        if isinstance(engine, ReferenceEngine) and engine.refused:
            print(
                f"{engine.refused}: torch's own kernels run, whose records depend on the machine",
                file=sys.stderr,
            )
        try:
            return engine.prepare(*asked)
        except Unsupported as reason:
            print(
                f"the {engine.name} engine refuses: {reason}; running the reference engine", file=sys.stderr
            )
        return make_engine("reference", self.model, self.tiling, numerics=self.numerics).prepare(*asked)

    @cached_property
    def described_numerics(self) -> Numerics:
        """Whose arithmetic the network and the sampling have, as a manifest says it: that of the reference engine."""
        reference = ReferenceEngine(self.model, self.tiling, stock=self.numerics == "stock")
        return Numerics(**reference.describe_numerics(self.resolved.readout))

    @cached_property
    def mutagen(self) -> Mutagen:
        """Reads and writes tiles of the model."""
        return Mutagen(self.model.network, self.model.genome, self.tiling)

    @cached_property
    def wild_type(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model, one per prompt."""
        outputs = self.session.wild_type
        if not all(output.finite for output in outputs):
            raise MutascopeError(
                f"{self.model.name} itself puts out NaN or inf on {self.assay.name}: nothing to compare"
            )
        return outputs

    @cached_property
    def reader(self) -> PhenotypeReader:
        """Turns outputs into records."""
        return PhenotypeReader(self.model, self.resolved, self.wild_type)

    def run(self, out: str | Path | None = None, *, quiet: bool = False) -> Finished:
        """Run the screen into a folder; finish it when the folder holds part of it.

        Args:
            out: local folder or fsspec URL; by default a folder named after model, assay and design.
            quiet: no progress on standard error.

        Raises:
            MutascopeError: when the folder is another screen's, damaged or not writable.
        """
        folder = ScreenFolder(self._default_folder() if out is None else out)
        manifest = self._open(folder)
        units = Units(len(self.plan), manifest.units.size)
        sizes = units.sizes()
        folder.check_units(sizes)
        self.folder = folder
        pending = [unit for unit in sizes if unit not in folder.finished_units()]
        if not pending and manifest.controls:
            self._add_covariates(folder, manifest)
            return Finished(0, len(self.plan))
        folder.check_writable()
        self.check_numerics(folder, manifest)
        if not quiet:
            print(self, file=sys.stderr)
        self._check_wild_type(folder, manifest)
        self._store_covariates(folder)
        before, session = folder.records(), self.session
        started = time.time()
        with ScreenProgress(
            len(self.plan),
            len(before),
            len(before.filter(~pl.col("silent"))),
            underway=lambda: session.underway,
            quiet=quiet,
        ) as progress:
            fresh = run_units(pending, self.plan, units, session, self.reader, folder, progress)
        self._close(folder, manifest, time.time() - started)
        return Finished(fresh, len(self.plan))

    @contextmanager
    def mutant(self, name: str | Mutant) -> Iterator[PreTrainedModel]:
        """Hand out the model with one mutation in place; it is restored bit for bit afterwards.

        Raises:
            MutascopeError: when there is no such mutant.
        """
        mutant = Mutant.parse(name) if isinstance(name, str) else name
        check_mutations([mutant.mutation])
        self.model.genome.check_mutant(mutant, self.tiling)
        with self.mutagen.mutated(mutant) as network:
            yield network

    @property
    def results(self) -> Results:
        """What is stored so far.

        Raises:
            MutascopeError: when the screen has not been run.
        """
        if self.folder is None:
            raise MutascopeError("this screen has not been run yet: call .run(out) first")
        return Results(self.folder)

    def records(self) -> pl.DataFrame:
        """Return a row per mutant (docs/format.md)."""
        return self.results.records()

    def map(self, layer: int, kind: str) -> Figure:
        """Return the NSM map of a locus."""
        return self.results.map(layer, kind)

    def __repr__(self) -> str:
        where = f"in {self.folder.path}" if self.folder else "not run yet"
        return (
            f"Screen of {self.model.name} in {self.assay.name}: {len(self.plan):,} mutants in"
            f" {len(self.plan.loci)} loci, tile {self.tiling.tile}, {'/'.join(self.plan.mutations)},"
            f" {self.engine_name} engine, {where}"
        )

    def _repr_html_(self) -> str:
        return rows_to_html(
            "Screen",
            {
                "model": f"{self.model.name} ({self.model.dtype}, {self.model.fingerprint[:12]})",
                "assay": self.assay.name,
                "mutants": f"{len(self.plan):,} ({'/'.join(self.plan.mutations)}) in {len(self.plan.loci)} loci",
                "tile": self.tiling.tile,
                "engine": self.engine_name,
                "folder": self.folder.path if self.folder else "not run yet",
            },
        )

    def ask_what_was_asked(self, folder: ScreenFolder) -> None:
        """Resolve the assay with what a folder that is continued asks, instead of choosing it again."""
        if folder.exists():
            self.resolved = self._resolve(folder.manifest().prompts)

    def _resolve(self, asked: Sequence[PromptInfo] | None = None) -> Resolved:
        reference = ReferenceEngine(self.model, self.tiling, stock=self.numerics == "stock")
        return self.assay.resolve(self.model, reference.read_out, measure=self.measure, asked=asked)

    def _open(self, folder: ScreenFolder) -> Manifest:
        """Return the manifest of the folder, writing it when the folder is new."""
        self.ask_what_was_asked(folder)
        identity = describe_screen(
            self.model, self.resolved, self.design, self.plan, self.tiling, self.engine_name
        )
        if folder.exists():
            manifest = folder.manifest()
            check_same_screen(manifest, identity, folder.path)
            if manifest.numerics:
                self.check_numerics(folder, manifest)
        else:
            folder.check_free()
            manifest = new_manifest(
                identity,
                self.described_numerics,
                self.plan,
                self.tiling,
                self.reader,
                unit_size(len(self.plan), self._least_unit()),
            )
            folder.write_manifest(manifest)
        if self.design.mutants is not None and not folder.has_mutants():
            folder.write_mutants(pl.DataFrame(self.plan.mutants()))
        return manifest

    def _least_unit(self) -> int:
        """Return how many mutants take about a minute; several prompts take longer than one."""
        return max(1, self.session.engine.unit_size // (4 if len(self.resolved.prompts) > 1 else 1))

    def check_numerics(self, folder: ScreenFolder, manifest: Manifest) -> None:
        """Raise MutascopeError when what is run here does not mix with the records of a folder."""
        check_same_numerics(manifest, self.described_numerics, folder.path)

    def _check_wild_type(self, folder: ScreenFolder, manifest: Manifest) -> None:
        """Raise MutascopeError when this machine does not reproduce the wild type that the folder was made with."""
        stored = [output.tokens for output in manifest.wild_type]
        if stored != [list(output.tokens) for output in self.wild_type]:
            raise MutascopeError(
                f"the wild type of {folder.path} is not reproduced here, so its mutants would not be comparable;"
                f" it was made with {manifest.libraries}"
            )

    def _add_covariates(self, folder: ScreenFolder, manifest: Manifest) -> None:
        """Give a finished screen of an earlier version its covariates, if its folder can be written."""
        if folder.has_covariates():
            return
        try:
            folder.check_writable()
        except MutascopeError:
            print(
                f"{folder.path} has no covariates.parquet and is not writable, so what explains its maps stays unknown",
                file=sys.stderr,
            )
            return
        self._check_wild_type(folder, manifest)
        self._store_covariates(folder)

    def _store_covariates(self, folder: ScreenFolder) -> None:
        """Write what the sites are like, unless an earlier run did."""
        if not folder.has_covariates():
            tokens = [output.tokens for output in self.wild_type]
            folder.write_covariates(
                site_covariates(self.model, self.plan, self.tiling, self.resolved.prompts, tokens)
            )

    def controls(self, folder: ScreenFolder, plan: Plan) -> dict[str, Any]:
        """Return what a manifest says of the stored calls of a plan: verified weights, no-ops, a replayed sample.

        Failed controls are said on standard error.

        Raises:
            MutascopeError: when the weights are not what they were.
        """
        if fingerprint(self.model.network) != self.model.fingerprint:
            raise MutascopeError(
                "the weights changed during the screen: its records cannot be trusted (please report)"
            )
        engine = self.session.engine.name
        controls: dict[str, Any] = {"engine": engine, "weights_restored": True}
        if engine != "reference" and len(plan):
            outputs = folder.outputs() if self.resolved.keeps_outputs else None
            controls |= run_controls(self.session, self.reader, plan, self.tiling, folder.records(), outputs)
        failed = warning(controls)
        if failed:
            print(failed, file=sys.stderr)
        return controls

    def _close(self, folder: ScreenFolder, manifest: Manifest, seconds: float) -> None:
        controls = self.controls(folder, self.plan)
        manifest.controls = Controls(**controls, seconds_of_last_run=round(seconds, 3))
        folder.write_manifest(manifest)

    def _default_folder(self) -> str:
        name = "-".join((Path(self.model.name).name, self.assay.name, self.plan.digest[:8]))
        return str(Path("screens") / name)


def check_tile(tile: int | str) -> int | None:
    """Return the side of a tile, None for ``auto``.

    Raises:
        MutascopeError: when it is not a whole number of at least 1.
    """
    if tile == "auto":
        return None
    try:
        return Tiling(int(tile)).tile
    except ValueError:
        raise MutascopeError(f"tile must be a whole number or auto, not {tile!r}") from None
