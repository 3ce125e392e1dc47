"""The hot path of the fast engine: one prompt, many mutants (mutascope.engine.fast tells the plan)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor

from mutascope.core.errors import Unsupported
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Generation, Output, Prompt
from mutascope.engine.decoder import Decoder
from mutascope.engine.edits import edit_of
from mutascope.engine.head import Head
from mutascope.engine.library import Library
from mutascope.engine.measures import Continuation
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.sweep import Sweep
from mutascope.engine.trace import Row, Trace
from mutascope.engine.verifier import Verifier
from mutascope.numerics.cpu import threads_for_kernels
from mutascope.numerics.sampling import Picker

SLOTS = 576
"""Divergent mutants in flight, at most."""
_VERIFY_ROWS = 128
_WINDOW = 1024
"""Mutants that are looked ahead, to verify those of neighbouring layers together."""
_PASS = 1024
"""Tokens of a verification pass: the fewer rows are left, the more positions each is fed before it is looked at."""
_SHORTEST = 8
_LIBRARY = 2**29
"""Bytes that the network's states on texts may take."""


class PromptRun:
    """One prompt, many mutants.

    Attributes:
        underway: how much of the work on mutants that were not yielded yet is done, in mutants.

    Args:
        reference: engine that gives the wild type.
        prompt: what the mutants are asked.
        readout: how they answer.
        slots: mutants decoded at a time; by default as many as a quarter of the free memory holds, 576 at most.
        clock: accounts for the time of a phase (measuring, verifying, decoding).

    Raises:
        Unsupported: for an architecture that the decoder does not implement, and for a wild type that is not finite.
    """

    def __init__(
        self,
        reference: ReferenceEngine,
        prompt: Prompt,
        readout: Generation,
        slots: int | None,
        clock: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self.reference, self.prompt, self.readout, self.clock = reference, prompt, readout, clock
        self.underway = 0.0
        self.start = len(prompt.tokens)
        positions = self.start + readout.resolved["max_new_tokens"]
        self.decoder = Decoder(reference.model.network, positions)
        self.picker = Picker(readout.resolved, readout.seed, self.decoder.head.shape[0])
        wild, logits = reference.wild_type_logits(prompt, readout)
        if not wild.finite:
            raise Unsupported("the wild type puts out NaN or inf")
        self.slots = slots or self.decoder.affordable_rows(positions, SLOTS)
        self.verify_rows = min(_VERIFY_ROWS, self.slots)
        with torch.inference_mode(), threads_for_kernels():
            self.wild = Trace(self.decoder, prompt.tokens, wild.tokens)
            self.head = Head(self.decoder, self.picker)
            final = self.decoder.final(self.wild.hidden(len(self.decoder.layers))[self.start - 1 :])
            self._reproduced = torch.equal(torch.cat([own for _, own in self.head.logits(final)]), logits)
            self.shortlists = self.head.known(final, logits, wild.tokens)
            self.continuation = Continuation(wild.tokens, logits) if readout.measure else None
            self.library = Library(self.decoder, self.wild, _LIBRARY)

    @cached_property
    def verifier(self) -> Verifier:
        """Feeds mutants known texts; made anew after each decoding."""
        return Verifier(self.decoder, self.head, self._room(self.verify_rows), self.start)

    def _room(self, rows: int) -> Tensor:
        """Return room for the keys and values of rows that run to the end."""
        return self.decoder.new_cache(rows, self.start + self.picker.steps)

    def reproduces_wild_type(self) -> bool:
        """Whether the wild type, run through this engine, has the reference engine's logits, bit for bit."""
        return self._reproduced

    def outputs(self, mutants: Iterable[Mutant]) -> Iterator[tuple[Row, Output]]:
        """Yield each mutant's row and output as it is settled."""
        work = self._batched(iter(mutants))
        while True:
            with torch.inference_mode(), threads_for_kernels():
                row = next(work, None)
            if row is None:
                return
            yield row, Output(tuple(row.tokens), finite=row.finite, values=row.values)

    def _batched(self, mutants: Iterator[Mutant]) -> Iterator[Row]:
        """Yield rows that ended.

        Mutants are verified against the wild type until the divergent ones could fill the slots. These follow the texts
        that others have written; when those that leave them could fill the slots, they are decoded.
        """
        waiting: deque[Mutant] = deque()
        divergent: list[Row] = []
        while True:
            if len(waiting) < self.verify_rows:  # rows of one batch should be of neighbouring layers
                more = sorted([*waiting, *islice(mutants, _WINDOW)], key=lambda mutant: mutant.layer)
                waiting = deque(more)
            free = self.slots - len(divergent)
            size = min(self.verify_rows, len(waiting), free)
            if waiting and free >= max(1, min(self.verify_rows, self.slots // 8)):
                work = self._verify([self._row(waiting.popleft()) for _ in range(size)])
            elif followers := self._followers(divergent):
                divergent = _without(divergent, followers)
                work = self._follow(followers)
            elif divergent:
                work, divergent = self._noted(self._decode(divergent)), []
            else:
                return
            for row in work:
                if row.seen is None:
                    yield row
                else:
                    divergent.append(row)
            self.underway = self._share(divergent)

    def _followers(self, divergent: list[Row]) -> list[Row]:
        """Return the rows that follow a text that another mutant has written."""
        with self.clock("verifying"):
            return self.library.follow(divergent)

    def _follow(self, rows: list[Row]) -> Iterator[Row]:
        """Verify rows against the texts that they follow; yield those that end, and those that leave them."""
        for first in range(0, len(rows), self.verify_rows):
            yield from self._noted(self._verify(rows[first : first + self.verify_rows]))

    def _noted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows; what those that ended have written goes into the library."""
        for row in rows:
            if row.seen is None and row.finite:
                self.library.add(row.tokens)
            yield row

    def _row(self, mutant: Mutant) -> Row:
        edit = edit_of(self.reference.mutagen, self.decoder, mutant)
        return Row(mutant, mutant.layer, edit, self.wild)

    # verification

    def _verify(self, rows: list[Row]) -> Iterator[Row]:
        """Feed rows the tokens of their texts; yield those that end, and those that leave with what they have seen.

        The rows are all at the beginning of the wild type, or none is.
        """
        verifier, known = self.verifier, []
        rows.sort(key=lambda row: row.layer)
        if rows and rows[0].text is self.wild:
            known = self.shortlists
            self._measure(rows)
        with self.clock("verifying"):
            at, reach = [verifier.recall(row, slot) for slot, row in enumerate(rows)], 0
        while rows:
            ends = [self.start - 1 + len(row.text.tokens) for row in rows]
            width = max(_SHORTEST, _PASS // len(rows))
            spans = [range(begin, min(begin + width, end)) for begin, end in zip(at, ends, strict=True)]
            reach = max(reach, *(span.stop for span in spans))
            with self.clock("verifying"):
                picks = verifier.picks(rows, verifier.states(rows, spans), spans, known)
            self._compare(rows, picks)
            keep = []
            for slot, row in enumerate(rows):
                ended = self._ended(row)
                if not ended and row.tokens == list(row.text.tokens[: len(row.tokens)]):
                    keep.append(slot)
                    continue
                if not ended:
                    verifier.retire(row, slot)
                yield row
            for to, slot in enumerate(keep):
                if to != slot:
                    verifier.move(rows[slot], slot, to, reach)
            rows, at = [rows[slot] for slot in keep], [spans[slot].stop for slot in keep]

    def _measure(self, rows: list[Row]) -> None:
        """Measure rows along the wild type's continuation, whether they would leave it or not, if that is asked."""
        if not self.continuation:
            return
        end = self.start - 1 + len(self.wild.tokens)
        sums = torch.zeros(len(rows), 2, dtype=torch.float64)
        with self.clock("measuring"):
            for left in range(0, end, _SHORTEST):
                final = self.verifier.states(rows, [range(left, min(end, left + _SHORTEST))] * len(rows))
                for place in range(max(0, self.start - 1 - left), final.shape[1]):
                    for some, logits in self.head.logits(final[:, place]):
                        self.continuation.add(sums[some], logits, left + place - self.start + 1)
        for row, values in zip(rows, self.continuation.values(sums), strict=True):
            row.values = values

    def _compare(self, rows: list[Row], picks: Sequence[Sequence[int]]) -> None:
        """Extend rows by the tokens that they pick, up to the first that is not their text's."""
        for row, picked in zip(rows, picks, strict=True):
            for token in picked:
                row.take(token)
                if not row.finite or token != row.text.tokens[len(row.tokens) - 1]:
                    break

    # decoding

    def _decode(self, divergent: list[Row]) -> Iterator[Row]:
        """Decode rows to their end, each from its divergence; yield them as they end."""
        divergent = sorted(divergent, key=lambda row: len(row.tokens), reverse=True)
        self.__dict__.pop("verifier", None)  # frees its cache
        # one of its own: what mutants that wait have seen does not lie beside the cache of a cohort that has ended
        sweep, count = Sweep(self.decoder, self._room(len(divergent))), 0
        while divergent or sweep.rows:
            count = len(divergent[-1].tokens) if not sweep.rows else count + 1
            position = self.start + count - 1
            new = []
            while divergent and len(divergent[-1].tokens) == count:
                new.append(divergent.pop())
            with self.clock("decoding"):
                sweep.admit(new, position)
                final = self.decoder.final(sweep.step(position))
                steps = torch.full((len(final),), count)
                tokens = self.head.pick_families(final, steps, sweep.families()).tolist()
            for row, token in zip(sweep.rows, tokens, strict=True):
                row.take(token)
            ended = [row for row in sweep.rows if self._ended(row)]
            with self.clock("decoding"):
                sweep.part(ended, position + 1)
            going = self._share(divergent) + self._share(sweep.rows)
            for left, row in zip(reversed(range(len(ended))), ended, strict=True):
                self.underway = going + left
                yield row

    def _share(self, rows: Iterable[Row]) -> float:
        """Return how many texts the tokens of rows would fill."""
        return sum(len(row.tokens) for row in rows) / self.picker.steps

    def _ended(self, row: Row) -> bool:
        if not row.finite or len(row.tokens) >= self.picker.steps:
            return True
        return bool(row.tokens) and row.tokens[-1] in self.picker.ends


def _without(rows: Sequence[Row], others: Iterable[Row]) -> list[Row]:
    """Return rows but for some of them."""
    gone = set(others)
    return [row for row in rows if row not in gone]
