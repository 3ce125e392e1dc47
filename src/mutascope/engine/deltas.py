"""Mutations as changes of the output of a linear map: ``out[tile rows] += (new - wild type) @ x[tile columns]``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mutascope.genome import Mutant
from mutascope.mutations import Mutagen


@dataclass(frozen=True)
class Delta:
    """The change that a mutation makes to its matrix: ``change`` [tile rows, tile cols] at (top, left)."""

    layer: int
    kind: str
    top: int
    left: int
    change: Tensor


def delta_of(mutagen: Mutagen, mutant: Mutant) -> Delta:
    """Return a mutant's delta; a ragged edge tile is padded with zeros and moved inside, so that all have one shape."""
    locus = mutagen.locus(mutant)
    top, bottom, left, right = mutagen.tiling.bounds(locus, mutant.row, mutant.col)
    high, wide = min(mutagen.tiling.tile, locus.rows), min(mutagen.tiling.tile, locus.cols)
    wild = mutagen.wild_type_tile(mutant)
    change = mutagen.replacement(mutant).to(wild.dtype) - wild
    padded = change.new_zeros(high, wide)
    moved_up, moved_left = high - (bottom - top), wide - (right - left)
    padded[moved_up:, moved_left:] = change
    return Delta(mutant.layer, mutant.kind, top - moved_up, left - moved_left, padded)


class Deltas:
    """The deltas of a batch, grouped by (layer, kind).

    Args:
        deltas: each with the row of the batch that it belongs to, in its own layer.
        device: of the batch.
    """

    def __init__(self, deltas: Iterable[tuple[int, Delta]], device: torch.device) -> None:
        groups: dict[tuple[int, str], list[tuple[int, Delta]]] = {}
        for row, delta in deltas:
            groups.setdefault((delta.layer, delta.kind), []).append((row, delta))
        self._groups = {key: Group(members, device) for key, members in groups.items()}

    def of(self, layer: int, kind: str) -> Group | None:
        """Return the deltas of a matrix, if there are any."""
        return self._groups.get((layer, kind))


class Group:
    """The deltas of one matrix.

    Attributes:
        at: row, leftmost input and topmost output feature of each, [members, 3].
        change: [members, tile cols, tile rows].
    """

    def __init__(self, members: Sequence[tuple[int, Delta]], device: torch.device) -> None:
        self.at = torch.tensor([(row, delta.left, delta.top) for row, delta in members], device=device)
        self.change = torch.stack([delta.change.T for _, delta in members])
        self._elements: dict[int, tuple[Tensor, Tensor]] = {}

    def elements(self, steps: int, ins: int, outs: int) -> tuple[Tensor, Tensor]:
        """Return where the tiles read and write, as indices into all elements, [members, steps, tile side].

        Args:
            steps: positions of the pass.
            ins, outs: features of input and output.
        """
        if steps not in self._elements:
            row, left, top = self.at[:, :, None, None].unbind(1)
            wide, high = (torch.arange(side, device=self.at.device) for side in self.change.shape[1:])
            places = row * steps + torch.arange(steps, device=self.at.device)[:, None]
            self._elements[steps] = (places * ins + left + wide, places * outs + top + high)
        return self._elements[steps]
