"""Many mutants, many questions with a common beginning, one token read from each.

The longest common beginning of the questions, in tokens, is computed once per mutant, and each question after it in the
same cache. A mutant starts at its own layer with the wild type's hidden states. In the last layer all tokens but a
question's last are only seen by others, so their keys and values will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder
from mutascope.engine.deltas import Delta, Deltas, delta_of
from mutascope.engine.places import Places
from mutascope.engine.prompt_run import NEAR_TIE, NOISE_FACTOR, margin_errors
from mutascope.engine.reference import ReferenceEngine
from mutascope.genome import Mutant
from mutascope.measures import choice_probabilities
from mutascope.readout import NextToken, Outcome, Output, Prompt
from mutascope.sampling import Picker, Picks

_ROWS = 16
"""Mutants of a pass: with questions of a hundred tokens, matrix products of some thousand rows."""
_PASS = 1024
"""Tokens of a pass over the common beginning."""


class ChoiceRun:
    """Questions that share a beginning, many mutants.

    Attributes:
        shared: tokens that all questions begin with.
        noise: root mean square of the errors of margins on the wild type, in units of logit / temperature.
        near_tie: margin below which an answer is left to the reference engine, as in
            :class:`~mutascope.engine.prompt_run.PromptRun`.
        underway: how much of the work on mutants that were not yielded yet is done, in mutants.

    Args:
        reference: engine that settles what this one cannot.
        prompts: the questions, examples included.
        readout: how they are read.
        rows: mutants at a time; by default as many as a quarter of the free memory holds, 16 at most.
        clock: accounts for the time of a phase (verifying, settling).

    Raises:
        ValueError: for an architecture that the decoder does not implement, and for a wild type that is not finite.
    """

    def __init__(
        self,
        reference: ReferenceEngine,
        prompts: Sequence[Prompt],
        readout: NextToken,
        rows: int | None,
        clock: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self.reference, self.prompts, self.readout, self.clock = reference, tuple(prompts), readout, clock
        self.underway = 0.0
        self.shared = common_beginning([prompt.tokens for prompt in prompts])
        positions = max(len(prompt.tokens) for prompt in prompts)
        self.decoder = Decoder(reference.model.network, positions)
        self.picker = Picker(readout.resolved, readout.seed, self.decoder.head.shape[0], self.decoder.device)
        known = [reference.wild_type_logits(prompt, readout) for prompt in prompts]
        if not all(output.finite for output, _ in known):
            raise ValueError("the wild type puts out NaN or inf")
        truth = torch.cat([logits for _, logits in known])
        values = choice_probabilities(truth, readout.choices)
        self.wild = tuple(
            Output(output.tokens, values=value) for (output, _), value in zip(known, values, strict=True)
        )
        self.rows = rows or self.decoder.affordable_rows(positions, _ROWS)
        with torch.inference_mode():
            self._prepare(positions)
            nothing = Delta(0, "q", 0, 0, self.decoder.head.new_zeros(1, 1))
            picks, _ = self._ask([nothing])
            self._wild_tokens = picks.tokens[0].tolist()
            true = self.picker.pick(truth, torch.zeros(len(truth), dtype=torch.long, device=truth.device))
            errors = margin_errors(Picks(*(values[0] for values in picks)), true)
            self.noise = float(errors.square().mean().sqrt())
            self.near_tie = max(NEAR_TIE, NOISE_FACTOR * self.noise)

    def reproduces_wild_type(self) -> bool:
        """Whether the wild type, run through this engine, picks the reference engine's tokens."""
        return [(token,) for token in self._wild_tokens] == [output.tokens for output in self.wild]

    def outcomes(self, mutants: Iterable[Mutant]) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, in order."""
        waiting = iter(mutants)
        while batch := list(islice(waiting, self.rows)):
            order = sorted(range(len(batch)), key=lambda place: batch[place].layer)
            with self.clock("verifying"), torch.inference_mode():
                deltas = [delta_of(self.reference.mutagen, batch[place]) for place in order]
                picks, values = self._ask(deltas)
                tokens, margins, finite = (field.tolist() for field in picks)
            for place, row in sorted(zip(order, range(len(batch)), strict=True)):
                found = zip(tokens[row], margins[row], finite[row], values[row], strict=True)
                outcome = self._settled(batch[place], list(found))
                self.underway = float(len(batch) - place - 1)
                yield outcome

    def _settled(
        self, mutant: Mutant, found: Sequence[tuple[int, float, bool, dict[str, float | None]]]
    ) -> Outcome:
        """Return the outcome of a mutant; the reference engine gives the answers whose margin is too small."""
        outputs, replayed = [], False
        for prompt, (token, margin, finite, values) in zip(self.prompts, found, strict=True):
            output = Output((token,), values=values)
            if not finite or margin < self.near_tie:
                with self.clock("settling"):
                    (outcome,) = self.reference.run([prompt], self.readout, [mutant])
                output, replayed = outcome.outputs[0], True
            outputs.append(output)
        return Outcome(mutant, tuple(outputs), replayed)

    def _prepare(self, positions: int) -> None:
        """Compute the wild type's hidden states, and make room for a batch."""
        decoder = self.decoder
        self._cache = decoder.new_cache(self.rows, positions)
        self._places: dict[tuple[int, int], Places] = {}
        beginning = self.prompts[0].tokens[: self.shared]
        self._beginning = self._wild_states(beginning, 0) if beginning else []
        self._endings = [self._wild_states(p.tokens[self.shared :], self.shared) for p in self.prompts]

    def _wild_states(self, tokens: Sequence[int], begin: int) -> list[Tensor]:
        """Return the wild type's input of every layer for tokens that stand at ``begin``, [tokens, hidden] each."""
        decoder = self.decoder
        hidden = decoder.embed(torch.tensor(tokens, device=decoder.device))[None]
        places, none = self._place(begin, begin + len(tokens)), Deltas([], decoder.device)
        states = []
        for index, cache in enumerate(self._cache):
            states.append(hidden[0])
            hidden = decoder.layer(index, hidden, none, cache, places)
        return states

    def _ask(self, rows: Sequence[Delta]) -> tuple[Picks, list[list[dict[str, float | None]]]]:
        """Return picks [rows, questions] and the values of every row and question; rows are sorted by layer."""
        deltas = Deltas(enumerate(rows), self.decoder.device)
        layers = [row.layer for row in rows]
        size = max(1, _PASS // len(rows))
        for begin in range(0, self.shared, size):
            end = min(self.shared, begin + size)
            self._pass(layers, deltas, [state[begin:end] for state in self._beginning], begin, read=False)
            self._did(len(rows), end)
        columns, values = [], []
        done = self.shared
        for states in self._endings:
            final = self.decoder.final(self._pass(layers, deltas, states, self.shared, read=True))
            logits = self.decoder.logits(final)
            columns.append(
                self.picker.pick(logits, torch.zeros(len(rows), dtype=torch.long, device=logits.device))
            )
            values.append(choice_probabilities(logits, self.readout.choices))
            done += len(states[0])
            self._did(len(rows), done)
        picks = Picks(*(torch.stack(fields, dim=1) for fields in zip(*columns, strict=True)))
        return picks, [list(row) for row in zip(*values, strict=True)]

    def _did(self, rows: int, tokens: int) -> None:
        """Note that rows were fed that many tokens of all questions."""
        self.underway = rows * tokens / (self.shared + sum(len(states[0]) for states in self._endings))

    def _pass(
        self, layers: Sequence[int], deltas: Deltas, states: Sequence[Tensor], begin: int, *, read: bool
    ) -> Tensor:
        """Feed all rows the same tokens; return the last layer's output at the last of them, [rows, hidden].

        Args:
            layers: mutated, by row, ascending.
            deltas: of the rows.
            states: the wild type's input of every layer.
            begin: where the tokens stand.
            read: whether the output is wanted; it means nothing otherwise.
        """
        decoder, end, last = self.decoder, begin + len(states[0]), len(self.decoder.layers) - 1
        places = self._place(begin, end)
        hidden = states[0].new_empty(len(layers), *states[0].shape)
        active = 0
        for index in range(layers[0], len(decoder.layers)):
            joined = active
            while active < len(layers) and layers[active] == index:
                active += 1
            hidden[joined:active] = states[index]
            if index < last:
                hidden[:active] = decoder.layer(index, hidden[:active], deltas, self._cache[index], places)
        decoder.remember(last, hidden, deltas, self._cache[last], places)
        if not read:
            return hidden[:, -1]
        return decoder.layer(last, hidden[:, -1:], deltas, self._cache[last], self._place(end - 1, end))[:, 0]

    def _place(self, begin: int, end: int) -> Places:
        if (begin, end) not in self._places:
            self._places[begin, end] = self.decoder.places(begin, end)
        return self._places[begin, end]


def common_beginning(texts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all texts begin with, at least one of each left over.

    >>> common_beginning([[5, 1, 2, 3], [5, 1, 4], [5, 1, 2]])
    2
    """
    first = min(texts, key=len)
    for place, token in enumerate(first[:-1]):
        if any(text[place] != token for text in texts):
            return place
    return len(first) - 1
