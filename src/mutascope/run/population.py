"""Every mutant of whole loci, numbered: what a prediction is of."""

from __future__ import annotations

import numpy as np
import polars as pl

from mutascope.core.design import Plan
from mutascope.core.genome import Tiling
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY


class Population:
    """The mutants of a plan of whole loci.

    Args:
        plan: all mutants, in order of locus, site row, site column and mutation.
        tiling: of the sites.
    """

    def __init__(self, plan: Plan, tiling: Tiling) -> None:
        self.plan = plan
        shape = [(*tiling.grid(locus), len(plan.mutations)) for locus in plan.loci]
        self._sizes = np.array(shape, dtype=np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(self._sizes.prod(axis=1))])

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def part(self, locus: int) -> slice:
        """Return the places of the mutants of a locus, given its index among the loci."""
        return slice(self._offsets[locus], self._offsets[locus + 1])

    def subset(self, codes: np.ndarray) -> Plan:
        """Return the plan of some of the mutants, given as in :attr:`Plan.codes`."""
        return Plan(self.plan.loci, self.plan.mutations, codes, self.plan.population)

    def codes(self, mutants: pl.DataFrame) -> np.ndarray:
        """Return the codes of listed mutants, int32 [mutants, 4]."""
        loci = {(locus.layer, locus.kind): at for at, locus in enumerate(self.plan.loci)}
        mutations = {name: at for at, name in enumerate(self.plan.mutations)}
        codes = [
            (loci[layer, kind], row, col, mutations[mutation])
            for layer, kind, row, col, mutation in mutants.select(MUTANT_KEY).iter_rows()
        ]
        return np.array(codes, dtype=np.int32).reshape(-1, 4)

    def places(self, mutants: pl.DataFrame) -> np.ndarray:
        """Return the places of listed mutants in the population, int64 [mutants]."""
        locus, row, col, mutation = self.codes(mutants).astype(np.int64).T
        _, cols, mutations = self._sizes[locus].T
        return self._offsets[locus] + (row * cols + col) * mutations + mutation

    def among(self, records: pl.DataFrame) -> pl.DataFrame:
        """Return the records of mutants of the population, in their order."""
        loci = [(locus.layer, locus.kind) for locus in self.plan.loci]
        keys = pl.DataFrame(loci, schema={"layer": pl.Int16, "kind": pl.String}, orient="row")
        mine = records.join(keys, on=[*LOCUS_KEY], how="semi", maintain_order="left")
        return mine.filter(pl.col("mutation").is_in(self.plan.mutations))

    @property
    def kinds(self) -> pl.Series:
        """The kind of every mutant."""
        names = np.array([locus.kind for locus in self.plan.loci], dtype=object)
        return pl.Series("kind", np.repeat(names, np.diff(self._offsets)), dtype=pl.String)
