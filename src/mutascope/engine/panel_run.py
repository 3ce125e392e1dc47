"""Many mutants, many prompts, a generated text for each: mutants of all prompts are decoded together.

Each prompt is verified as in :mod:`mutascope.engine.prompt_run`. Divergent rows of all prompts then go on in one sweep
from position to position: at a position, rows of prompts of different length are at different steps of their text.

The wild type is a row like any other, as 151 calls of the reference engine would cost more than twenty mutants. The
reference engine gives the wild type of three prompts, which must come out equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice

import torch

from mutascope.core.errors import Unsupported
from mutascope.core.genome import Mutant
from mutascope.core.protocol import Generation, Outcome, Output, Prompt
from mutascope.engine.decoder import Decoder
from mutascope.engine.edits import edit_of
from mutascope.engine.head import Head
from mutascope.engine.prompt_run import SLOTS, PromptRun
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.sweep import Sweep
from mutascope.engine.trace import Row, Trace
from mutascope.engine.verifier import Verifier
from mutascope.numerics.cpu import threads_for_kernels
from mutascope.numerics.sampling import Picker

_MUTANTS = 24
"""Mutants that are run on all prompts before the next ones: what a kill loses."""
_VERIFY_ROWS = 64
_CHECKED = 3
"""Prompts whose wild type comes from the reference engine."""

Clock = Callable[[str], AbstractContextManager[None]]


class PanelRun:
    """A panel of prompts, many mutants.

    Attributes:
        wild: outputs of the wild type, one per prompt.
        underway: how much of the work on mutants that were not yielded yet is done, in mutants.

    Args:
        reference: engine that gives the wild type of some prompts.
        prompts: what the mutants are asked.
        readout: how they answer, resolved for the first prompt.
        slots: rows decoded at a time; by default as many as a quarter of the free memory holds, 576 at most.
        clock: accounts for the time of a phase (verifying, decoding).

    Raises:
        Unsupported: for an architecture that the decoder does not implement, and for a wild type that is not finite.
    """

    def __init__(
        self,
        reference: ReferenceEngine,
        prompts: Sequence[Prompt],
        readout: Generation,
        slots: int | None,
        clock: Clock,
    ) -> None:
        self.reference, self.prompts, self.readout, self.clock = reference, tuple(prompts), readout, clock
        readouts = [readout.at(prompt) for prompt in prompts]
        steps = [each.resolved["max_new_tokens"] for each in readouts]
        positions = max(len(prompt.tokens) + count for prompt, count in zip(prompts, steps, strict=True))
        self.decoder = Decoder(reference.model.network, positions)
        resolved = {**readout.resolved, "max_new_tokens": max(steps)}
        self.picker = Picker(resolved, readout.seed, self.decoder.head.shape[0])
        self.slots = slots or self.decoder.affordable_rows(positions, SLOTS)
        with torch.inference_mode(), threads_for_kernels():
            self.head = Head(self.decoder, self.picker)
            self.cache = self.decoder.new_cache(self.slots, positions)
        self.underway, self._ended = 0.0, 0
        self._homes = [_PanelPrompt(self, *each) for each in zip(prompts, readouts, strict=True)]
        self.wild = self._wild_type()

    def reproduces_wild_type(self) -> bool:
        """Whether the checked prompts have the reference engine's wild type."""
        places = _spread(len(self.prompts), _CHECKED)
        checked = [self.prompts[place] for place in places]
        return (
            tuple(self.wild[place] for place in places)
            == self.reference.prepare(checked, self.readout).wild_type
        )

    def outcomes(self, mutants: Iterable[Mutant]) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, a few mutants at a time."""
        waiting = iter(mutants)
        while batch := list(islice(waiting, min(_MUTANTS, self.slots))):
            self._ended, self.underway = 0, 0.0
            outputs: dict[Mutant, dict[int, Output]] = {mutant: {} for mutant in batch}
            work = self._rows(batch)
            while True:
                with torch.inference_mode(), threads_for_kernels():
                    found = next(work, None)
                if found is None:
                    break
                row, place = found
                self._ended += 1
                self.underway += 1 / len(self.prompts)
                outputs[row.mutant][place] = Output(tuple(row.tokens), finite=row.finite)
            for left, mutant in zip(range(len(batch) - 1, -1, -1), batch, strict=True):
                self.underway = float(left)
                said = tuple(outputs[mutant][place] for place in range(len(self.prompts)))
                yield Outcome(mutant, said)

    def _rows(self, mutants: Sequence[Mutant]) -> Iterator[tuple[Row, int]]:
        """Yield rows that ended with the place of their prompt: verify until the slots are full, then decode."""
        places: dict[Row, int] = {}
        divergent: list[Row] = []
        edits = [
            (mutant, mutant.layer, edit_of(self.reference.mutagen, self.decoder, mutant))
            for mutant in mutants
        ]
        for place, home in enumerate(self._homes):
            with self.clock("verifying"):
                home.prepare()
            for first in range(0, len(edits), home.verify_rows):
                rows = [Row(*each, home.wild) for each in edits[first : first + home.verify_rows]]
                places.update(dict.fromkeys(rows, place))
                for row in home.verify(rows):
                    if row.seen is None:
                        yield row, places.pop(row)
                    else:
                        divergent.append(row)
            home.forget_states()
            if len(divergent) + len(mutants) > self.slots or home is self._homes[-1]:
                for row in self._decode(divergent, places):
                    yield row, places.pop(row)
                divergent = []
                for done in self._homes[: place + 1]:
                    done.forget()

    def _decode(self, divergent: list[Row], places: dict[Row, int]) -> Iterator[Row]:
        """Decode rows to their end, each from its divergence; yield them as they end."""
        if not divergent:
            return
        homes = {row: self._homes[places[row]] for row in divergent}
        divergent.sort(key=lambda row: (homes[row].position(row), places[row]), reverse=True)
        sweep, position = Sweep(self.decoder, self.cache), 0
        while divergent or sweep.rows:
            position = position + 1 if sweep.rows else homes[divergent[-1]].position(divergent[-1])
            with self.clock("decoding"):
                while divergent and homes[divergent[-1]].position(divergent[-1]) == position:
                    home = homes[divergent[-1]]
                    new = []
                    while (
                        divergent
                        and homes[divergent[-1]] is home
                        and home.position(divergent[-1]) == position
                    ):
                        new.append(divergent.pop())
                    sweep.admit(new, position)
                final = self.decoder.final(sweep.step(position))
                steps = torch.tensor([position - homes[row].start + 1 for row in sweep.rows])
                tokens = self.head.pick_families(final, steps, sweep.families()).tolist()
            for row, token in zip(sweep.rows, tokens, strict=True):
                row.take(token)
            ended = [row for row in sweep.rows if homes[row].has_ended(row)]
            with self.clock("decoding"):
                sweep.part(ended, position + 1)
            texts = sum(len(row.tokens) / homes[row].steps for row in (*divergent, *sweep.rows))
            self.underway = (self._ended + texts) / len(self.prompts)
            yield from ended

    # wild type

    @torch.inference_mode()
    def _wild_type(self) -> tuple[Output, ...]:
        """Return the wild type's outputs: it is decoded as a mutant of layer 0 that changes nothing."""
        locus = next(iter(self.reference.model.genome))
        noop = Mutant(locus.layer, locus.kind, 0, 0, "noop")
        places: dict[Row, int] = {}
        for place, home in enumerate(self._homes):
            places[home.begin(noop)] = place
        waiting = [row for row in places if not self._homes[places[row]].has_ended(row)]
        for first in range(0, len(waiting), self.slots):
            for _ in self._decode(waiting[first : first + self.slots], places):
                pass
        if not all(row.finite for row in places):
            raise Unsupported("the wild type puts out NaN or inf")
        for home, row in zip(self._homes, places, strict=True):
            home.tokens = tuple(row.tokens)
            home.forget()
        return tuple(Output(home.tokens) for home in self._homes)


