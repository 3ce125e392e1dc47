"""The fast engine: the reference engine's records, many mutants at a time.

Per prompt, in the order of the code below (docs/engine.md says why it is exact):

1. *Wild type.* Its tokens come from the reference engine; its hidden states at the input of every layer are kept.
2. *Verification.* Mutants are fed the wild type's own tokens, in parallel over positions, from their own layer upwards
   (below it they see what the wild type saw). The first position where a mutant picks another token is its divergence;
   without one it is silent.
3. *Decoding.* Divergent mutants go on token by token, in slots that are refilled as rows end.
4. *Settling.* A pick whose margin is within the numerical noise is made by the reference engine, which generates up to
   that token; a mutant with a non-finite logit is left to it altogether.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, pairwise

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder, Delta, Deltas, delta_of
from mutascope.engine.reference import ReferenceEngine
from mutascope.genome import Mutant, Tiling
from mutascope.models import Model
from mutascope.readout import Generation, Outcome, Output, Prompt
from mutascope.sampling import Picker, Picks, unsupported_fields

NEAR_TIE = 1e-4
"""Margin below which a pick is left to the reference engine (docs/engine.md, Near ties)."""
_VERIFY_ROWS = 64
_HEAD_ROWS = 256
_WINDOW = 1024
_CHUNKS = (16, 48)
"""Generated positions after which verification pauses to drop the mutants that have diverged."""


@dataclass
class Row:
    """A mutant on its way: the tokens it has picked, and whether the reference engine made one of them."""

    mutant: Mutant
    delta: Delta
    tokens: list[int] = field(default_factory=list)
    replayed: bool = False
    finite: bool = True


@dataclass
class Account:
    """Where the time of a run went, in seconds; settling is the reference engine's part."""

    verifying: float = 0.0
    decoding: float = 0.0
    settling: float = 0.0

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, phase, getattr(self, phase) + time.perf_counter() - start)


class Trace:
    """The wild type in one prompt.

    Attributes:
        tokens: generated token ids.
        hidden: input of every layer, [layers, positions, hidden]; positions are those whose output is read, prompt
            included, the last generated token excluded.
        final: output of the last layer, [positions, hidden].
        cache: keys and values, [layers, 2, 1, heads, positions, width].
    """

    def __init__(self, decoder: Decoder, prompt: Prompt, tokens: tuple[int, ...]) -> None:
        self.prompt, self.tokens = prompt, tokens
        fed = torch.tensor([*prompt.tokens, *tokens[:-1]], device=decoder.device)
        self.cache = decoder.new_cache(1, len(fed))
        places = decoder.span(0, len(fed))
        hidden, inputs = decoder.embed(fed)[None], []
        for index in range(len(decoder.layers)):
            inputs.append(hidden[0])
            hidden = decoder.layer(index, hidden, Deltas([], decoder.device), self.cache[index], places)
        self.hidden, self.final = torch.stack(inputs), hidden[0]


