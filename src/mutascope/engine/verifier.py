"""Rows that are fed the tokens of a known text, several positions at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, Places, whole_blocks
from mutascope.engine.edits import Edits
from mutascope.engine.head import Head, Shortlist
from mutascope.engine.trace import Row


class Verifier:
    """Feeds rows, each in a slot of its own, the tokens of their texts.

    A row is computed from its own layer upwards; below it, it sees what the unmodified network sees on the text.

    Args:
        decoder: of the network.
        head: of the assay.
        cache: room for the keys and values of the rows (:meth:`Decoder.new_cache`).
        start: tokens of the prompt.
    """

    def __init__(self, decoder: Decoder, head: Head, cache: Tensor, start: int) -> None:
        self.decoder, self.head, self.cache, self.start = decoder, head, cache, start

    def recall(self, row: Row, slot: int) -> int:
        """Put what a row has seen into a slot; return the position that it is fed next."""
        if row.seen is None:
            return 0
        seen = row.take_seen()
        self.cache[row.layer :, :, slot, :, : seen.shape[3]] = seen
        return self.start + len(row.tokens) - 1

    def retire(self, row: Row, slot: int) -> None:
        """Let a row remember what it has seen: all but its latest token."""
        blocks = whole_blocks(self.start + len(row.tokens) - 1)
        row.seen = self.cache[row.layer :, :, slot, :, :blocks].clone()

    def move(self, row: Row, slot: int, to: int, positions: int) -> None:
        """Move the first positions of a row to another slot."""
        layers, blocks = slice(row.layer, None), whole_blocks(positions)
        self.cache[layers, :, to, :, :blocks] = self.cache[layers, :, slot, :, :blocks]

    def states(self, rows: Sequence[Row], spans: Sequence[range]) -> Tensor:
        """Feed rows the tokens at their positions; return the final states, [rows, most positions, hidden].

        Where a row has fewer positions than others, its last one is repeated.

        Args:
            rows: in the order of their slots, those that are mutated in lower layers first.
            spans: positions of each.
        """
        decoder, count = self.decoder, max(map(len, spans))
        edits = Edits((place, row.edit) for place, row in enumerate(rows))
        if len(set(spans)) == 1:
            places = decoder.places(spans[0].start, spans[0].stop)
        else:
            last = torch.tensor([span.stop - 1 for span in spans])
            begin = torch.tensor([span.start for span in spans])
            positions = torch.minimum(begin[:, None] + torch.arange(count), last[:, None])
            places = Places(positions, int(last.max()) + 1)
        hidden = self.cache.new_empty(len(rows), count, decoder.hidden_size)
        active = 0
        for index in range(rows[0].layer, len(decoder.layers)):
            while active < len(rows) and rows[active].layer == index:
                span = spans[active]
                known = rows[active].text.inputs(index, span.start, span.stop)
                hidden[active, : len(span)], hidden[active, len(span) :] = known, known[-1]
                active += 1
            hidden[:active] = decoder.layer(index, hidden[:active], edits, self.cache[index], places)
        return decoder.final(hidden)

    def picks(
        self, rows: Sequence[Row], final: Tensor, spans: Sequence[range], known: Sequence[Shortlist] = ()
    ) -> list[list[int]]:
        """Return what each row picks after each of its positions, but those within the prompt.

        Args:
            rows: as fed.
            final: their final states, [rows, most positions, hidden].
            spans: positions of each.
            known: shortlists of the text, by step, where all rows are fed the same positions of it.
        """
        # rows that begin within the prompt are all fed the same
        first = max(0, self.start - 1 - spans[0].start)
        if known and first < len(spans[0]):
            step = spans[0].start + first - self.start + 1
            return self.head.pick_near(final[:, first:], known[step : step + len(spans[0]) - first]).tolist()
        table: list[list[int]] = [[] for _ in rows]
        families: dict[tuple[int, int], list[int]] = {}
        fed = [(slot, at) for slot, span in enumerate(spans) for at in span[first:]]
        if not fed:
            return table
        for index, (slot, at) in enumerate(fed):
            families.setdefault((id(rows[slot].text), at), []).append(index)
        slots, at = torch.tensor(fed).T
        begins = torch.tensor([span.start for span in spans])
        tokens = self.head.pick_families(
            final[slots, at - begins[slots]], at - self.start + 1, list(families.values())
        )
        for (slot, _), token in zip(fed, tokens.tolist(), strict=True):
            table[slot].append(token)
        return table