class _PanelPrompt(PromptRun):
    """One prompt of a panel: verifies its mutants with what the panel shares."""

    def __init__(self, panel: PanelRun, prompt: Prompt, readout: Generation) -> None:
        self.panel, self.prompt, self.readout = panel, prompt, readout
        self.reference, self.clock, self.decoder, self.head = (
            panel.reference,
            panel.clock,
            panel.decoder,
            panel.head,
        )
        self.picker, self.start = panel.picker, len(prompt.tokens)
        self.verify_rows = min(_VERIFY_ROWS, panel.slots)
        # nothing is decoded while mutants are verified
        self.verifier = Verifier(self.decoder, self.head, panel.cache[:, :, : self.verify_rows], self.start)
        self.steps: int = readout.resolved["max_new_tokens"]
        self.continuation, self.shortlists = None, []
        self.tokens: tuple[int, ...] = ()

    def begin(self, noop: Mutant) -> Row:
        """Let the wild type read the prompt and pick its first token, as a mutant of layer 0 that changes nothing."""
        self.wild = Trace(self.decoder, self.prompt.tokens, ())
        row = Row(noop, 0, None, self.wild)
        final = self.decoder.final(self.wild.hidden(len(self.decoder.layers))[-1:])
        row.take(int(self.head.pick(final, torch.zeros(1, dtype=torch.long))))
        row.seen = self.wild.cache[:, :, 0]
        return row

    def prepare(self) -> None:
        """Compute the wild type's hidden states; shortlists would not pay for a few dozen mutants."""
        self.wild = Trace(self.decoder, self.prompt.tokens, self.tokens)

    def forget_states(self) -> None:
        """Free what only verification needs."""
        self.wild.forget_states()

    def forget(self) -> None:
        """Free all that :meth:`prepare` or :meth:`begin` computed."""
        self.__dict__.pop("wild", None)

    def position(self, row: Row) -> int:
        """Return where the latest token of a row stands."""
        return self.start + len(row.tokens) - 1

    def verify(self, rows: list[Row]) -> Iterator[Row]:
        """Yield rows that end, and those that diverge with what they have seen."""
        return self._verify(rows)

    def has_ended(self, row: Row) -> bool:
        """Whether the row's text is complete."""
        return self._ended(row)

    def _ended(self, row: Row) -> bool:
        return len(row.tokens) >= self.steps or super()._ended(row)


def _spread(size: int, count: int) -> list[int]:
    """Return ``count`` places among ``size``, the first always, evenly spread.

    >>> _spread(151, 3)
    [0, 50, 100]
    """
    return sorted({size * part // count for part in range(count)})
