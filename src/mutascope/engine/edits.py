"""Mutations as weights of their own for the outputs of a tile: the rows of a matrix that the tile lies in, edited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mutascope.core.genome import Mutant
from mutascope.engine.decoder import MAPS, Decoder
from mutascope.model.mutations import Mutagen
from mutascope.numerics import cpu


@dataclass(frozen=True)
class Edit:
    """What a mutant computes otherwise.

    Attributes:
        layer: that is mutated.
        map: name of the decoder's map that it is in.
        top: first output feature of the map that is edited.
        weights: of the tile's outputs, packed; of a pair, those of both matrices.
    """

    layer: int
    map: str
    top: int
    weights: Any


def edit_of(mutagen: Mutagen, decoder: Decoder, mutant: Mutant) -> Edit:
    """Return what a mutant computes otherwise."""
    name = MAPS[mutant.kind]
    top, rows = mutagen.edited_rows(mutant)
    if not decoder.architecture.spec.gated or name != "up":
        return Edit(mutant.layer, name, top + decoder.offset(mutant.kind), decoder.operations.pack(rows))
    same = slice(top, top + len(rows))
    other = decoder.architecture.matrix(mutant.layer, "up" if mutant.kind == "gate" else "gate")[same]
    pair = (rows, other) if mutant.kind == "gate" else (other, rows)
    return Edit(mutant.layer, name, top, decoder.operations.pack_pair(*pair))


class Edits:
    """The edits of a batch, by layer and map.

    Args:
        edits: each with the row of the batch that it belongs to, in its own layer.
        strips: of the decoder's operations, which lays them out.
    """

    def __init__(
        self, edits: Iterable[tuple[int, Edit | None]] = (), strips: Callable[..., Any] = cpu.strips
    ) -> None:
        groups: dict[tuple[int, str], list[tuple[int, int, Any]]] = {}
        for row, edit in edits:
            if edit is not None:
                groups.setdefault((edit.layer, edit.map), []).append((row, edit.top, edit.weights))
        self._strips = strips(groups)

    def of(self, layer: int, name: str) -> Any | None:
        """Return the edits of a map of a layer, if there are any."""
        return self._strips.get((layer, name))
