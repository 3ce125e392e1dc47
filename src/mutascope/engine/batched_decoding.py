"""Batched decoding: divergent mutants, all at the same position, sharing what they have in common.

Mutants that have said the same so far are a *family*. Below its own layer a mutant of the family computes what the
unmodified network computes on that text, and so does every other: it is done once, by the family's *leader*, the member
that is mutated in the deepest layer. When members pick different tokens the family splits, and a new leader copies the
keys and values that it had left to the old one.

So each layer has its own batch: its rows are the mutants of this layer and below, and the leaders. A layer's rows are
the first slots of its cache; they only join, and leave when the mutant has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mutascope.engine.activation_cache import ActivationCache
from mutascope.engine.decoder import Decoder, whole_blocks
from mutascope.engine.edits import Edits, written
from mutascope.engine.head import Head
from mutascope.engine.rows import Row

_NONE = -1
"""In place of a slot: the row has none in this layer."""


def decode(decoder: Decoder, head: Head, rows: Iterable[Row]) -> Iterator[Row]:
    """Decode rows to their end, each from its divergence; yield them as they end.

    Prompts may differ in length: at a position, rows are at different steps of their texts.
    """
    waiting = sorted(rows, key=lambda row: (row.position, row.asked.index), reverse=True)
    positions = max(row.asked.start + row.asked.steps for row in waiting)
    # one of its own: what mutants that wait have seen does not lie beside the cache of a batch that has ended
    batch, position = BatchedDecoding(decoder, [row.layer for row in waiting], positions), 0
    while waiting or batch.count:
        position = position + 1 if batch.count else waiting[-1].position
        new = []
        while waiting and waiting[-1].position == position:
            new.append(waiting.pop())
        batch.admit(new, position)
        final = decoder.final(batch.step(position))
        batch.tell()  # while a card is at work
        families = batch.families() if head.has_shortlists else ()
        ended = batch.take(head.sample_families(final, batch.steps, families).numpy())
        batch.part(ended, position + 1)
        yield from ended


class BatchedDecoding:
    """Divergent mutants on their way from position to position. Each has a number, in the order in which they came.

    Attributes:
        rows: the mutants in decoding, in the order of :meth:`step`'s result.

    Args:
        decoder: of the network.
        mutated: layers of all mutants that there will be.
        positions: of the longest text.
    """

    def __init__(self, decoder: Decoder, mutated: Sequence[int], positions: int) -> None:
        layers, count = len(decoder.layers), len(mutated)
        self.decoder, self._positions = decoder, positions
        self._known: list[Row] = []
        self._numbers: dict[Row, int] = {}
        self._layers = np.zeros(count, dtype=np.int64)
        self._leaders = np.zeros(count, dtype=np.int64)
        # of every text: its last token, how many it has, and how many it has at most
        self._tokens, self._lengths, self._most = np.zeros((3, count), dtype=np.int64)
        self._written = written(())
        self.rows: list[Row] = []
        self._untold: list[int] = []
        self._slots = np.full((layers, count), _NONE)
        self._members = np.zeros((layers, count), dtype=np.int64)
        self._counts = [0] * layers
        leaders = decoder.operations.SIZES.leaders
        own = np.bincount(mutated, minlength=layers).cumsum().tolist()
        rooms = [some + round(leaders * (count - some)) for some in own]
        self._caches = [decoder.new_layer_cache(room, positions) for room in rooms]
        self._edits: Edits | None = None
        # by layer above the first: rows of the layer below; none when they have changed
        self._sources: Sequence[Tensor] = ()

    @property
    def count(self) -> int:
        """How many mutants are in decoding."""
        return self._counts[-1]

    @property
    def steps(self) -> Tensor:
        """Index of the token that every mutant in decoding picks next."""
        return torch.from_numpy(self._lengths[self._batch(-1)])

    def admit(self, rows: Sequence[Row], position: int) -> None:
        """Take in mutants whose latest token stands at ``position`` and has left their text."""
        if not rows:
            return
        decoder, known_before = self.decoder, len(self._known)
        self._known += rows
        numbers = np.arange(known_before, len(self._known))
        self._numbers.update(zip(rows, numbers.tolist(), strict=True))
        self._layers[numbers] = [row.layer for row in rows]
        self._tokens[numbers] = [row.tokens[-1] for row in rows]
        self._lengths[numbers] = [len(row.tokens) for row in rows]
        self._most[numbers] = [row.asked.steps for row in rows]
        edits = written(zip(numbers.tolist(), [row.edit for row in rows], strict=True))
        self._written = np.concatenate([self._written, edits], axis=1)
        self._edits = None
        self.rows += rows
        seen = [row.take_seen().unbind(0) for row in rows]
        for layer in range(len(self._caches)):
            own = np.flatnonzero(self._layers[numbers] <= layer).tolist()
            if own:
                known = [seen[index][layer - rows[index].layer] for index in own]
                first = self._join(layer, numbers[own])
                decoder.operations.put_rows(self._caches[layer], first, known)
        families: dict[tuple[int, ...], list[int]] = {}
        for number, row in enumerate(rows, known_before):
            families.setdefault((row.asked.index, *row.tokens), []).append(number)
        self._found([*families.values()], position)

    def _found(self, families: Sequence[list[int]], position: int) -> None:
        """Give new families leaders, who see below their layer what the text that they leave has before a position."""
        texts: dict[ActivationCache, list[int]] = {}
        for family in families:
            leader = self._deepest(family)
            self._leaders[family] = leader
            texts.setdefault(self._known[leader].text, []).append(leader)
        for text, leaders in texts.items():
            for layer in range(self._layers[leaders].max()):
                above = [leader for leader in leaders if self._layers[leader] > layer]
                known = text.keys_values(layer, position)
                first = self._join(layer, np.array(above))
                self._caches[layer][:, first : first + len(above), :, : known.shape[2]] = known[:, None]

    def step(self, position: int) -> Tensor:
        """Feed every mutant its last token, which stands at ``position``; return the last layer's output."""
        decoder = self.decoder
        places = decoder.places(position, position + 1)
        if self._edits is None:
            slots = self._slots[self._layers, np.arange(len(self._layers))]
            self._edits = Edits(self._written, slots, decoder.strips)
        if not self._sources:
            above = [self._seats(layer - 1, self._batch(layer)) for layer in range(1, len(self._caches))]
            together = decoder.indices(np.concatenate(above)) if above else decoder.indices([])
            self._sources = together.split([len(some) for some in above])
        fed = decoder.indices(self._tokens[self._batch(0)])
        hidden = decoder.embed(fed[:, None], places)
        for layer, cache in enumerate(self._caches):
            if layer:
                hidden = hidden.index_select(0, self._sources[layer - 1])
            hidden = decoder.layer(layer, hidden, self._edits, cache, places)
        return hidden[:, 0]

    def families(self) -> list[list[int]]:
        """Return the families as indices into ``rows``, the leader first."""
        members: dict[int, list[int]] = {}
        numbers = self._batch(-1)
        for index, (number, leader) in enumerate(
            zip(numbers.tolist(), self._leaders[numbers].tolist(), strict=True)
        ):
            family = members.setdefault(leader, [])
            family.insert(0 if number == leader else len(family), index)
        return list(members.values())

    def take(self, picked: np.ndarray) -> list[Row]:
        """Extend the mutants in decoding by the tokens that they pick; return those that have ended.

        The others are told by :meth:`tell`: the next step does not need to know that they were.
        """
        numbers, rows = self._batch(-1), self.rows
        self._tokens[numbers] = picked
        self._lengths[numbers] += 1
        self._untold = picked.tolist()
        full = (picked < 0) | (self._lengths[numbers] >= self._most[numbers])
        ends = np.isin(picked, [*rows[0].asked.ends]) if rows[0].asked.ends else False
        ended = np.flatnonzero(full | ends).tolist()
        if ended:
            self.tell()
        return [rows[index] for index in ended]

    def tell(self) -> None:
        """Extend the rows by the tokens that they have picked last, if they do not know them."""
        deque(map(Row.take, self.rows, self._untold), maxlen=0)  # consumes them
        self._untold = []

    def part(self, ended: Sequence[Row], position: int) -> None:
        """Let the mutants that have ended go, and split the families of those that go on.

        Args:
            ended: mutants to let go.
            position: where the tokens that were just picked stand.
        """
        gone = [self._numbers.pop(row) for row in ended]
        left = np.setdiff1d(self._batch(-1), gone, assume_unique=True)
        heirs = self._heirs(left, set(gone))
        self._copy([self._inherit(layer, heirs) for layer in range(len(self._caches))], position)
        if gone:
            self._edits = None
            self._copy([self._release(layer, np.array(gone)) for layer in range(len(self._caches))], position)
            self.rows = [self._known[number] for number in self._batch(-1).tolist()]

    def _copy(self, copies: Sequence[tuple[Tensor, Sequence[int], Sequence[int]]], position: int) -> None:
        """Copy rows of layers, with what they have seen before a position."""
        if some := [copy for copy in copies if len(copy[1])]:
            self.decoder.operations.copy_rows(some, whole_blocks(position))

    def _inherit(self, layer: int, heirs: Mapping[int, int]) -> tuple[Tensor, Sequence[int], Sequence[int]]:
        """Give new leaders slots in a layer below their own; return what must be copied, from the old ones' slots."""
        new = [heir for heir in heirs if self._layers[heir] > layer]
        if not new:
            return self._caches[layer], (), ()
        known = self._slots[layer, [heirs[heir] for heir in new]].tolist()
        first = self._join(layer, np.array(new))
        return self._caches[layer], known, range(first, first + len(new))

    def _heirs(self, left: np.ndarray, gone: set[int]) -> dict[int, int]:
        """Give families whose members have parted leaders of their own; return the old leader of each of these."""
        leaders, tokens = self._leaders[left], self._tokens[left]
        others = np.flatnonzero((tokens != self._tokens[leaders]) | np.isin(leaders, [*gone]))
        families: dict[tuple[int, int], list[int]] = {}
        for number, *family in np.column_stack([left, leaders, tokens])[others].tolist():
            families.setdefault(tuple(family), []).append(number)
        heirs = {}
        for (leader, _), family in families.items():
            heir = self._deepest(family)
            heirs[heir] = leader
            self._leaders[family] = heir
        return heirs

    def _deepest(self, family: list[int]) -> int:
        """Return the member that is mutated in the deepest layer."""
        return family[int(self._layers[family].argmax())]

    def _batch(self, layer: int) -> np.ndarray:
        """Return the numbers of the rows of a layer, by slot."""
        return self._members[layer, : self._counts[layer]]

    def _seats(self, layer: int, numbers: np.ndarray) -> np.ndarray:
        """Return the slots in a layer of rows, or of the leaders that compute them."""
        slots = self._slots[layer]
        seats = slots[numbers]
        led = np.flatnonzero(seats == _NONE)
        seats[led] = slots[self._leaders[numbers[led]]]
        return seats

    def _join(self, layer: int, numbers: np.ndarray) -> int:
        """Give rows slots in a layer, and return the first of these; the cache grows by half where it is full."""
        first, self._sources = self._counts[layer], ()
        stop = self._counts[layer] = first + len(numbers)
        self._slots[layer, numbers] = np.arange(first, stop)
        self._members[layer, first:stop] = numbers
        cache = self._caches[layer]
        if stop > cache.shape[1]:
            room = min(self._members.shape[1], max(stop, cache.shape[1] * 3 // 2))
            self._caches[layer] = self.decoder.new_layer_cache(room, self._positions)
            self._caches[layer][:, :first] = cache[:, :first]
        return first

    def _release(self, layer: int, gone: np.ndarray) -> tuple[Tensor, Sequence[int], Sequence[int]]:
        """Take rows out of a layer; its last rows move into their slots, so that the batch stays dense: return what
        must be copied.
        """
        slots = self._slots[layer, gone]
        slots = slots[slots != _NONE]
        self._sources = ()
        self._slots[layer, gone] = _NONE
        count = self._counts[layer] = self._counts[layer] - len(slots)
        last = np.arange(count, count + len(slots))
        holes, last = slots[slots < count], np.setdiff1d(last, slots, assume_unique=True)
        numbers = self._members[layer, last]
        self._members[layer, holes], self._slots[layer, numbers] = numbers, holes
        return self._caches[layer], last.tolist(), holes.tolist()
