"""Which mutants to screen: everything, a region, a seeded sample of sites, or an explicit list."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Genome, Locus, Mutant, Tiling
from mutascope.core.kinds import base_kind
from mutascope.core.operators import default_mutations
from mutascope.core.schema import MUTANT_KEY, MUTANT_SCHEMA


class Design(BaseModel):
    """A design as the user states it.

    Attributes:
        layers, kinds, rows, cols: the region; None is everything. Rows and columns are tile coordinates. A kind such as
            ``up`` stands for those of all experts (``up.e0``, ...) too.
        mutations: what is written at every site; None is the default ones, max and min (an
            explicit list brings its own).
        sample: number of sites drawn from the region, an equal share per locus and the remainder at random.
        sample_seed: seed of the draw.
        mutants: a CSV or Parquet file of mutants (columns layer, kind, row, col, mutation), or the
            mutants themselves, instead of a region.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    layers: tuple[int, ...] | None = None
    kinds: tuple[str, ...] | None = None
    rows: tuple[NonNegativeInt, ...] | None = None
    cols: tuple[NonNegativeInt, ...] | None = None
    mutations: tuple[str, ...] | None = None
    sample: int | None = Field(default=None, ge=1)
    sample_seed: int = Field(default=0, ge=0)
    mutants: str | tuple[Mutant, ...] | None = None

    def described(self) -> dict[str, Any]:
        """Return the design as plain JSON values: its type, and what was chosen."""
        fields = self.model_dump(
            mode="json", exclude_none=True, exclude={"mutants", "mutations", "sample_seed"}
        )
        if self.mutants is not None:
            return {"type": "list"}
        if self.sample is not None:
            return {"type": "sample", **fields, "sample_seed": self.sample_seed}
        return {"type": "region" if fields else "full", **fields}

    def plan(self, genome: Genome, tiling: Tiling) -> Plan:
        """Enumerate the design on a genome.

        Raises:
            MutascopeError: for coordinates that the genome does not have, or a design without a mutant.
        """
        if self.mutants is not None:
            region = self.model_dump(exclude={"mutants", "sample_seed"})
            if any(value is not None for value in region.values()):
                raise MutascopeError(
                    "a list of mutants is a design of its own: give no region, mutations or sample"
                )
            listed = read_mutants(Path(self.mutants)) if isinstance(self.mutants, str) else self.mutants
            return _listed(listed, genome, tiling)
        genome.check(list(self.layers or []), list(self.kinds or []))
        loci = [
            locus
            for locus in genome
            if (self.layers is None or locus.layer in self.layers)
            and (self.kinds is None or not {locus.kind, base_kind(locus.kind)}.isdisjoint(self.kinds))
        ]
        self._check_sites([tiling.grid(locus) for locus in loci])
        sites = [_region_sites(tiling.grid(locus), self.rows, self.cols) for locus in loci]
        population = {
            locus.name: len(region) for locus, region in zip(loci, sites, strict=True) if len(region)
        }
        if not population:
            raise MutascopeError(
                "the design selects no mutant: no locus of the region has such rows and columns"
            )
        loci, sites = zip(*((x, s) for x, s in zip(loci, sites, strict=True) if len(s)), strict=True)
        if self.sample is not None:
            sites = _sample(sites, self.sample, self.sample_seed)
        mutations = default_mutations() if self.mutations is None else tuple(dict.fromkeys(self.mutations))
        if not mutations:
            raise MutascopeError("the design selects no mutant: it has no mutation")
        return Plan(tuple(loci), mutations, _cross(sites, len(mutations)), population)

    def _check_sites(self, grids: Sequence[tuple[int, int]]) -> None:
        """Raise MutascopeError for a row or column that no locus of the region has."""
        for axis, (what, wanted) in enumerate((("row", self.rows), ("column", self.cols))):
            size = max((grid[axis] for grid in grids), default=0)
            outside = [index for index in wanted or () if index >= size]
            if outside and grids:
                raise MutascopeError(
                    f"{what} {outside[0]} is out of range: at this tile the loci have {what}s 0 to {size - 1}"
                )


