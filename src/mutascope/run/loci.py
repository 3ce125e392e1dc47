"""The loci of a prediction: each is predicted by one process, which holds its lease, and stored as soon as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from mutascope.core import stopping
from mutascope.core.errors import MutascopeError, Terminated
from mutascope.core.manifest import Predictions
from mutascope.predict.predictor import Predictor
from mutascope.run.progress import PredictionProgress
from mutascope.run.shards import Shard
from mutascope.run.spec import PredictSpec
from mutascope.run.threads import fixed_threads
from mutascope.run.usage import peak_usage
from mutascope.store import ScreenFolder
from mutascope.store.leases import Leases

if TYPE_CHECKING:
    from mutascope.run.prediction import Prediction


class Loci:
    """The loci of a prediction as units, by their names; nothing that is loaded is pickled.

    A process follows the gradients down through all layers, and takes the loci of a layer when it is there. So several
    of them share the layers, and each predicts the very numbers that one alone would.

    Args:
        job: the prediction, prepared.
    """

    def __init__(self, job: Prediction) -> None:
        self.job = job

    @property
    def spec(self) -> PredictSpec:
        """What was asked for."""
        return self.job.spec

    @property
    def home(self) -> ScreenFolder:
        """The folder."""
        return self.job.home

    def pending(self, shard: Shard | None = None) -> list[str]:
        """Return the names of the loci, of all or of a shard, that are not predicted."""
        done, names = self.stored(), [locus.name for locus in self.job.plan.loci]
        mine = [name for index, name in enumerate(names) if shard is None or shard.holds(index)]
        return [name for name in mine if name not in done]

    def stored(self) -> set[str]:
        """Return the names of the loci that are predicted, by whomever."""
        return self.home.predicted_loci()

    def progress(
        self, names: Sequence[str], *, quiet: bool = False, here: bool = False
    ) -> PredictionProgress:
        """Return the progress of predicting loci."""
        return PredictionProgress(len(names), quiet=quiet)

    def count(self, names: Collection[str], progress: Callable[[int], None]) -> None:
        """Tell a progress of the mutants of loci."""
        mutations = len(self.job.plan.mutations)
        for locus in self.job.plan.loci:
            if locus.name in names:
                progress(math.prod(self.job.tiling.grid(locus)) * mutations)

    def run_units(
        self,
        names: Sequence[str],
        progress: Callable[[int], None] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> int:
        """Predict loci of a folder that was prepared, in this process, and store them.

        Args:
            names: of loci; those that are stored by now, or that other processes predict, are not predicted.
            progress: called once per locus, with the number of its mutants; None: of no interest.
            stopped: asked after every locus; where it says so, Terminated is raised.

        Returns:
            The number of loci predicted here.

        Raises:
            MutascopeError: when this process has other weights than the folder, or another wild type.
        """
        self.job.check_weights(self.home.manifest())
        with fixed_threads():
            return self._run(names, progress, stopped)

    def _run(
        self, names: Sequence[str], progress: Callable[[int], None] | None, stopped: Callable[[], bool]
    ) -> int:
        predictor, ran, waiting = self._predictor(), 0, set(names)

        def note(done: set[str]) -> None:
            waiting.difference_update(done)
            if progress is not None:
                self.count(done, progress)

        with Leases(self.home.files, peak_usage) as leases:
            while True:
                note(waiting & self.stored())  # by others
                if not waiting:
                    return ran
                if not any(self._claims(leases, name) for name in waiting):
                    leases.wait()
                    continue
                self._announce(predictor)
                wanted = set(waiting)
                for locus, calls in predictor.calls(wanted, lambda locus: self._claims(leases, locus.name)):
                    self.home.write_predictions(locus.name, calls.frame(locus, predictor.mutations))
                    leases.release(locus.name)
                    note({locus.name})
                    ran += 1
                    stopping.check()
                    if stopped():
                        raise Terminated

    def unload(self) -> None:
        """Give back the memory of what is loaded."""
        self.job.unload()

    def _predictor(self) -> Predictor:
        job, folder = self.job, self.home
        asked = (job.resolved.prompts, job.resolved.readout)
        predictor = Predictor(
            job.model, job.tiling, *asked, job.plan.mutations, job.spec.rivals, job.reference
        )
        wild = folder.manifest().wild_type
        if [output.tokens for output in wild] != [list(output.tokens) for output in predictor.wild]:
            raise MutascopeError(
                f"the wild type of {folder.path} is not reproduced here: predict into another --out"
            )
        return predictor

    def _announce(self, predictor: Predictor) -> None:
        """Say in the manifest what is predicted; a calibration of fewer loci holds no longer."""
        about = Predictions(mutations=list(predictor.mutations), targets=len(predictor.targets))
        with self.home.changed_manifest() as manifest:
            manifest.predictions = about

    def _claims(self, leases: Leases, locus: str) -> bool:
        """Whether this process predicts a locus: it is not stored, and no other process holds it."""
        if not leases.take(locus):
            return False
        if self.home.is_predicted(locus):  # between the look and the lease
            leases.release(locus)
            return False
        return True
