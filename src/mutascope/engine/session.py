"""The hot path of the fast engine: many mutants on the prompts of an assay (mutascope.engine.fast tells the plan).

A text assay has one prompt. A panel has many, whose divergent rows are decoded together. A choice assay has many that
share a beginning, and reads one token after each.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.protocol import NextToken, Outcome, Output, Prompt, Readout
from mutascope.engine.batched_decoding import decode
from mutascope.engine.cohorts import Cohorts
from mutascope.engine.decoder import Decoder
from mutascope.engine.edits import Edit, edit_of
from mutascope.engine.head import Head
from mutascope.engine.prefix_tree import PrefixTree
from mutascope.engine.rows import Asked, Row
from mutascope.engine.verification import Verifier
from mutascope.engine.wild_type import Reading, WildType
from mutascope.numerics.cpu import threads_for_kernels
from mutascope.numerics.sampling import Sampler

if TYPE_CHECKING:
    from mutascope.engine.fast import FastEngine

_PANEL_COHORT = 24
"""Mutants that go through the prompts of a panel together: what a kill loses."""
_CHOICE_COHORT = 16
"""Mutants that are asked questions together: with a hundred tokens each, matrix products of some thousand rows."""
_BRANCHES = 2**29
"""Bytes that the network's activations on followed texts may take."""


@dataclass
class Account:
    """Where the time of a session went, in seconds."""

    measuring: float = 0.0
    verifying: float = 0.0
    decoding: float = 0.0

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, phase, getattr(self, phase) + time.perf_counter() - start)

    def timed(self, phase: str, work: Iterator[Row]) -> Iterator[Row]:
        """Yield rows; the time that they take is that of a phase."""
        while True:
            with self.clock(phase):
                row = next(work, None)
            if row is None:
                return
            yield row


