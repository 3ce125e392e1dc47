"""Mutations as weights of their own for the outputs of a tile: the rows of a matrix that the tile lies in, edited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mutascope.core.genome import Mutant
from mutascope.engine.decoder import MAPS, Decoder
from mutascope.model.mutations import Mutagen
from mutascope.numerics import cpu

_NAMES = tuple(dict.fromkeys(MAPS.values()))
_FIELDS = 6
_NOTHING = np.zeros((_FIELDS, 0), dtype=np.int64)


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


def written(edits: Iterable[tuple[int, Edit | None]]) -> np.ndarray:
    """Return what edits, each with the number of its row, have written: int64 [6, strips]; once for many passes.

    Of a strip it says the number, the map (of which layer, and which), and what the weights say of themselves.
    """
    strips = np.array(
        [
            (number, edit.layer * len(_NAMES) + _NAMES.index(edit.map), *entry)
            for number, edit in edits
            if edit is not None
            for entry in edit.weights.entries(edit.top)
        ],
        dtype=np.int64,
    )
    return np.ascontiguousarray(strips.reshape(-1, _FIELDS).T)


class Edits:
    """The edits of a batch, by layer and map. What they were made of must outlive them.

    Args:
        table: of :func:`written`.
        rows: of the batch, each in its own layer, by number; negative ones are not there. By default the numbers
            themselves.
        strips: lays out the rows of several maps (:meth:`Decoder.strips`).
    """

    def __init__(
        self,
        table: np.ndarray = _NOTHING,
        rows: np.ndarray | None = None,
        strips: Callable[..., list[Any]] = cpu.strips,
    ) -> None:
        owners, maps = table[:2]
        seats = owners if rows is None else rows[owners]
        there = np.flatnonzero(seats >= 0)
        order = there[maps[there].astype(np.uint16).argsort(kind="stable")]  # short numbers are sorted faster
        keys, counts = np.unique(maps[order], return_counts=True)
        seated = np.stack([seats[order], *table[2:, order]], axis=1)
        laid = strips(seated, counts.tolist()) if len(keys) else []
        names = [(key // len(_NAMES), _NAMES[key % len(_NAMES)]) for key in keys.tolist()]
        self._strips = dict(zip(names, laid, strict=True))

    def of(self, layer: int, name: str) -> Any | None:
        """Return the edits of a map of a layer, if there are any."""
        return self._strips.get((layer, name))
