"""Writes a mutation over a tile, and undoes it.

Both engines ask :meth:`Mutagen.replacement` for the new values of a tile, so that they write the same bits.

Shapes count elements: a matrix is [outs, ins], its output features by its input features, and a tile is a square of it.
``row`` and ``col`` of a mutant count tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from mutascope.core.genome import Genome, Locus, Mutant, Tiling
from mutascope.core.operators import OPERATORS, Fill, Operator
from mutascope.model.matrices import features_of, matrix_of, parameter_of


@dataclass(frozen=True)
class Tile:
    """What an operator may look at.

    Attributes:
        values: the wild type's tile, [tile outs, tile ins], in the dtype of the model.
        maximum, minimum: extreme elements of the whole locus, 0-dimensional.
        seed: a number derived from the site alone, for operators that draw random numbers.
    """

    values: Tensor
    maximum: Tensor
    minimum: Tensor
    seed: int


Writer = Callable[[Tile], Tensor]


def operator(name: str) -> Callable[[Writer], Writer]:
    """Register a function from :class:`Tile` to the new values of the tile under ``name``."""

    def register(function: Writer) -> Writer:
        OPERATORS[name] = replace(OPERATORS.get(name, Operator()), write=function)
        return function

    return register


@operator("random")
def add_noise(tile: Tile) -> Tensor:
    """Add Gaussian noise of the same Frobenius norm as the change that ``max`` makes: a control for its size."""
    generator = torch.Generator().manual_seed(tile.seed)
    noise = torch.randn(tile.values.shape, generator=generator, dtype=torch.float64).to(tile.values.device)
    change = torch.linalg.vector_norm(tile.maximum.double() - tile.values.double())
    return (tile.values.double() + noise * (change / torch.linalg.vector_norm(noise))).to(tile.values.dtype)


def new_values(mutation: str, tile: Tile) -> Tensor:
    """Return what a mutation writes over a tile, [rows, cols]."""
    chosen = OPERATORS[mutation]
    if chosen.write is not None:
        return chosen.write(tile)
    assert chosen.fill is not None, f"{mutation} has neither a fill nor a function"
    return _filled(tile.values, chosen.fill(tile.maximum, tile.minimum))


def _filled(values: Tensor, fill: Fill) -> Tensor:
    """Return ``scale`` * values + ``constant``, without a rounding or a sign of zero where one of them does nothing."""
    if fill.scale == 0:
        return torch.as_tensor(fill.constant, dtype=values.dtype, device=values.device).expand_as(values)
    scaled = values.clone() if fill.scale == 1 else values * fill.scale
    return scaled if fill.constant == 0 else scaled + fill.constant


class Mutagen:
    """Reads and writes the tiles of one model."""

    def __init__(self, network: PreTrainedModel, genome: Genome, tiling: Tiling) -> None:
        self.network = network
        self.tiling = tiling
        self.loci: dict[str, Locus] = {locus.name: locus for locus in genome}
        self._extremes: dict[str, tuple[Tensor, Tensor]] = {}

    def locus(self, mutant: Mutant) -> Locus:
        """Return the locus of a mutant."""
        return self.loci[mutant.locus_name]

    def matrix(self, locus: Locus) -> Tensor:
        """Return the matrix of a locus, [outs, ins]: a view where the parameter is not fused by head, else a copy."""
        return matrix_of(self.network, locus)

    def replacement(self, mutant: Mutant) -> Tensor:
        """Return the values that the mutation writes, [tile outs, tile ins], in the dtype of the model."""
        return self._replacement(mutant, self.wild_type_tile(mutant))

    def _replacement(self, mutant: Mutant, wild: Tensor) -> Tensor:
        locus = self.locus(mutant)
        maximum, minimum = self.extremes(locus)
        seed = int.from_bytes(
            hashlib.sha256(f"{locus.name}:{mutant.row},{mutant.col}".encode()).digest()[:7], "big"
        )
        return new_values(mutant.mutation, Tile(wild, maximum, minimum, seed))

    def wild_type_tile(self, mutant: Mutant) -> Tensor:
        """Return a copy of the current values at the mutant's site, [tile outs, tile ins]."""
        parameter, outs, ins = self._site(mutant)
        return parameter[outs, ins].clone()

    def edited_rows(self, mutant: Mutant) -> tuple[int, Tensor]:
        """Return the first output feature of the mutant's tile, and a copy of the weights of all of the tile's output
        features with the mutation in place, [tile outs, ins]; nothing is written.
        """
        parameter, outs, ins = self._site(mutant)
        rows = parameter[outs].clone()
        rows[:, ins] = self._replacement(mutant, rows[:, ins].clone())
        return mutant.row * self.tiling.tile, rows

    @contextmanager
    def mutated(self, mutant: Mutant, dose: float = 1.0) -> Iterator[PreTrainedModel]:
        """Hand out the network with the mutation in place; restore the tile bit for bit, whatever happens.

        Args:
            mutant: what is written.
            dose: how far the tile goes from the wild type (0) to the mutation (1), linearly.
        """
        parameter, outs, ins = self._site(mutant)
        wild, new = self.wild_type_tile(mutant), self.replacement(mutant)
        if dose != 1:
            new = torch.lerp(wild, new, dose)
        interrupt: KeyboardInterrupt | None = None
        try:
            parameter[outs, ins] = new
            yield self.network
        finally:
            # An interrupt that arrives here is raised once the tile is whole again. Not in a function of its own:
            # Python delivers interrupts at the moment of a call, before the function's first `try`.
            while True:
                try:
                    parameter[outs, ins] = wild
                    break
                except KeyboardInterrupt as arrived:
                    interrupt = arrived
            if interrupt is not None:
                raise interrupt

    def _site(self, mutant: Mutant) -> tuple[Tensor, slice | Tensor, slice]:
        locus = self.locus(mutant)
        top, bottom, left, right = self.tiling.bounds(locus, mutant.row, mutant.col)
        return parameter_of(self.network, locus), features_of(locus, top, bottom), slice(left, right)

    def extremes(self, locus: Locus) -> tuple[Tensor, Tensor]:
        """Return the largest and the smallest element of a locus of the wild type, 0-dimensional."""
        if locus.name not in self._extremes:
            matrix = self.matrix(locus)
            self._extremes[locus.name] = (matrix.amax(), matrix.amin())
        return self._extremes[locus.name]