@dataclass(frozen=True)
class Plan:
    """An enumerated design.

    Attributes:
        loci: the loci of the design, in order.
        mutations: names that ``codes`` refers to.
        codes: int32 [mutants, 4]: index of the locus, row, col, index of the mutation, in design order.
        population: number of sites of the region by locus name; empty for an explicit list.
    """

    loci: tuple[Locus, ...]
    mutations: tuple[str, ...]
    codes: np.ndarray
    population: dict[str, int]

    def __len__(self) -> int:
        return len(self.codes)

    def mutants(self, start: int = 0, stop: int | None = None) -> list[Mutant]:
        """Return the mutants at positions ``start`` to ``stop`` of the design order."""
        return [
            Mutant(self.loci[locus].layer, self.loci[locus].kind, row, col, self.mutations[mutation])
            for locus, row, col, mutation in self.codes[start:stop].tolist()
        ]

    def frame(self) -> pl.DataFrame:
        """Return the mutants in design order (columns: ``MUTANT_SCHEMA``)."""
        locus, row, col, mutation = self.codes.T
        layers, kinds = zip(*((each.layer, each.kind) for each in self.loci), strict=True)
        columns = {
            "layer": np.array(layers)[locus],
            "kind": pl.Series(kinds).gather(locus),
            "row": row,
            "col": col,
            "mutation": pl.Series(self.mutations).gather(mutation),
        }
        return pl.DataFrame(columns).cast(MUTANT_SCHEMA)  # pyright: ignore[reportArgumentType]

    @cached_property
    def sampled(self) -> dict[str, int]:
        """Number of distinct sites of the design by locus name."""
        sites = np.unique(self.codes[:, :3], axis=0)
        counts = np.bincount(sites[:, 0], minlength=len(self.loci))
        return {locus.name: int(count) for locus, count in zip(self.loci, counts, strict=True)}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the mutants, which identifies the design whatever file or words it came from."""
        names = "\n".join([*(locus.name for locus in self.loci), *self.mutations])
        return hashlib.sha256(names.encode() + np.ascontiguousarray(self.codes, "<i4").tobytes()).hexdigest()


def read_mutants(path: Path) -> list[Mutant]:
    """Return the mutants in a CSV or Parquet file, repeated rows once.

    Raises:
        MutascopeError: when the file cannot be read or lacks a column.
    """
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise MutascopeError(
            f"the list of mutants {path} cannot be read: {str(error).splitlines()[0]}"
        ) from error
    missing = [column for column in MUTANT_KEY if column not in frame.columns]
    if missing:
        raise MutascopeError(
            f"the list of mutants {path} has no column {missing[0]!r}; it needs {MUTANT_KEY}"
        )
    types = {"layer": pl.Int32, "kind": pl.String, "row": pl.Int32, "col": pl.Int32, "mutation": pl.String}
    try:
        frame = frame.select(MUTANT_KEY).cast(types)  # pyright: ignore[reportArgumentType]
    except pl.exceptions.PolarsError as error:
        raise MutascopeError(
            f"the list of mutants {path} has a layer, row or col that is no number"
        ) from error
    if frame.null_count().sum_horizontal().item():
        raise MutascopeError(f"the list of mutants {path} has an empty cell")
    return [Mutant(*row) for row in frame.unique(maintain_order=True).iter_rows()]


_DIGITS = 7
"""Of a layer, row or column at most."""


def parse_indices(text: str | None) -> tuple[int, ...] | None:
    """Read ``0,3,8-11`` into indices; None stays None.

    Raises:
        MutascopeError: when the text has another form.
    """
    if text is None:
        return None
    indices: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if max(len(first), len(last)) > _DIGITS:
            raise MutascopeError(f"{part.strip()[:20]!r} is beyond any layer, row or column")
        ascending = first.isdecimal() and (not dash or (last.isdecimal() and int(first) <= int(last)))
        if not ascending:
            raise MutascopeError(f"{text!r} is not a list of numbers and ranges such as 0,3,8-11")
        indices += range(int(first), int(last or first) + 1)
    return tuple(dict.fromkeys(indices))


def _listed(mutants: Sequence[Mutant], genome: Genome, tiling: Tiling) -> Plan:
    if not mutants:
        raise MutascopeError("the design selects no mutant: the list is empty")
    mutants = list(dict.fromkeys(mutants))
    for mutant in mutants:
        genome.check_mutant(mutant, tiling)
    names = {mutant.locus_name for mutant in mutants}
    loci = tuple(locus for locus in genome if locus.name in names)
    index = {locus.name: i for i, locus in enumerate(loci)}
    mutations = tuple(dict.fromkeys(mutant.mutation for mutant in mutants))
    codes = [(index[m.locus_name], m.row, m.col, mutations.index(m.mutation)) for m in mutants]
    return Plan(loci, mutations, np.array(codes, dtype=np.int32), {})


def _region_sites(grid: tuple[int, int], rows: Any, cols: Any) -> np.ndarray:
    """Return the sites of a grid that lie in ``rows`` and ``cols`` (None: all), int32 [sites, 2], row-major."""
    chosen = [
        np.arange(size) if wanted is None else np.array(sorted({i for i in wanted if i < size}), dtype=int)
        for size, wanted in zip(grid, (rows, cols), strict=True)
    ]
    return np.stack(np.meshgrid(*chosen, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.int32)


def _sample(sites: Sequence[np.ndarray], size: int, seed: int) -> list[np.ndarray]:
    """Draw ``size`` sites without replacement: an equal share per locus, the remainder at random (METHOD)."""
    capacity = np.array([len(region) for region in sites])
    if size > capacity.sum():
        raise MutascopeError(f"the sample asks for {size} sites, but the region has only {capacity.sum()}")
    random = np.random.default_rng(seed)
    share = np.zeros_like(capacity)
    while (left := size - share.sum()) > 0:
        open_loci = np.flatnonzero(share < capacity)
        each = left // len(open_loci)
        if each == 0:
            share[random.choice(open_loci, left, replace=False)] += 1
        else:
            share[open_loci] = np.minimum(share[open_loci] + each, capacity[open_loci])
    return [
        region[np.sort(random.choice(len(region), count, replace=False))]
        for region, count in zip(sites, share, strict=True)
    ]


def _cross(sites: Sequence[np.ndarray], mutations: int) -> np.ndarray:
    """Return the codes of every (site, mutation) of the loci, int32 [mutants, 4]."""
    blocks = []
    for index, region in enumerate(sites):
        block = np.empty((len(region), mutations, 4), dtype=np.int32)
        block[..., 0] = index
        block[..., 1:3] = region[:, None, :]
        block[..., 3] = np.arange(mutations)
        blocks.append(block.reshape(-1, 4))
    return np.concatenate(blocks)
