"""Rows that are fed the tokens of a known text, several positions at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, Places, whole_blocks
from mutascope.engine.edits import Edits, written
from mutascope.engine.head import Head, Shortlist
from mutascope.engine.measures import Measure
from mutascope.engine.rows import Row
from mutascope.engine.wild_type import FurtherReading

_SHORTEST = 8


class Batch:
    """Rows in the order of their slots, and what a pass asks of each of them, in arrays.

    Attributes:
        rows: those that are mutated in lower layers first.
        layers: of each.
        begin, end: position that each is fed next, and one above the last of its text.

    Args:
        rows: whose edits outlive it.
        begin: as above.
    """

    def __init__(self, rows: Sequence[Row], begin: Sequence[int]) -> None:
        self.rows, self.begin = list(rows), np.array(begin)
        self.layers = np.array([row.layer for row in rows])
        self.starts = np.array([row.asked.start for row in rows])
        texts = {text: index for index, text in enumerate(dict.fromkeys(row.text for row in rows))}
        self.texts = np.array([texts[row.text] for row in rows])
        self.end = self.starts - 1 + np.array([len(text.tokens) for text in texts])[self.texts]
        self._tokens = np.zeros((len(texts), max(len(text.tokens) for text in texts)), dtype=np.int64)
        for text, index in texts.items():
            self._tokens[index, : len(text.tokens)] = text.tokens
        self._numbers, self._written = np.arange(len(rows)), written(enumerate(row.edit for row in rows))
        self._count = len(rows)

    def keep(self, slots: np.ndarray, begin: np.ndarray) -> None:
        """Leave out all rows but those of some slots, which are fed the positions from ``begin`` on."""
        self.rows, self.begin = [self.rows[slot] for slot in slots.tolist()], begin
        for name in ("layers", "starts", "texts", "end", "_numbers"):
            setattr(self, name, getattr(self, name)[slots])

    def edits(self, decoder: Decoder) -> Edits:
        """Return what the rows compute otherwise."""
        seats = np.full(self._count, -1)
        seats[self._numbers] = np.arange(len(self.rows))
        return Edits(self._written, seats, decoder.strips)

    def wanted(self, slots: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the tokens of the texts of rows at steps."""
        return self._tokens[self.texts[slots], steps]

    def runs(self, stop: np.ndarray) -> list[tuple[int, int]]:
        """Return first and last slots, and one more, of rows that see the same below their layer, which is the same,
        when they are fed the positions up to ``stop``.
        """
        alike = np.stack([self.layers, self.texts, self.begin, stop])
        edges = np.flatnonzero((alike[:, 1:] != alike[:, :-1]).any(0)) + 1
        return [*pairwise([0, *edges.tolist(), len(self.rows)])]

    def unread(self, stop: np.ndarray) -> int:
        """Return after how many positions up to ``stop`` rows pick nothing: those within their prompt, of which all are
        fed the same.
        """
        return int(min(stop[0] - self.begin[0], max(0, self.starts[0] - 1 - self.begin[0])))


@dataclass(frozen=True)
class Picks:
    """Tokens that rows pick, those of a row behind those of the one before.

    Attributes:
        tokens, slots, steps: what is picked, by which row, and as which token of its text.
        lengths: picks of every row.
    """

    tokens: np.ndarray
    slots: np.ndarray
    steps: np.ndarray
    lengths: np.ndarray


