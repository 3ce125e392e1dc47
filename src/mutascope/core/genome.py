"""Loci, sites and mutants: the coordinates of a screen, without any tensor work.

A *locus* is one weight matrix, seen with output features as rows and input features as columns, however the
checkpoint stores it. A *site* is one tile of it. A *mutant* is a site with the mutation written over it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mutascope.core.errors import MutascopeError, nearest
from mutascope.core.kinds import base_kind, grouped, kind_rank


@dataclass(frozen=True, slots=True)
class Locus:
    """One weight matrix of the model.

    Attributes:
        layer: decoder layer, from 0.
        kind: of :data:`mutascope.core.kinds.KINDS`, or another word for matrices of other architectures.
        rows: output features.
        cols: input features.
        parameter: qualified name of the parameter that holds the matrix.
        transposed: the parameter is stored as [input, output] (GPT-2's Conv1D).
        offset, block, period: which output features of a fused parameter belong to the locus. Row ``r`` of the
            locus is output feature ``(r // block) * period + offset + r % block`` of the parameter: consecutive
            for GPT-2, one block per head for GPT-NeoX.
        expert: of a parameter that stacks the matrices of experts, which one it is, and of how many.
    """

    layer: int
    kind: str
    rows: int
    cols: int
    parameter: str
    transposed: bool = False
    offset: int = 0
    block: int = 0
    period: int = 0
    expert: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """Short name, ``15.down``."""
        return f"{self.layer}.{self.kind}"

    def features(self, start: int, stop: int) -> list[int]:
        """Output features of the parameter that hold rows ``start`` to ``stop`` (exclusive) of the locus."""
        if not self.block:
            return list(range(start, stop))
        return [(r // self.block) * self.period + self.offset + r % self.block for r in range(start, stop)]


@dataclass(frozen=True, slots=True)
class Tiling:
    """Square tiles of side ``tile`` (elements); edge tiles are cut to the matrix (METHOD, Terms)."""

    tile: int

    def __post_init__(self) -> None:
        if self.tile < 1:
            raise MutascopeError(f"tile must be at least 1, not {self.tile}")

    def grid(self, locus: Locus) -> tuple[int, int]:
        """Return the number of site rows and site columns of ``locus``."""
        return -(-locus.rows // self.tile), -(-locus.cols // self.tile)

    def sites(self, locus: Locus) -> int:
        """Return the number of sites of ``locus``."""
        rows, cols = self.grid(locus)
        return rows * cols

    def bounds(self, locus: Locus, row: int, col: int) -> tuple[int, int, int, int]:
        """Return ``(row start, row stop, col start, col stop)`` of a site, in elements of the locus."""
        top, left = row * self.tile, col * self.tile
        return top, min(top + self.tile, locus.rows), left, min(left + self.tile, locus.cols)


def auto_tile(hidden_size: int) -> int:
    """Return the power of two that gives about 64 tiles across ``hidden_size`` (8 for 576, 64 for 4096)."""
    return 2 ** max(0, round(math.log2(hidden_size / 64)))


_MUTANT = re.compile(r"(\d+)\.([\w.-]+):(\d+),(\d+):([\w-]+)")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutation at one site: ``layer.kind:row,col:mutation``, row and col in tile coordinates."""

    layer: int
    kind: str
    row: int
    col: int
    mutation: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.kind}:{self.row},{self.col}:{self.mutation}"

    @property
    def locus_name(self) -> str:
        """Name of the mutant's locus, ``15.down``."""
        return f"{self.layer}.{self.kind}"

    @classmethod
    def parse(cls, text: str) -> Mutant:
        """Read a mutant such as ``15.down:3,7:max``.

        Raises:
            MutascopeError: when the text has another form.
        """
        match = _MUTANT.fullmatch(text.strip())
        if match is None:
            raise MutascopeError(
                f"{text!r} is not a mutant; write layer.kind:row,col:mutation, as in 15.down:3,7:max"
            )
        layer, kind, row, col, mutation = match.groups()
        return cls(int(layer), kind, int(row), int(col), mutation)


@dataclass(frozen=True)
class Genome:
    """The loci of a model, and the matrices that are not among them.

    Attributes:
        loci: in order of layer and kind.
        hidden_size: width of the residual stream.
        embeddings: names and shapes of embedding and output matrices, which the method leaves alone.
        uncovered: names and shapes of matrices that look mutable but that no rule covers.
    """

    loci: tuple[Locus, ...]
    hidden_size: int
    embeddings: tuple[tuple[str, tuple[int, ...]], ...] = ()
    uncovered: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def layer_weights(self) -> int:
        """Number of weights in the matrices of the layers, those of no locus included."""
        loci = sum(locus.rows * locus.cols for locus in self.loci)
        return loci + sum(math.prod(shape) for _, shape in self.uncovered)

    @property
    def layers(self) -> list[int]:
        """Layers that have at least one locus, ascending."""
        return sorted({locus.layer for locus in self.loci})

    @property
    def kinds(self) -> list[str]:
        """Kinds that occur, in canonical order."""
        return list(dict.fromkeys(locus.kind for locus in sorted(self.loci, key=lambda x: kind_rank(x.kind))))

    def __len__(self) -> int:
        return len(self.loci)

    def __iter__(self) -> Iterator[Locus]:
        return iter(self.loci)

    def locus(self, layer: int, kind: str) -> Locus:
        """Return the locus at (layer, kind).

        Raises:
            MutascopeError: when the model has no such locus.
        """
        for locus in self.loci:
            if locus.layer == layer and locus.kind == kind:
                return locus
        self.check(layers=[layer], kinds=[kind])
        raise MutascopeError(f"layer {layer} of this model has no {kind}")

    def check(self, layers: list[int] | None = None, kinds: list[str] | None = None) -> None:
        """Raise MutascopeError for a layer or a kind that the model does not have."""
        for layer in layers or []:
            if layer not in self.layers:
                raise MutascopeError(
                    f"layer {layer} is out of range: this model has layers {self.layers[0]} to {self.layers[-1]}"
                )
        for kind in kinds or []:
            if kind not in {*self.kinds, *map(base_kind, self.kinds)}:
                raise MutascopeError(
                    f"unknown kind {kind!r}: this model has {', '.join(grouped(self.kinds))}"
                )

    def check_mutant(self, mutant: Mutant, tiling: Tiling) -> None:
        """Raise MutascopeError when ``mutant`` is not a site of this genome."""
        rows, cols = tiling.grid(self.locus(mutant.layer, mutant.kind))
        if mutant.row >= rows or mutant.col >= cols or min(mutant.row, mutant.col) < 0:
            raise MutascopeError(
                f"impossible site {mutant}: at tile {tiling.tile}, {mutant.locus_name} has rows 0 to {rows - 1} and"
                f" columns 0 to {cols - 1}"
            )


def check_name(what: str, name: str, known: list[str]) -> None:
    """Raise MutascopeError, naming the nearest known word, when ``name`` is not among ``known``."""
    if name not in known:
        raise MutascopeError(f"unknown {what} {name!r}: {nearest(name, known)}")


def coverage(screened: int, layer_weights: int, uncovered: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Return in words which share of the layers' weights is screened, and what is no locus.

    Args:
        screened: number of weights in the loci that are screened.
        layer_weights: as in :class:`Genome`.
        uncovered: as in :class:`Genome`.
    """
    told = f"{_percent(screened, layer_weights)} of the weights of the layers"
    if not uncovered:
        return told
    left = sum(math.prod(shape) for _, shape in uncovered)
    more = f" and {len(uncovered) - 1} more" if len(uncovered) > 1 else ""
    return f"{told}; {_percent(left, layer_weights)} are no locus: {uncovered[0][0]}{more}"


def _percent(part: int, whole: int) -> str:
    """Return a share in percent, 100 only where nothing is left."""
    share = 100 * part / whole
    return f"{share:.3g} %" if part == whole or share < 99.95 else "above 99.9 %"