class FastSession:
    """Runs mutants on some prompts, many at a time.

    Attributes:
        engine: that prepared it.
        account: where the time went.

    Args:
        engine: that prepares it.
        prompts: what the mutants are asked.
        readout: how they answer.

    Raises:
        Unsupported: for an architecture that the decoder does not implement, and for a wild type that is not finite or
            not the reference engine's.
    """

    def __init__(self, engine: FastEngine, prompts: Sequence[Prompt], readout: Readout) -> None:
        self.engine, self.account = engine, Account()
        resolved = [readout.at(prompt).resolved for prompt in prompts]
        steps = max(fields["max_new_tokens"] for fields in resolved)
        positions = max(
            len(prompt.tokens) + fields["max_new_tokens"]
            for prompt, fields in zip(prompts, resolved, strict=True)
        )
        self.decoder = Decoder(engine.model.network, positions)
        fields = {**readout.resolved, "max_new_tokens": steps}
        self.sampler = Sampler(fields, readout.seed, self.decoder.head.shape[0])
        self.asked = [
            Asked(index, prompt.tokens, fields["max_new_tokens"], self.sampler.ends)
            for index, (prompt, fields) in enumerate(zip(prompts, resolved, strict=True))
        ]
        self._positions, choice = positions, isinstance(readout, NextToken)
        sizes = self.decoder.operations.SIZES
        rows = sizes.rows if len(prompts) == 1 else sizes.panel
        most = _CHOICE_COHORT if choice else rows
        self.max_batch = engine.max_batch or self.decoder.batch(
            self.decoder.affordable_rows(positions, most, sizes.decoded)
        )
        verified = self.decoder.affordable_rows(positions, sizes.verified, sizes.checked)
        self.verified = self.max_batch if choice else min(verified, self.max_batch)
        self.cohort = self.verified if choice or len(prompts) == 1 else min(_PANEL_COHORT, self.verified)
        with torch.inference_mode(), threads_for_kernels():
            self.head = Head(self.decoder, self.sampler)
            self.wild = WildType(
                engine.reference, self.decoder, self.head, prompts, self.asked, readout, self.max_batch
            )
        self.tree = PrefixTree(
            self.decoder, self.wild.tokens, _BRANCHES, sizes.followers, keeps=self.wild.keeps
        )
        self._verifier: Verifier | None = None
        self._in_flight: dict[Row, None] = {}
        self._said: dict[Mutant, dict[int, Output]] = {}

    @property
    def wild_type(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model, one per prompt."""
        return self.wild.outputs

    @property
    def further(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model with the further seeds of the readout."""
        return self.wild.further

    @property
    def underway(self) -> float:
        """How much of the work on mutants that were not yielded yet is done, in mutants."""
        said = sum(map(len, list(self._said.values())))
        return (said + sum(row.share for row in list(self._in_flight))) / len(self.asked)

    @property
    def flop(self) -> int:
        """Floating-point operations done so far."""
        return self.decoder.flop

    def run(self, mutants: Iterable[Mutant]) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, once each, in order of completion."""
        self._in_flight, self._said = {}, {}
        least = max(1, min(self.cohort, self.max_batch // 8))
        work = self._rows(Cohorts(mutants, self._edit, self.asked, self.cohort, least))
        while True:
            with torch.inference_mode(), threads_for_kernels():
                row = next(work, None)
            if row is None:
                return
            del self._in_flight[row]
            assert row.mutant is not None
            said = self._said.setdefault(row.mutant, {})
            said[row.asked.index] = row.output()
            if len(said) == len(self.asked):
                del self._said[row.mutant]
                yield Outcome(row.mutant, tuple(said[index] for index in range(len(self.asked))))

    def _rows(self, cohorts: Cohorts) -> Iterator[Row]:
        """Yield rows that ended.

        Mutants are verified against the wild type until those that diverge could fill a batch. These follow the texts
        that others have written; when those that leave them could fill a batch, they are decoded.
        """
        divergent: list[Row] = []
        again: list[Row] = []
        while True:
            if again:
                work = self._restart(again)
            elif dealt := cohorts.next(self.max_batch - len(divergent)):
                work = self._verify(*dealt)
            elif followers := self._followers(divergent):
                divergent = _without(divergent, followers)
                work = self._follow(followers)
            elif divergent:
                work, divergent = self._decode(divergent[: self.max_batch]), divergent[self.max_batch :]
            else:
                return
            again = []
            try:
                for row in work:
                    if row.ended:
                        yield row
                    else:
                        divergent.append(row)
            except torch.OutOfMemoryError:
                again = _without(list(self._in_flight), divergent)
            if again:
                self._halve()

    def _verify(self, asked: Asked, cohort: Sequence[tuple[Mutant, Edit]]) -> Iterator[Row]:
        """Verify mutants against the wild type; yield those that end, and those that leave it."""
        text = self._reading(asked).activations
        rows = [Row(mutant, mutant.layer, edit, asked, text) for mutant, edit in cohort]
        self._in_flight.update(dict.fromkeys(rows))
        yield from self._begin(asked, rows)
        if not self.wild.keeps:
            text.drop_inputs()

    def _begin(self, asked: Asked, rows: list[Row]) -> Iterator[Row]:
        """Verify rows at the beginning of a prompt against the wild type."""
        known = self._reading(asked)
        for first in range(0, len(rows), self.verified):
            some = rows[first : first + self.verified]
            if len(some) < len(rows):
                self._verifier = None  # its slots hold others
            if known.measure:
                # the slots still hold what the question before has in common with this one
                begin = self.wild.shared(asked) if self._verifier else 0
                work = self._slots().measure(some, known.measure, begin, self.wild.texts)
                yield from self.account.timed("measuring", work)
            else:
                yield from self.account.timed("verifying", self._slots().verify(some, known.shortlists))

    def _reading(self, asked: Asked) -> Reading:
        with self.account.clock("verifying"):
            return self.wild.reading(asked)

    def _halve(self) -> None:
        """Run fewer mutants at a time: what was tried did not fit into the memory.

        Raises:
            MutascopeError: where one does not fit.
        """
        if self.max_batch == self.verified == 1:
            raise MutascopeError(
                f"not even one mutant of {self.engine.model.name} fits into the memory of the device: take a"
                " narrower dtype, shorter texts, or a larger device"
            )
        self.max_batch, self.verified = max(1, self.max_batch // 2), max(1, self.verified // 2)
        self._verifier = None
        if self.decoder.head.device.type == "cuda":
            torch.cuda.empty_cache()

    def _restart(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Run rows that did not fit into the memory from their beginning."""
        for row in rows:
            del self._in_flight[row]
        for asked in dict.fromkeys(row.asked for row in rows):
            text = self._reading(asked).activations
            some = [Row(row.mutant, row.layer, row.edit, asked, text) for row in rows if row.asked == asked]
            self._in_flight.update(dict.fromkeys(some))
            self._verifier = None
            yield from self._begin(asked, some)
        self._verifier = None

    def _followers(self, divergent: list[Row]) -> list[Row]:
        """Return the rows that follow a text that another mutant has written."""
        with self.account.clock("verifying"):
            return self.tree.follow(divergent)

    def _follow(self, rows: list[Row]) -> Iterator[Row]:
        """Verify rows against the texts that they follow; yield those that end, and those that leave them."""
        for first in range(0, len(rows), self.verified):
            some = sorted(rows[first : first + self.verified], key=lambda row: row.layer)
            yield from self._noted(self.account.timed("verifying", self._slots().verify(some)))

    def _decode(self, rows: list[Row]) -> Iterator[Row]:
        """Decode rows to their end; yield them as they end."""
        self._verifier = None  # frees its cache
        yield from self._noted(self.account.timed("decoding", decode(self.decoder, self.head, rows)))

    def _noted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows; what those that ended have written goes into the tree."""
        for row in rows:
            if row.ended and row.finite:
                self.tree.add(row)
            yield row

    def _slots(self) -> Verifier:
        """Return what feeds mutants known texts; made anew after each decoding."""
        if self._verifier is None:
            cache = self.decoder.new_cache(self.verified, self._positions)
            self._verifier = Verifier(self.decoder, self.head, cache)
        return self._verifier

    def _edit(self, mutant: Mutant) -> Edit:
        return edit_of(self.engine.mutagen, self.decoder, mutant)


def _without(rows: Sequence[Row], others: Iterable[Row]) -> list[Row]:
    """Return rows but for some of them."""
    gone = set(others)
    return [row for row in rows if row not in gone]
