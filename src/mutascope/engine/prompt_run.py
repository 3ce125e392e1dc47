"""The hot path of the fast engine: one prompt, many mutants (mutascope.engine.fast tells the plan)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, Deltas, delta_of
from mutascope.engine.head import Head
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.replay import Replay, recorded
from mutascope.engine.sweep import Sweep
from mutascope.engine.trace import Row, Trace
from mutascope.genome import Mutant
from mutascope.measures import Continuation
from mutascope.readout import Generation, Output, Prompt
from mutascope.sampling import Picker, Picks

NEAR_TIE = 1.6e-4
"""Margin below which a pick is left to the reference engine: 1.5 times the largest error of a margin measured on 111
mutants of the default model, 12,019 picks (docs/engine.md, Near ties)."""
NOISE_FACTOR = 8
"""Threshold in root mean squares of the errors of margins on the wild type."""
SLOTS = 576
"""Mutants decoded at a time, at most."""
_VERIFY_ROWS = 128
_WINDOW = 1024
"""Mutants that are looked ahead, to verify those of neighbouring layers together."""
_PASS = 1024
"""Tokens of a verification pass: the fewer rows are left, the more positions each is fed before it is looked at."""
_SHORTEST = 8


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
            self.cache = self.decoder.new_cache(self.slots, positions)
            # nothing is decoded while mutants are verified
            self.verified = self.cache[:, :, : self.verify_rows]

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
        """Yield rows that ended: verify until the divergent ones could fill the slots, then decode these."""
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
                rows = [Row(mutant, delta_of(self.reference.mutagen, mutant)) for mutant in batch]
                for row in self._verify(rows):
                    if row.seen is None:
                        yield row
                    else:
                        divergent.append(row)
                self.underway = self._share(divergent)
            elif divergent:
                yield from self._decode(divergent)
                divergent = []
            else:
                return

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
        """Feed rows the wild type's tokens; yield those that end, and those that diverge with what they have seen."""
        rows.sort(key=lambda row: row.delta.layer)
        left, end = 0, self.start - 1 + len(self.wild.tokens)
        if self.continuation:
            self._measure(rows, end)
        while rows and left < end:
            right = min(end, left + max(_SHORTEST, _PASS // len(rows)))
            with self.clock("verifying"):
                hidden = self._verify_chunk(rows, left, right)
            first = max(left, self.start - 1)
            if first >= right:  # nothing is picked within the prompt
                left = right
                continue
            with self.clock("verifying"):
                picks = self._verify_picks(hidden[:, first - left :], first - self.start + 1)
            self._compare(rows, picks, first - self.start + 1)
            keep = []
            for index, row in enumerate(rows):
                if not row.handed_over and row.tokens == list(self.wild.tokens[: len(row.tokens)]):
                    keep.append(index)
                    continue
                if not row.handed_over and not self._ended(row):
                    seen = self.start + len(row.tokens) - 1
                    row.seen = self.verified[row.delta.layer :, :, index, :, :seen].clone()
                yield row
            for place, index in enumerate(keep):
                if place != index:
                    self.verified[:, :, place, :, :right] = self.verified[:, :, index, :, :right]
            rows, left = [rows[index] for index in keep], right
        yield from rows

    def _measure(self, rows: list[Row], end: int) -> None:
        """Measure rows along the wild type's continuation, whether they would leave it or not."""
        assert self.continuation is not None
        sums = torch.zeros(len(rows), 2, dtype=self.decoder.dtype, device=self.device)
        with self.clock("measuring"):
            for left in range(0, end, _SHORTEST):
                final = self._verify_chunk(rows, left, min(end, left + _SHORTEST))
                for place in range(max(0, self.start - 1 - left), final.shape[1]):
                    for some, logits in self.head.logits(final[:, place]):
                        self.continuation.add(sums[some], logits, left + place - self.start + 1)
        for row, values in zip(rows, self.continuation.values(sums), strict=True):
            row.values = values

    def _verify_chunk(self, rows: list[Row], begin: int, end: int) -> Tensor:
        """Return final states of positions ``begin`` to ``end``, [rows, positions, hidden]."""
        decoder, trace = self.decoder, self.wild
        deltas = Deltas(((place, row.delta) for place, row in enumerate(rows)), self.device)
        places = decoder.places(begin, end)
        hidden = trace.hidden(0).new_empty(len(rows), end - begin, trace.hidden(0).shape[-1])
        active = 0
        for index in range(rows[0].delta.layer, len(decoder.layers)):
            joined = active
            while active < len(rows) and rows[active].delta.layer == index:
                active += 1
            if joined < active:
                hidden[joined:active] = trace.hidden(index)[begin:end]
            hidden[:active] = decoder.layer(index, hidden[:active], deltas, self.verified[index], places)
        return decoder.final(hidden)

    def _verify_picks(self, final: Tensor, step: int) -> Picks:
        """Pick a token for final states [rows, steps, hidden] of steps ``step`` on; fields are [rows, steps]."""
        count, steps = final.shape[:2]
        if self.shortlists and steps:  # a pass over the prompt alone has none
            return self.head.pick_near(final, self.shortlists[step : step + steps])
        at = torch.arange(step, step + steps, device=self.device).repeat(count)
        return Picks(*(values.view(count, steps) for values in self.head.pick(final.flatten(0, 1), at)))

    def _compare(self, rows: list[Row], picks: Picks, step: int) -> None:
        """Extend rows by the tokens that they pick from ``step`` on, up to the first that is not the wild type's."""
        expected = self.wild.tokens[step:]
        tokens, margins, finite = (values.tolist() for values in picks)
        for index, row in enumerate(rows):
            for token, margin, sound, wanted in zip(
                tokens[index], margins[index], finite[index], expected, strict=False
            ):
                self._settle(row, token, margin, sound)
                if row.handed_over or row.tokens[-1] != wanted:
                    break

    # decoding

    def _decode(self, divergent: list[Row]) -> Iterator[Row]:
        """Decode rows to their end, each from its divergence; yield them as they end."""
        divergent = sorted(divergent, key=lambda row: len(row.tokens), reverse=True)
        sweep, count = Sweep(self.decoder, self.wild, self.cache), 0
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