class FastEngine:
    """Same records as the reference engine, for the cases that :meth:`refusal` does not name.

    Args:
        model: of a family in :data:`mutascope.engine.decoder.FAMILIES`, in float32 or float64.
        tiling: of the screen.
        slots: mutants decoded at a time; by default as many as a quarter of the free memory holds, 384 at most.
    """

    name = "fast"
    unit_size = 64

    def __init__(self, model: Model, tiling: Tiling, slots: int | None = None) -> None:
        self.model = model
        self.slots = slots
        self.reference = ReferenceEngine(model, tiling)
        self.mutagen = self.reference.mutagen
        self.account = Account()
        self._latest: PromptRun | None = None

    def wild_type(self, prompts: Sequence[Prompt], readout: Generation) -> tuple[Output, ...]:
        """Return the outputs of the unmodified model, one per prompt, from the reference engine."""
        return self.reference.wild_type(prompts, readout)

    def refusal(self, prompts: Sequence[Prompt], readout: Generation) -> str | None:
        """Return why this engine cannot promise the reference engine's records, None when it can."""
        fields = unsupported_fields(readout.resolved)
        if fields:
            return f"it does not implement {', '.join(fields)}"
        if self.model.network.dtype not in (torch.float32, torch.float64):
            return f"{self.model.dtype} has no truth that does not depend on the batch"
        try:
            run = self._prompt_run(prompts[0], readout)
        except ValueError as error:
            return str(error)
        return None if run.reproduces_wild_type() else "its wild type does not equal the reference engine's"

    def run(
        self, prompts: Sequence[Prompt], readout: Generation, mutants: Iterable[Mutant]
    ) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, once each, in order of completion."""
        if len(prompts) == 1:
            for row, output in self._prompt_run(prompts[0], readout).outputs(mutants):
                yield Outcome(row.mutant, (output,), row.replayed)
            return
        mutants = list(mutants)
        parts: dict[Mutant, list[Output]] = {mutant: [] for mutant in mutants}
        replayed = set()
        for prompt in prompts:
            for row, output in self._prompt_run(prompt, readout).outputs(mutants):
                parts[row.mutant].append(output)
                if row.replayed:
                    replayed.add(row.mutant)
        for mutant, outputs in parts.items():
            yield Outcome(mutant, tuple(outputs), mutant in replayed)

    def arithmetic(self) -> int:
        """Return the floating-point operations done for the latest prompt, the reference engine's excluded."""
        return self._latest.decoder.flop if self._latest else 0

    def _prompt_run(self, prompt: Prompt, readout: Generation) -> PromptRun:
        if self._latest is None or (self._latest.prompt, self._latest.readout) != (prompt, readout):
            self._latest = None  # frees its memory first
            self._latest = PromptRun(self, prompt, readout)
        return self._latest


