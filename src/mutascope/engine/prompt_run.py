"""The hot path of the fast engine: one prompt, many mutants (mutascope.engine.fast tells the plan)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice, pairwise

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, Deltas, delta_of
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.trace import Row, Trace
from mutascope.genome import Mutant
from mutascope.readout import Generation, Output, Prompt
from mutascope.sampling import Picker, Picks

NEAR_TIE = 1e-4
"""Margin below which a pick is left to the reference engine (docs/engine.md, Near ties)."""
_VERIFY_ROWS = 64
_HEAD_ROWS = 256
_WINDOW = 1024
"""Mutants that are looked ahead, to verify those of neighbouring layers together."""
_CHUNKS = (16, 48)
"""Generated positions after which verification pauses to drop the mutants that have diverged."""


class PromptRun:
    """One prompt, many mutants.

    Args:
        reference: engine that settles what this one cannot.
        prompt: what the mutants are asked.
        readout: how they answer.
        slots: mutants decoded at a time; by default as many as a quarter of the free memory holds, 384 at most.
        clock: accounts for the time of a phase (verifying, decoding, settling).

    Raises:
        ValueError: for an architecture that the decoder does not implement.
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
        self.start = len(prompt.tokens)
        positions = self.start + readout.resolved["max_new_tokens"]
        self.decoder = Decoder(reference.model.network, positions)
        self.device = self.decoder.device
        vocabulary = self.decoder.head.shape[0]
        self.picker = Picker(readout.resolved, readout.seed, vocabulary, self.device)
        (wild,) = reference.wild_type([prompt], readout)
        self.slots = slots or _affordable_slots(self.decoder, positions)
        self.verify_rows = min(_VERIFY_ROWS, self.slots)
        with torch.inference_mode():
            self.wild = Trace(self.decoder, prompt.tokens, wild.tokens)
            self.verified = self.decoder.new_cache(self.verify_rows, positions)
            self.cache = self.decoder.new_cache(self.slots, positions)
            self.logits = torch.empty(_HEAD_ROWS, vocabulary, dtype=self.decoder.dtype, device=self.device)
        self.rows: list[Row] = []

    def reproduces_wild_type(self) -> bool:
        """Whether the wild type, run through this engine, picks the reference engine's tokens."""
        with torch.inference_mode():
            steps = torch.arange(len(self.wild.tokens), device=self.device)
            picks = self._pick(self.wild.hidden(len(self.decoder.layers))[self.start - 1 :], steps)
        return picks.tokens.tolist() == list(self.wild.tokens)

    def outputs(self, mutants: Iterable[Mutant]) -> Iterator[tuple[Row, Output]]:
        """Yield each mutant's row and output as it is settled."""
        self.rows = []
        work = self._batched(iter(mutants))
        while True:
            with torch.inference_mode():
                row = next(work, None)
            if row is None:
                return
            if not row.handed_over:
                yield row, Output(tuple(row.tokens))
            else:
                with self.clock("settling"):
                    (outcome,) = self.reference.run([self.prompt], self.readout, [row.mutant])
                yield row, outcome.outputs[0]

    def _batched(self, mutants: Iterator[Mutant]) -> Iterator[Row]:
        """Yield rows that ended: verify when slots are free, decode otherwise."""
        waiting: deque[Mutant] = deque()
        while True:
            if len(waiting) < self.verify_rows:  # rows of one batch should be of neighbouring layers
                more = sorted([*waiting, *islice(mutants, _WINDOW)], key=lambda mutant: mutant.layer)
                waiting = deque(more)
            size = min(self.verify_rows, len(waiting))
            if waiting and self.slots - len(self.rows) >= size:
                batch = [waiting.popleft() for _ in range(size)]
                rows = [Row(mutant, delta_of(self.reference.mutagen, mutant)) for mutant in batch]
                yield from self._verify(rows)
            elif self.rows:
                yield from self._decode()
            else:
                return

    def _settle(self, row: Row, token: int, margin: float, finite: bool) -> None:
        """Append the row's next token, which the reference engine picks when the margin is too small."""
        if finite and margin < NEAR_TIE:
            with self.clock("settling"):
                picked = self.reference.next_token(self.prompt, self.readout, row.mutant, row.tokens)
            row.replayed = True
            finite, token = picked is not None, token if picked is None else picked
        if not finite:
            row.handed_over = row.replayed = True
        row.tokens.append(token)

    # verification

    def _verify(self, rows: list[Row]) -> Iterator[Row]:
        """Feed rows the wild type's tokens; yield those that end, give the others a slot."""
        trace = self.wild
        rows.sort(key=lambda row: row.delta.layer)
        end = self.start - 1 + len(trace.tokens)
        pauses = (self.start - 1 + step for step in _CHUNKS)
        for left, right in pairwise([0, *(pause for pause in pauses if pause < end), end]):
            first = max(left, self.start - 1)
            with self.clock("verifying"):
                hidden = self._verify_chunk(rows, left, right)
                picks = self._pick_steps(hidden[:, first - left :], first - self.start + 1)
            self._compare(rows, picks, trace.tokens[first - self.start + 1 :])
            keep = []
            for index, row in enumerate(rows):
                if not row.handed_over and row.tokens[-1] == trace.tokens[len(row.tokens) - 1]:
                    keep.append(index)
                elif row.handed_over or self._ended(row):
                    yield row
                else:
                    self._admit(row, index)
            for place, index in enumerate(keep):
                if place != index:
                    self.verified[:, :, place] = self.verified[:, :, index]
            rows = [rows[index] for index in keep]
            if not rows:
                return
        yield from rows

    def _verify_chunk(self, rows: list[Row], begin: int, end: int) -> Tensor:
        """Return final hidden states of positions ``begin`` to ``end``, [rows, positions, hidden]."""
        decoder, trace = self.decoder, self.wild
        deltas = Deltas([row.delta for row in rows], self.device)
        places = decoder.span(begin, end)
        hidden = trace.hidden(0).new_empty(len(rows), end - begin, trace.hidden(0).shape[-1])
        active = 0
        for index in range(rows[0].delta.layer, len(decoder.layers)):
            joined = active
            while active < len(rows) and rows[active].delta.layer == index:
                active += 1
            if joined < active:
                hidden[joined:active] = trace.hidden(index)[begin:end]
            hidden[:active] = decoder.layer(index, hidden[:active], deltas, self.verified[index], places)
        return hidden

    def _compare(self, rows: list[Row], picks: Picks, expected: tuple[int, ...]) -> None:
        """Extend rows by the tokens that they pick, up to the first that is not the expected one."""
        tokens, margins, finite = picks.tokens.tolist(), picks.margins.tolist(), picks.finite.tolist()
        for index, row in enumerate(rows):
            for token, margin, sound, wanted in zip(
                tokens[index], margins[index], finite[index], expected, strict=False
            ):
                self._settle(row, token, margin, sound)
                if row.handed_over or row.tokens[-1] != wanted:
                    break

    def _pick_steps(self, hidden: Tensor, step: int) -> Picks:
        """Pick a token for final hidden states [rows, steps, hidden] of steps ``step`` on; fields are [rows, steps]."""
        count, steps = hidden.shape[:2]
        at = torch.arange(step, step + steps, device=self.device).repeat(count)
        picks = self._pick(hidden.reshape(count * steps, -1), at)
        return Picks(*(values.view(count, steps) for values in (picks.tokens, picks.margins, picks.finite)))

    def _pick(self, hidden: Tensor, steps: Tensor) -> Picks:
        """Pick a token for every final hidden state [n, hidden], a few hundred at a time."""
        parts = [
            self.picker.pick(self.decoder.logits(some, self.logits), at)
            for some, at in zip(hidden.split(_HEAD_ROWS), steps.split(_HEAD_ROWS), strict=True)
        ]
        return Picks(
            *(torch.cat([getattr(p, name) for p in parts]) for name in ("tokens", "margins", "finite"))
        )

    # decoding

    def _admit(self, row: Row, index: int) -> None:
        """Give a divergent row a slot with what it has seen: below its layer, the wild type's keys and values."""
        slot, seen, layer = len(self.rows), self.start + len(row.tokens) - 1, row.delta.layer
        self.cache[:layer, :, slot, :, :seen] = self.wild.cache[:layer, :, 0, :, :seen]
        self.cache[layer:, :, slot, :, :seen] = self.verified[layer:, :, index, :, :seen]
        self.rows.append(row)

    def _decode(self) -> Iterator[Row]:
        """Feed every row its last token and pick the next; yield rows that ended."""
        with self.clock("decoding"):
            picks = self._next_picks()
            table = zip(picks.tokens.tolist(), picks.margins.tolist(), picks.finite.tolist(), strict=True)
        for row, (token, margin, finite) in zip(self.rows, table, strict=True):
            self._settle(row, token, margin, finite)
        for slot in reversed(range(len(self.rows))):
            row = self.rows[slot]
            if row.handed_over or self._ended(row):
                self._release(slot)
                yield row

    def _release(self, slot: int) -> None:
        """Move the last row into a slot, so that the occupied ones stay together."""
        last = self.rows.pop()
        if slot < len(self.rows):
            seen = self.start + len(last.tokens) - 1
            self.cache[:, :, slot, :, :seen] = self.cache[:, :, len(self.rows), :, :seen]
            self.rows[slot] = last

    def _next_picks(self) -> Picks:
        """Return what every row picks after its last token."""
        decoder = self.decoder
        tokens = torch.tensor([row.tokens[-1] for row in self.rows], device=self.device)
        steps = torch.tensor([len(row.tokens) for row in self.rows], device=self.device)
        places = decoder.points(self.start + steps - 1)
        deltas = Deltas([row.delta for row in self.rows], self.device)
        hidden = decoder.embed(tokens)[:, None]
        for index in range(len(decoder.layers)):
            hidden = decoder.layer(index, hidden, deltas, self.cache[index], places)
        return self._pick(hidden[:, 0], steps)

    def _ended(self, row: Row) -> bool:
        return row.tokens[-1] in self.picker.ends or len(row.tokens) >= self.picker.steps


def _affordable_slots(decoder: Decoder, positions: int) -> int:
    """Return how many rows of keys and values fit into a quarter of the free memory, between 1 and 384."""
    if decoder.device.type == "cuda":
        free = torch.cuda.mem_get_info(decoder.device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    row = decoder.new_cache(1, positions).nbytes
    return max(1, min(384, free // 4 // row))