class Verifier:
    """Feeds rows, each in a slot of its own, the tokens of their texts.

    A row is computed from its own layer upwards; below it, it sees what the unmodified network sees on the text. Rows
    come in the order of their slots, those that are mutated in lower layers first.

    Args:
        decoder: of the network.
        head: of the assay.
        cache: room for the keys and values of the rows (:meth:`Decoder.new_cache`).
    """

    def __init__(self, decoder: Decoder, head: Head, cache: Tensor) -> None:
        self.decoder, self.head, self.cache = decoder, head, cache

    def verify(self, rows: list[Row], shortlists: Sequence[Shortlist] = ()) -> Iterator[Row]:
        """Feed rows their texts; yield those that end, and those that leave with what they have seen.

        Args:
            rows: all at the beginning of the same prompt, or all behind theirs.
            shortlists: of the text, by step, where there are some and all rows are at the beginning of it.
        """
        if not rows:
            return
        batch, reach = Batch(rows, [self._recall(row, slot) for slot, row in enumerate(rows)]), 0
        while batch.rows:
            width = max(_SHORTEST, self.decoder.operations.SIZES.tokens // len(batch.rows))
            stop = np.minimum(batch.begin + width, batch.end)
            reach = max(reach, int(stop.max()))
            follow = _take(batch, self._samples(batch, stop, shortlists))
            stay = follow & (stop < batch.end)
            for slot in np.flatnonzero(~stay).tolist():
                row = batch.rows[slot]
                self._retire(row, slot)
                yield row
            keep = np.flatnonzero(stay)
            self._move(batch.layers[keep], keep, reach)
            batch.keep(keep, stop[keep])

    def measure(
        self, rows: list[Row], measure: Measure, begin: int = 0, further: Sequence[FurtherReading] = ()
    ) -> Iterator[Row]:
        """Feed rows the wild type's whole text and measure them along it; yield them as :meth:`verify` does.

        Args:
            rows: of the same prompt, in whose slots the tokens before ``begin`` were fed.
            measure: what is asked of the logits.
            begin: position of the first token that is fed.
            further: the wild type's texts of further seeds, which are fed first: what a row has seen in the end is the
                text that it goes on from.
        """
        values: list[dict[str, float | None]] = [{} for _ in rows]
        picks: list[np.ndarray] = []
        for text in further:
            others = [replace(row, text=text.activations) for row in rows]
            known = text.measure.values(self._along(others, text.measure, begin))
            values = [value | more for value, more in zip(values, known, strict=True)]
            begin = rows[0].asked.start - 1  # the slots hold the prompt
        known = measure.values(self._along(rows, measure, begin, picks))
        slots, steps = (some.ravel() for some in np.indices((len(rows), len(picks))))
        lengths = np.full(len(rows), len(picks))
        _take(Batch(rows, [begin] * len(rows)), Picks(np.stack(picks, 1).ravel(), slots, steps, lengths))
        for slot, row in enumerate(rows):
            row.values = known[slot] | values[slot]
            self._retire(row, slot)
            yield row

    def _along(
        self, rows: list[Row], measure: Measure, begin: int, picks: list[np.ndarray] | None = None
    ) -> Tensor:
        """Feed rows of one prompt their text from position ``begin``; return the sums of a measure along it.

        ``picks`` gets what all rows pick, step by step.
        """
        start, end = rows[0].asked.start, rows[0].asked.start - 1 + len(rows[0].text.tokens)
        sums, batch = measure.sums(len(rows)), Batch(rows, [begin] * len(rows))
        edits = batch.edits(self.decoder)
        width = max(_SHORTEST, self.decoder.operations.SIZES.tokens // len(rows))
        for left in range(begin, end, width):
            span = range(left, min(left + width, end))
            batch.begin = np.full(len(rows), span.start)
            final = self._states(batch, np.full(len(rows), span.stop), edits)
            for at, position in enumerate(span[len(span) - final.shape[1] :]):
                step, picked = position - start + 1, []
                for some, logits in self.head.logits(final[:, at]):
                    measure.add(sums[some], logits, step)
                    if picks is not None:
                        steps = torch.full((len(logits),), step)
                        picked.append(self.head.sampler.sample(logits, steps).numpy())
                if picks is not None:
                    picks.append(np.concatenate(picked))
        return sums

    def _recall(self, row: Row, slot: int) -> int:
        """Put what a row has seen into a slot; return the position that it is fed next."""
        if row.seen is None:
            return 0
        seen = row.take_seen()
        self.cache[row.layer :, :, slot, :, : seen.shape[3]] = seen
        return row.position

    def _retire(self, row: Row, slot: int) -> None:
        """Let a row that goes on remember what it has seen: all but its latest token."""
        if not row.ended:
            row.seen = self.cache[row.layer :, :, slot, :, : whole_blocks(row.position)].clone()

    def _move(self, layers: np.ndarray, slots: np.ndarray, positions: int) -> None:
        """Move the first positions of rows, by their layers, which ascend, from slots to the first slots."""
        moved = np.flatnonzero(slots != np.arange(len(slots)))
        own, first = np.unique(layers[moved], return_index=True)
        groups = zip(own.tolist(), np.split(moved, first[1:]), strict=False)
        copies = [(self.cache[layer:], slots[group].tolist(), group.tolist()) for layer, group in groups]
        if len(moved):
            self.decoder.operations.copy_rows(copies, whole_blocks(positions))

    def _states(self, batch: Batch, stop: np.ndarray, edits: Edits) -> Tensor:
        """Feed rows the tokens up to positions ``stop``; return the final states after which tokens are picked.

        Where a row has fewer positions than others, its last one is repeated. In the last layer the tokens of the
        prompt, but for the last, are only seen by others, so their keys and values will do.

        Returns:
            [rows, most positions less those of :meth:`Batch.unread`, hidden].
        """
        decoder, last, rows = self.decoder, len(self.decoder.layers) - 1, batch.rows
        unread, places = batch.unread(stop), self._places(batch.begin, stop)
        hidden = decoder.head.new_empty(len(rows), places.positions.shape[1], decoder.hidden_size)
        runs, active = batch.runs(stop), 0
        for index in range(rows[0].layer, last + 1):
            while runs and rows[runs[0][0]].layer == index:
                first, active = runs.pop(0)
                left, right = int(batch.begin[first]), int(stop[first])
                known, fed = rows[first].text.inputs(index, left, right), right - left
                hidden[first:active, :fed], hidden[first:active, fed:] = known, known[-1]
            if index < last or not unread:
                hidden[:active] = decoder.layer(index, hidden[:active], edits, self.cache[index], places)
        if unread:
            begin, end = int(batch.begin[0]), int(stop[0])
            unseen, hidden = hidden[:, :unread].contiguous(), hidden[:, unread:].contiguous()
            decoder.remember(last, unseen, edits, self.cache[last], decoder.places(begin, begin + unread))
            if begin + unread == end:
                return hidden
            hidden = decoder.layer(last, hidden, edits, self.cache[last], decoder.places(begin + unread, end))
        return decoder.final(hidden)

    def _places(self, begin: np.ndarray, stop: np.ndarray) -> Places:
        """Return where the tokens of a pass stand."""
        if (begin == begin[0]).all() and (stop == stop[0]).all():
            return self.decoder.places(int(begin[0]), int(stop[0]))
        positions = begin[:, None] + np.arange((stop - begin).max())
        positions = np.minimum(positions, stop[:, None] - 1)
        return Places(torch.from_numpy(positions).to(self.cache.device), int(stop.max()))

    def _samples(self, batch: Batch, stop: np.ndarray, shortlists: Sequence[Shortlist]) -> Picks:
        """Feed rows the tokens up to positions ``stop``; return what each picks after those behind its prompt."""
        unread = batch.unread(stop)
        final, read = self._states(batch, stop, batch.edits(self.decoder)), batch.begin + unread
        lengths = stop - read
        slots = np.repeat(np.arange(len(read)), lengths)
        places = np.arange(len(slots)) - np.repeat(lengths.cumsum() - lengths, lengths)
        steps = places + np.repeat(read - batch.starts + 1, lengths)
        if not len(slots):
            tokens = slots
        elif shortlists:
            known = shortlists[steps[0] : steps[0] + lengths[0]]
            tokens = self.head.sample_near(final, known).flatten().numpy()
        else:
            states = final.flatten(0, 1)[self.decoder.indices(slots * final.shape[1] + places)]
            families = self._families(batch, slots, places + read[slots]) if self.head.has_shortlists else ()
            tokens = self.head.sample_families(states, torch.from_numpy(steps), families).numpy()
        return Picks(tokens, slots, steps, lengths)

    def _families(self, batch: Batch, slots: np.ndarray, positions: np.ndarray) -> list[list[int]]:
        """Return the picks of one text and position, as indices into all picks, row after row."""
        groups: dict[tuple[int, int], list[int]] = {}
        picks = zip(batch.texts[slots].tolist(), positions.tolist(), strict=True)
        for index, pick in enumerate(picks):
            groups.setdefault(pick, []).append(index)
        return list(groups.values())


def _take(batch: Batch, picks: Picks) -> np.ndarray:
    """Extend rows by the tokens that they pick, up to the first that is not their text's; return whether there is none
    such, [rows].
    """
    ends = picks.lengths.cumsum()
    first = ends - picks.lengths
    others = np.flatnonzero(picks.tokens != batch.wanted(picks.slots, picks.steps))
    leave, at = np.unique(picks.slots[others], return_index=True)
    ends[leave] = others[at]
    tokens = picks.tokens.tolist()
    for row, begin, end in zip(batch.rows, first.tolist(), ends.tolist(), strict=True):
        row.tokens += tokens[begin:end]
    for slot, index in zip(leave.tolist(), others[at].tolist(), strict=True):
        batch.rows[slot].take(tokens[index])
    follow = np.ones(len(batch.rows), dtype=bool)
    follow[leave] = False
    return follow
