"""Rows that are fed the tokens of a known text, several positions at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from mutascope.engine.activation_cache import ActivationCache
from mutascope.engine.decoder import Decoder, Places, whole_blocks
from mutascope.engine.edits import Edits, written
from mutascope.engine.head import Head, Shortlist
from mutascope.engine.measures import Measure
from mutascope.engine.rows import Row
from mutascope.engine.wild_type import FurtherReading

_SHORTEST = 8


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
        at, reach = [self._recall(row, slot) for slot, row in enumerate(rows)], 0
        while rows:
            ends = [row.asked.start - 1 + len(row.text.tokens) for row in rows]
            width = max(_SHORTEST, self.decoder.operations.SIZES.tokens // len(rows))
            spans = [range(begin, min(begin + width, end)) for begin, end in zip(at, ends, strict=True)]
            reach = max(reach, *(span.stop for span in spans))
            _take(rows, self._samples(rows, spans, shortlists))
            keep = []
            for slot, row in enumerate(rows):
                if not row.ended and row.follows_text():
                    keep.append(slot)
                    continue
                self._retire(row, slot)
                yield row
            self._move([rows[slot].layer for slot in keep], keep, reach)
            rows, at = [rows[slot] for slot in keep], [spans[slot].stop for slot in keep]

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
        picks: list[list[int]] = [[] for _ in rows]
        for text in further:
            others = [replace(row, text=text.activations) for row in rows]
            known = text.measure.values(self._along(others, text.measure, begin))
            values = [value | more for value, more in zip(values, known, strict=True)]
            begin = rows[0].asked.start - 1  # the slots hold the prompt
        known = measure.values(self._along(rows, measure, begin, picks))
        _take(rows, picks)
        for slot, row in enumerate(rows):
            row.values = known[slot] | values[slot]
            self._retire(row, slot)
            yield row

    def _along(
        self, rows: list[Row], measure: Measure, begin: int, picks: list[list[int]] | None = None
    ) -> Tensor:
        """Feed rows of one prompt their text from position ``begin``; return the sums of a measure along it.

        ``picks`` gets what every row picks.
        """
        start, end = rows[0].asked.start, rows[0].asked.start - 1 + len(rows[0].text.tokens)
        sums = measure.sums(len(rows))
        width = max(_SHORTEST, self.decoder.operations.SIZES.tokens // len(rows))
        for left in range(begin, end, width):
            span = range(left, min(left + width, end))
            final = self._states(rows, [span] * len(rows))
            for at, position in enumerate(span[len(span) - final.shape[1] :]):
                step = position - start + 1
                for some, logits in self.head.logits(final[:, at]):
                    measure.add(sums[some], logits, step)
                    if picks is not None:
                        tokens = self.head.sampler.sample(logits, torch.full((len(logits),), step))
                        for picked, token in zip(picks[some], tokens.tolist(), strict=True):
                            picked.append(token)
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

    def _move(self, layers: Sequence[int], slots: Sequence[int], positions: int) -> None:
        """Move the first positions of rows, by their layers, which ascend, from slots to the first slots."""
        moved = (
            (layer, slot, to)
            for to, (layer, slot) in enumerate(zip(layers, slots, strict=True))
            if slot != to
        )
        copies = []
        for layer, group in groupby(moved, key=itemgetter(0)):
            _, sources, targets = zip(*group, strict=True)
            copies.append((self.cache[layer:], sources, targets))
        if copies:
            self.decoder.operations.copy_rows(copies, whole_blocks(positions))

    def _states(self, rows: Sequence[Row], spans: Sequence[range]) -> Tensor:
        """Feed rows the tokens at their positions; return the final states after which tokens are picked.

        Where a row has fewer positions than others, its last one is repeated. In the last layer the tokens of the
        prompt, but for the last, are only seen by others, so their keys and values will do.

        Returns:
            [rows, most positions less those of :func:`_unread`, hidden].
        """
        decoder, last = self.decoder, len(self.decoder.layers) - 1
        edits = Edits(written((slot, row.edit) for slot, row in enumerate(rows)), strips=decoder.strips)
        unread, places = _unread(rows, spans), self._places(spans)
        hidden = decoder.head.new_empty(len(rows), places.positions.shape[1], decoder.hidden_size)
        active = 0
        for index in range(rows[0].layer, last + 1):
            while active < len(rows) and rows[active].layer == index:
                first, text, span = active, rows[active].text, spans[active]
                while active < len(rows) and _begins(rows[active], spans[active], index, text, span):
                    active += 1
                known = text.inputs(index, span.start, span.stop)
                hidden[first:active, : len(span)], hidden[first:active, len(span) :] = known, known[-1]
            if index < last or not unread:
                hidden[:active] = decoder.layer(index, hidden[:active], edits, self.cache[index], places)
        if unread:
            begin, middle, end = spans[0].start, spans[0].start + unread, spans[0].stop
            unseen, hidden = hidden[:, :unread].contiguous(), hidden[:, unread:].contiguous()
            decoder.remember(last, unseen, edits, self.cache[last], decoder.places(begin, middle))
            if middle == end:
                return hidden
            hidden = decoder.layer(last, hidden, edits, self.cache[last], decoder.places(middle, end))
        return decoder.final(hidden)

    def _places(self, spans: Sequence[range]) -> Places:
        """Return where the tokens of a pass stand."""
        if len(set(spans)) == 1:
            return self.decoder.places(spans[0].start, spans[0].stop)
        last = torch.tensor([span.stop - 1 for span in spans])
        begin = torch.tensor([span.start for span in spans])
        positions = torch.minimum(begin[:, None] + torch.arange(max(map(len, spans))), last[:, None])
        return Places(positions.to(self.cache.device), int(last.max()) + 1)

    def _samples(
        self, rows: Sequence[Row], spans: Sequence[range], shortlists: Sequence[Shortlist]
    ) -> list[list[int]]:
        """Feed rows the tokens at their positions; return what each picks after those behind its prompt."""
        final, unread = self._states(rows, spans), _unread(rows, spans)
        read = [span[unread:] for span in spans]
        if not read[0]:
            return [[] for _ in rows]
        if shortlists:
            step = read[0].start - rows[0].asked.start + 1
            return self.head.sample_near(final, shortlists[step : step + len(read[0])]).tolist()
        lengths = [len(span) for span in read]
        slots = np.repeat(np.arange(len(rows)), lengths)
        places = np.concatenate([np.arange(length) for length in lengths])
        steps = places + np.repeat(
            [at.start - row.asked.start + 1 for at, row in zip(read, rows, strict=True)], lengths
        )
        states = final.flatten(0, 1)[self.decoder.indices(slots * final.shape[1] + places)]
        families = self._families(rows, read) if self.head.has_shortlists else ()
        tokens = iter(self.head.sample_families(states, torch.from_numpy(steps), families).tolist())
        return [list(islice(tokens, length)) for length in lengths]

    def _families(self, rows: Sequence[Row], read: Sequence[range]) -> list[list[int]]:
        """Return the picks of one text and position, as indices into all picks, row after row."""
        groups: dict[tuple[int, int], list[int]] = {}
        picks = ((id(row.text), at) for row, span in zip(rows, read, strict=True) for at in span)
        for index, pick in enumerate(picks):
            groups.setdefault(pick, []).append(index)
        return list(groups.values())


def _begins(row: Row, span: range, layer: int, text: ActivationCache, other: range) -> bool:
    """Whether a row begins in a layer with what a text has at other positions."""
    return row.layer == layer and row.text is text and span == other


def _unread(rows: Sequence[Row], spans: Sequence[range]) -> int:
    """Return after how many positions rows pick nothing: those within their prompt, of which all are fed the same."""
    return min(len(spans[0]), max(0, rows[0].asked.start - 1 - spans[0].start))


def _take(rows: Sequence[Row], picks: Sequence[Sequence[int]]) -> None:
    """Extend rows by the tokens that they pick, up to the first that is not their text's."""
    for row, picked in zip(rows, picks, strict=True):
        for token in picked:
            row.take(token)
            if not row.finite or token != row.text.tokens[len(row.tokens) - 1]:
                break
