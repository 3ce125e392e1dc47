"""Probabilities of a predicted folder: its risks, calibrated by its exact calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mutascope.analysis.calibration import calibrated, fit_calibration
from mutascope.core.manifest import Calibration
from mutascope.run.population import Population
from mutascope.store import ScreenFolder


@dataclass(frozen=True)
class Calibrated:
    """What exact calls make of the risks.

    Attributes:
        curve: as of :func:`~mutascope.analysis.calibration.fit_calibration`.
        probability: of being an NSM, of every mutant of the population.
        known: places of those that were run.
    """

    curve: pl.DataFrame
    probability: np.ndarray
    known: np.ndarray

    def described(self) -> Calibration:
        """Return what the manifest says of it."""
        curves = {kind or "all": [a, b] for kind, a, b, _ in self.curve.iter_rows()}
        return Calibration(calls=len(self.known), curves=curves, lapse=self.curve["lapse"][0])


class Risks:
    """The predicted risks of a population, read once from a folder where all of its loci were predicted."""

    def __init__(self, population: Population, folder: ScreenFolder) -> None:
        self.population, self.folder = population, folder
        self.risk = np.empty(len(population), dtype=np.float32)
        for at, locus in enumerate(population.plan.loci):
            self.risk[population.part(at)] = folder.predictions(locus.name)["risk"].to_numpy()

    def calibrate(self) -> Calibrated | None:
        """Return the calibration by the folder's exact calls; None without such calls."""
        records = self.population.among(self.folder.records())
        if records.is_empty():
            return None
        known = self.population.places(records)
        curve = fit_calibration(records.with_columns(risk=pl.Series(self.risk[known])))
        whole = pl.DataFrame({"kind": self.population.kinds, "risk": self.risk})
        return Calibrated(curve, calibrated(whole, curve)["probability"].to_numpy(), known)

    def store(self) -> None:
        """Write the probabilities beside the predictions, and say in the manifest where they come from."""
        found, manifest = self.calibrate(), self.folder.manifest()
        assert manifest.predictions is not None, "the loci have been predicted"
        if found is None or manifest.predictions.calibration == found.described():
            return
        for at, locus in enumerate(self.population.plan.loci):
            part = pl.Series(found.probability[self.population.part(at)])
            frame = self.folder.predictions(locus.name).with_columns(probability=part)
            self.folder.write_predictions(locus.name, frame)
        with self.folder.changed_manifest() as manifest:
            assert manifest.predictions is not None
            manifest.predictions.calibration = found.described()
