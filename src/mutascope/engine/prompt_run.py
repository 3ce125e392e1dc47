"""The hot path of the fast engine: one prompt, many mutants (mutascope.engine.fast tells the plan)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder
from mutascope.engine.deltas import delta_of
from mutascope.engine.head import Head
from mutascope.engine.library import Library
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.replay import Replay, recorded
from mutascope.engine.sweep import Sweep
from mutascope.engine.trace import Row, Trace
from mutascope.engine.verifier import Pick, Verifier
from mutascope.genome import Mutant
from mutascope.measures import Continuation
from mutascope.readout import Generation, Output, Prompt
from mutascope.sampling import Picker, Picks

NEAR_TIE = 1.8e-4
"""Margin below which a pick is left to the reference engine: 1.5 times the largest error of a margin measured on 463
mutants of the default model, some 25,700 picks (docs/engine.md, Near ties)."""
NOISE_FACTOR = 10
"""Threshold in root mean squares of the errors of margins on the wild type."""
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


def margin_errors(picks: Picks, truth: Picks) -> Tensor:
    """Return by how much margins differ from those of the reference engine's logits; 0 where there is none."""
    return (picks.margins - truth.margins).abs().nan_to_num(0, 0, 0)


class PromptRun:
    """One prompt, many mutants.

    Attributes:
        noise: root mean square of the errors of margins on the wild type, in units of logit / temperature.
        near_tie: margin below which a pick is left to the reference engine; more than :data:`NEAR_TIE` where the noise
            of the model or the device is larger than where that was measured.
        underway: how much of the work on mutants that were not yielded yet is done, in mutants.

    Args:
        reference: engine that settles what this one cannot.
        prompt: what the mutants are asked.
        readout: how they answer.
        slots: mutants decoded at a time; by default as many as a quarter of the free memory holds, 576 at most.
        clock: accounts for the time of a phase (measuring, verifying, decoding, settling).

    Raises:
        ValueError: for an architecture that the decoder does not implement, and for a wild type that is not finite.
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
        self.device = self.decoder.device
        self.picker = Picker(readout.resolved, readout.seed, self.decoder.head.shape[0], self.device)
        with recorded(self.decoder.layers) as recording:
            wild, logits = reference.wild_type_logits(prompt, readout)
        if not wild.finite:
            raise ValueError("the wild type puts out NaN or inf")
        known = (wild.tokens, logits, recording)
        self.replay = Replay(reference, prompt, readout, self.picker, self.decoder, known)
        self.slots = slots or self.decoder.affordable_rows(positions, SLOTS)
        self.verify_rows = min(_VERIFY_ROWS, self.slots)
        with torch.inference_mode():
            self.wild = Trace(self.decoder, prompt.tokens, wild.tokens)
            self.head = Head(self.decoder, self.picker)
            final = self.decoder.final(self.wild.hidden(len(self.decoder.layers))[self.start - 1 :])
            steps = torch.arange(len(final), device=self.device)
            self.wild_picks, truth = self.head.pick(final, steps), self.picker.pick(logits, steps)
            self.noise = float(margin_errors(self.wild_picks, truth).square().mean().sqrt())
            self.near_tie = max(NEAR_TIE, NOISE_FACTOR * self.noise)
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
        """Whether the wild type, run through this engine, picks the reference engine's tokens."""
        return self.wild_picks.tokens.tolist() == list(self.wild.tokens)

    def outputs(self, mutants: Iterable[Mutant]) -> Iterator[tuple[Row, Output]]:
        """Yield each mutant's row and output as it is settled."""
        work = self._batched(iter(mutants))
        while True:
            with torch.inference_mode():
                row = next(work, None)
            if row is None:
                return
            if not row.handed_over:
                yield row, Output(tuple(row.tokens), values=row.values)
            else:
                with self.clock("settling"):
                    readout = replace(self.readout, measure=False)
                    (outcome,) = self.reference.run([self.prompt], readout, [row.mutant])
                yield row, replace(outcome.outputs[0], values=row.values)

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
                batch = [waiting.popleft() for _ in range(size)]
                work = self._verify(
                    [Row(mutant, delta_of(self.reference.mutagen, mutant), self.wild) for mutant in batch]
                )
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
            if row.seen is None and not row.handed_over:
                self.library.add(row.tokens)
            yield row

    def _settle(self, row: Row, token: int, margin: float, finite: bool) -> None:
        """Append the row's next token, which the reference engine picks when the margin is too small."""
        row.margins.append(margin)
        if finite and margin < self.near_tie:
            with self.clock("settling"):
                picked = self.replay.next_token(row.mutant, row.tokens)
            row.replayed = True
            finite, token = picked is not None, token if picked is None else picked
        if not finite:
            row.handed_over = row.replayed = True
        row.tokens.append(token)

    # verification

    def _verify(self, rows: list[Row]) -> Iterator[Row]:
        """Feed rows the tokens of their texts; yield those that end, and those that leave with what they have seen.

        The rows are all at the beginning of the wild type, or none is.
        """
        verifier, known = self.verifier, []
        rows.sort(key=lambda row: row.delta.layer)
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
                ended = row.handed_over or (row.tokens and self._ended(row))
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
        sums = torch.zeros(len(rows), 2, dtype=self.decoder.dtype, device=self.device)
        with self.clock("measuring"):
            for left in range(0, end, _SHORTEST):
                final = self.verifier.states(rows, [range(left, min(end, left + _SHORTEST))] * len(rows))
                for place in range(max(0, self.start - 1 - left), final.shape[1]):
                    for some, logits in self.head.logits(final[:, place]):
                        self.continuation.add(sums[some], logits, left + place - self.start + 1)
        for row, values in zip(rows, self.continuation.values(sums), strict=True):
            row.values = values

    def _compare(self, rows: list[Row], picks: Sequence[Sequence[Pick]]) -> None:
        """Extend rows by the tokens that they pick, up to the first that is not their text's."""
        for row, picked in zip(rows, picks, strict=True):
            for pick in picked:
                self._settle(row, *pick)
                if row.handed_over or row.tokens[-1] != row.text.tokens[len(row.tokens) - 1]:
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
                steps = torch.full((len(final),), count, device=self.device)
                picks = self.head.pick_families(final, steps, sweep.families())
                table = list(zip(*(values.tolist() for values in picks), strict=True))
            for row, (token, margin, finite) in zip(sweep.rows, table, strict=True):
                self._settle(row, token, margin, finite)
            ended = [row for row in sweep.rows if row.handed_over or self._ended(row)]
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
        return row.tokens[-1] in self.picker.ends or len(row.tokens) >= self.picker.steps


def _without(rows: Sequence[Row], others: Iterable[Row]) -> list[Row]:
    """Return rows but for some of them."""
    gone = set(others)
    return [row for row in rows if row not in gone]
