"""Batched decoding: divergent mutants, all at the same position, sharing what they have in common.

Mutants that have said the same so far are a *family*. Below its own layer a mutant of the family computes what the
unmodified network computes on that text, and so does every other: it is done once, by the family's *leader*, the member
that is mutated in the deepest layer. When members pick different tokens the family splits, and a new leader copies the
keys and values that it had left to the old one.

So each layer has its own batch: its rows are the mutants of this layer and below, and the leaders. A layer's rows are
the first slots of its cache; they only join, and leave when the mutant has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, whole_blocks
from mutascope.engine.edits import Edits
from mutascope.engine.head import Head
from mutascope.engine.rows import Row


def decode(decoder: Decoder, head: Head, rows: Iterable[Row]) -> Iterator[Row]:
    """Decode rows to their end, each from its divergence; yield them as they end.

    Prompts may differ in length: at a position, rows are at different steps of their texts.
    """
    waiting = sorted(rows, key=lambda row: (row.position, row.asked.index), reverse=True)
    positions = max(row.asked.start + row.asked.steps for row in waiting)
    # one of its own: what mutants that wait have seen does not lie beside the cache of a batch that has ended
    batch, position = BatchedDecoding(decoder, decoder.new_cache(len(waiting), positions)), 0
    while waiting or batch.rows:
        position = position + 1 if batch.rows else waiting[-1].position
        new = []
        while waiting and waiting[-1].position == position:
            new.append(waiting.pop())
        batch.admit(new, position)
        final = decoder.final(batch.step(position))
        steps = torch.tensor([len(row.tokens) for row in batch.rows])
        tokens = head.sample_families(final, steps, batch.families()).tolist()
        for row, token in zip(batch.rows, tokens, strict=True):
            row.take(token)
        ended = [row for row in batch.rows if row.ended]
        batch.part(ended, position + 1)
        yield from ended


class BatchedDecoding:
    """Divergent mutants on their way from position to position.

    Args:
        decoder: of the network.
        cache: room for the keys and values of as many mutants as there will be (:meth:`Decoder.new_cache`).
    """

    def __init__(self, decoder: Decoder, cache: Tensor) -> None:
        self.decoder, self.cache = decoder, cache
        self._batches: list[list[Row]] = [[] for _ in decoder.layers]
        self._slots: dict[Row, list[int | None]] = {}
        self._leaders: dict[Row, Row] = {}
        self._edits: Edits | None = None
        # by layer above the first: rows of the layer below; none when they have changed
        self._sources: list[Tensor] = []

    @property
    def rows(self) -> list[Row]:
        """The mutants in decoding, in the order of :meth:`step`'s result."""
        return self._batches[-1]

    def admit(self, rows: Iterable[Row], position: int) -> None:
        """Take in mutants whose latest token stands at ``position`` and has left their text."""
        families: dict[tuple[int, ...], list[Row]] = {}
        for row in rows:
            self._edits = None
            families.setdefault((row.asked.index, *row.tokens), []).append(row)
            self._slots[row] = [None] * len(self._batches)
            for layer, seen in enumerate(row.take_seen(), start=row.layer):
                self._join(row, layer)[:, :, : seen.shape[2]] = seen
        for family in families.values():
            leader = max(family, key=lambda row: row.layer)
            self._lead(
                leader, family, [leader.text.keys_values(layer, position) for layer in range(leader.layer)]
            )

    def step(self, position: int) -> Tensor:
        """Feed every mutant its last token, which stands at ``position``; return the last layer's output."""
        decoder = self.decoder
        places = decoder.places(position, position + 1)
        if self._edits is None:
            pairs = ((self._slot(row, row.layer), row.edit) for row in self.rows)
            self._edits = Edits(pairs, decoder.operations.strips)
        if not self._sources:
            self._sources = [
                decoder.indices([self._slot(row, below) for row in batch])
                for below, batch in enumerate(self._batches[1:])
            ]
        fed = decoder.indices([row.tokens[-1] for row in self._batches[0]])
        hidden = decoder.embed(fed[:, None], places)
        for layer in range(len(self._batches)):
            if layer:
                hidden = hidden.index_select(0, self._sources[layer - 1])
            hidden = decoder.layer(layer, hidden, self._edits, self.cache[layer], places)
        return hidden[:, 0]

    def families(self) -> list[list[int]]:
        """Return the families as indices into ``rows``, the leader first."""
        members: dict[Row, list[int]] = {leader: [] for leader in self._leaders.values()}
        for index, row in enumerate(self.rows):
            members[self._leaders[row]].insert(0 if self._leaders[row] is row else len(self.rows), index)
        return list(members.values())

    def part(self, ended: Sequence[Row], position: int) -> None:
        """Let the mutants that have ended go, and split the families of those that go on.

        Args:
            ended: mutants to let go.
            position: where the tokens that were just picked stand.
        """
        gone = set(ended)
        families: dict[tuple[Row, int], list[Row]] = {}
        for row in self.rows:
            if row not in gone:
                families.setdefault((self._leaders[row], row.tokens[-1]), []).append(row)
        for (leader, _), family in families.items():
            if leader not in family:
                heir = max(family, key=lambda row: row.layer)
                slots = [self._slot(leader, layer) for layer in range(heir.layer)]
                blocks = whole_blocks(position)
                below = [self.cache[layer][:, slot, :, :blocks] for layer, slot in enumerate(slots)]
                self._lead(heir, family, below)
        for row in ended:
            self._edits = None
            self._release(row, position)

    def _lead(self, leader: Row, family: list[Row], below: Sequence[Tensor]) -> None:
        """Make the deepest member the leader, with the keys and values of the layers below it."""
        for layer, known in enumerate(below):
            self._join(leader, layer)[:, :, : known.shape[2]] = known
        for row in family:
            self._leaders[row] = leader
        self._sources = []

    def _join(self, row: Row, layer: int) -> Tensor:
        """Give a row a slot in a layer and return its keys and values, [2, n_kv_heads, positions, head_dim]."""
        self._sources = []
        slot = self._slots[row][layer] = len(self._batches[layer])
        self._batches[layer].append(row)
        return self.cache[layer][:, slot]

    def _slot(self, row: Row, layer: int) -> int:
        """Return the slot in a layer of a row, or of the leader that computes it."""
        own = self._slots[row][layer]
        if own is None:
            own = self._slots[self._leaders[row]][layer]
        assert own is not None, "a leader has a slot in every layer"
        return own

    def _release(self, row: Row, position: int) -> None:
        """Take a row out; in every layer the last row moves into its slot, so that the batch stays dense."""
        self._sources = []
        for layer, slot in enumerate(self._slots.pop(row)):
            if slot is None:
                continue
            last = self._batches[layer].pop()
            if last is not row:
                cache = self.cache[layer]
                blocks = whole_blocks(position)
                cache[:, slot, :, :blocks] = cache[:, len(self._batches[layer]), :, :blocks]
                self._batches[layer][slot] = last
                self._slots[last][layer] = slot
        del self._leaders[row]