class PromptRun:
    """One prompt, many mutants.

    Raises:
        ValueError: for an architecture that the decoder does not implement.
    """

    def __init__(self, engine: FastEngine, prompt: Prompt, readout: Generation) -> None:
        self.engine, self.prompt, self.readout = engine, prompt, readout
        self.start = len(prompt.tokens)
        positions = self.start + readout.resolved["max_new_tokens"]
        self.decoder = Decoder(engine.model.network, positions)
        self.device = self.decoder.device
        vocabulary = self.decoder.head.shape[0]
        self.picker = Picker(readout.resolved, readout.seed, vocabulary, self.device)
        (wild,) = engine.wild_type([prompt], readout)
        slots = engine.slots or _affordable_slots(self.decoder, positions)
        with torch.inference_mode():
            self.trace = Trace(self.decoder, prompt, wild.tokens)
            self.verified = self.decoder.new_cache(_VERIFY_ROWS, len(self.trace.final))
            self.cache = self.decoder.new_cache(slots, positions)
            self.logits = torch.empty(_HEAD_ROWS, vocabulary, dtype=self.decoder.dtype, device=self.device)
        self.slots = slots
        self.rows: list[Row] = []

    def reproduces_wild_type(self) -> bool:
        """Whether the wild type, run through this engine, picks the reference engine's tokens."""
        with torch.inference_mode():
            steps = torch.arange(len(self.trace.tokens), device=self.device)
            picks = self._pick(self.trace.final[self.start - 1 :], steps)
        return picks.tokens.tolist() == list(self.trace.tokens)

    def outputs(self, mutants: Iterable[Mutant]) -> Iterator[tuple[Row, Output]]:
        """Yield each mutant's row and output as it is settled."""
        self.rows = []
        work = self._batched(iter(mutants))
        while True:
            with torch.inference_mode():
                row = next(work, None)
            if row is None:
                return
            if row.finite:
                yield row, Output(tuple(row.tokens))
            else:
                with self.engine.account.clock("settling"):
                    (outcome,) = self.engine.reference.run([self.prompt], self.readout, [row.mutant])
                yield row, outcome.outputs[0]

    def _batched(self, mutants: Iterator[Mutant]) -> Iterator[Row]:
        """Yield rows that ended: verify when slots are free, decode otherwise."""
        size = min(_VERIFY_ROWS, self.slots)
        waiting: deque[Mutant] = deque()
        while True:
            if len(waiting) < size:  # rows of one batch should be of neighbouring layers
                waiting = deque(
                    sorted([*waiting, *islice(mutants, _WINDOW)], key=lambda mutant: mutant.layer)
                )
            if not waiting and not self.rows:
                return
            if waiting and self.slots - len(self.rows) >= min(size, len(waiting)):
                batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
                yield from self._verify([Row(m, delta_of(self.engine.mutagen, m)) for m in batch])
            else:
                yield from self._decode()

    def _settle(self, row: Row, token: int, margin: float, finite: bool) -> None:
        """Append the row's next token, which the reference engine picks when the margin is too small."""
        if not finite:
            row.finite, row.replayed = False, True
        elif margin < NEAR_TIE:
            with self.engine.account.clock("settling"):
                token = self.engine.reference.next_token(self.prompt, self.readout, row.mutant, row.tokens)
            row.replayed = True
        row.tokens.append(token)

    # verification

    def _verify(self, rows: list[Row]) -> Iterator[Row]:
        """Feed the wild type's tokens; yield silent and disputed rows, give the others a slot."""
        rows.sort(key=lambda row: row.delta.layer)
        length = len(self.trace.tokens)
        bounds = [0, *(self.start - 1 + step for step in _CHUNKS if step < length), self.start - 1 + length]
        for begin, end in pairwise(bounds):
            first = max(begin, self.start - 1)
            with self.engine.account.clock("verifying"):
                hidden = self._verify_chunk(rows, begin, end)
                picks = self._pick_steps(hidden[:, first - begin :], first - self.start + 1)
            self._compare(rows, picks, first - self.start + 1)
            keep = []
            for index, row in enumerate(rows):
                if not row.finite:
                    yield row
                elif row.tokens[-1] == self.trace.tokens[len(row.tokens) - 1]:
                    keep.append(index)
                elif self._ended(row):
                    yield row
                else:
                    self._admit(row, index)
            rows = self._compact(rows, keep)
            if not rows:
                return
        yield from rows

    def _verify_chunk(self, rows: list[Row], begin: int, end: int) -> Tensor:
        """Return final hidden states of positions ``begin`` to ``end``, [rows, positions, hidden]."""
        trace, decoder = self.trace, self.decoder
        deltas = Deltas([row.delta for row in rows], self.device)
        places = decoder.span(begin, end)
        hidden = trace.hidden.new_empty(len(rows), end - begin, trace.hidden.shape[-1])
        active = 0
        for index in range(rows[0].delta.layer, len(decoder.layers)):
            joined = active
            while active < len(rows) and rows[active].delta.layer == index:
                active += 1
            hidden[joined:active] = trace.hidden[index, begin:end]
            hidden[:active] = decoder.layer(index, hidden[:active], deltas, self.verified[index], places)
        return hidden

    def _compare(self, rows: list[Row], picks: Picks, step: int) -> None:
        """Extend rows by the tokens they pick from ``step`` on, up to the first that is not the wild type's."""
        tokens, margins, finite = picks.tokens.tolist(), picks.margins.tolist(), picks.finite.tolist()
        for index, row in enumerate(rows):
            for offset, expected in enumerate(self.trace.tokens[step : step + len(tokens[index])]):
                self._settle(row, tokens[index][offset], margins[index][offset], finite[index][offset])
                if not row.finite or row.tokens[-1] != expected:
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

    def _compact(self, rows: list[Row], keep: list[int]) -> list[Row]:
        if len(keep) < len(rows):
            for place, index in enumerate(keep):
                if place != index:
                    self.verified[:, :, place] = self.verified[:, :, index]
        return [rows[index] for index in keep]

    # decoding

    def _admit(self, row: Row, index: int) -> None:
        """Give a divergent row a slot, with the keys and values of the tokens that it has seen."""
        slot = len(self.rows)
        seen = self.start + len(row.tokens) - 1
        layer = row.delta.layer
        self.cache[:layer, :, slot, :, :seen] = self.trace.cache[:layer, :, 0, :, :seen]
        self.cache[layer:, :, slot, :, :seen] = self.verified[layer:, :, index, :, :seen]
        self.rows.append(row)

    def _decode(self) -> Iterator[Row]:
        """Feed every row its last token and pick the next; yield rows that ended."""
        with self.engine.account.clock("decoding"):
            picks = self._next_picks()
            table = zip(picks.tokens.tolist(), picks.margins.tolist(), picks.finite.tolist(), strict=True)
        for row, (token, margin, finite) in zip(self.rows, table, strict=True):
            self._settle(row, token, margin, finite)
        for slot in reversed(range(len(self.rows))):
            row = self.rows[slot]
            if not row.finite or self._ended(row):
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
