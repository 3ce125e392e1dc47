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

from mutascope.core.errors import Unsupported
from mutascope.core.genome import Mutant
from mutascope.core.protocol import NextToken, Outcome, Output, Prompt
from mutascope.engine.decoder import Decoder, Places
from mutascope.engine.edits import Edits, edit_of
from mutascope.engine.measures import choice_probabilities
from mutascope.engine.reference import ReferenceEngine
from mutascope.numerics.cpu import threads_for_kernels
from mutascope.numerics.sampling import Picker

_ROWS = 16
"""Mutants of a pass: with questions of a hundred tokens, matrix products of some thousand rows."""
_PASS = 1024
"""Tokens of a pass over the common beginning."""


class ChoiceRun:
    """Questions that share a beginning, many mutants.

    Attributes:
        shared: tokens that all questions begin with.
        underway: how much of the work on mutants that were not yielded yet is done, in mutants.

    Args:
        reference: engine that gives the wild type.
        prompts: the questions, examples included.
        readout: how they are read.
        rows: mutants at a time; by default as many as a quarter of the free memory holds, 16 at most.
        clock: accounts for the time of a phase (verifying).

    Raises:
        Unsupported: for an architecture that the decoder does not implement, and for a wild type that is not finite.
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
        self.picker = Picker(readout.resolved, readout.seed, self.decoder.head.shape[0])
        known = [reference.wild_type_logits(prompt, readout) for prompt in prompts]
        if not all(output.finite for output, _ in known):
            raise Unsupported("the wild type puts out NaN or inf")
        truth = torch.cat([logits for _, logits in known])
        values = choice_probabilities(truth, readout.choices)
        self.wild = tuple(
            Output(output.tokens, values=value) for (output, _), value in zip(known, values, strict=True)
        )
        self.rows = rows or self.decoder.affordable_rows(positions, _ROWS)
        with torch.inference_mode(), threads_for_kernels():
            self._prepare(positions)
            tokens, again = self._ask([0], Edits())
        self._reproduced = self.wild == self._outputs(tokens[0], again[0])

    def reproduces_wild_type(self) -> bool:
        """Whether the wild type, run through this engine, has the reference engine's answers and probabilities."""
        return self._reproduced

    def outcomes(self, mutants: Iterable[Mutant]) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, in order."""
        waiting = iter(mutants)
        while batch := list(islice(waiting, self.rows)):
            order = sorted(range(len(batch)), key=lambda place: batch[place].layer)
            with self.clock("verifying"), torch.inference_mode(), threads_for_kernels():
                mutants_here = [batch[place] for place in order]
                edits = [edit_of(self.reference.mutagen, self.decoder, mutant) for mutant in mutants_here]
                found = self._ask([mutant.layer for mutant in mutants_here], Edits(enumerate(edits)))
                outputs = [self._outputs(*row) for row in zip(*found, strict=True)]
            for place, row in sorted(zip(order, range(len(batch)), strict=True)):
                self.underway = float(len(batch) - place - 1)
                yield Outcome(batch[place], outputs[row])

    def _outputs(
        self, tokens: Sequence[int], values: Sequence[dict[str, float | None]]
    ) -> tuple[Output, ...]:
        """Return the outputs of a row, one per question, of its tokens and what was measured."""
        return tuple(
            Output((token,), values=value) if token >= 0 else Output((), finite=False, values=value)
            for token, value in zip(tokens, values, strict=True)
        )

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
        places, none = self._place(begin, begin + len(tokens)), Edits()
        hidden = decoder.embed(torch.tensor([tokens]), places)
        states = []
        for index, cache in enumerate(self._cache):
            states.append(hidden[0])
            hidden = decoder.layer(index, hidden, none, cache, places)
        return states

    def _ask(
        self, layers: Sequence[int], edits: Edits
    ) -> tuple[list[list[int]], list[list[dict[str, float | None]]]]:
        """Return tokens and values of every row and question.

        Args:
            layers: that are mutated, by row, ascending.
            edits: of the rows.
        """
        rows = len(layers)
        size = max(1, _PASS // rows)
        for begin in range(0, self.shared, size):
            end = min(self.shared, begin + size)
            self._pass(layers, edits, [state[begin:end] for state in self._beginning], begin, read=False)
            self._did(rows, end)
        columns, values = [], []
        done = self.shared
        for states in self._endings:
            final = self.decoder.final(self._pass(layers, edits, states, self.shared, read=True))
            logits = self.decoder.logits(final)
            columns.append(self.picker.pick(logits, torch.zeros(rows, dtype=torch.long)).tolist())
            values.append(choice_probabilities(logits, self.readout.choices))
            done += len(states[0])
            self._did(rows, done)
        return [list(row) for row in zip(*columns, strict=True)], [
            list(row) for row in zip(*values, strict=True)
        ]

    def _did(self, rows: int, tokens: int) -> None:
        """Note that rows were fed that many tokens of all questions."""
        self.underway = rows * tokens / (self.shared + sum(len(states[0]) for states in self._endings))

    def _pass(
        self, layers: Sequence[int], edits: Edits, states: Sequence[Tensor], begin: int, *, read: bool
    ) -> Tensor:
        """Feed all rows the same tokens; return the last layer's output at the last of them, [rows, hidden].

        Args:
            layers: mutated, by row, ascending.
            edits: of the rows.
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
                hidden[:active] = decoder.layer(index, hidden[:active], edits, self._cache[index], places)
        decoder.remember(last, hidden, edits, self._cache[last], places)
        if not read:
            return hidden[:, -1]
        return decoder.layer(
            last, hidden[:, -1:].contiguous(), edits, self._cache[last], self._place(end - 1, end)
        )[:, 0]

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
