"""The wild type on the prompts of a session: what it says, and what mutants are verified against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mutascope.core.errors import Unsupported
from mutascope.core.protocol import NextToken, Output, Prompt, Readout
from mutascope.engine.activation_cache import ActivationCache, common_beginning, runs_alike
from mutascope.engine.batched_decoding import decode
from mutascope.engine.decoder import Decoder
from mutascope.engine.head import Head, Shortlist
from mutascope.engine.measures import Answer, Choices, Continuation, FurtherText, Measure, measured
from mutascope.engine.reference import ReferenceEngine
from mutascope.engine.rows import Asked, Row

_CHECKED = 3
"""Texts of a panel for which the reference engine is asked: all would cost more than twenty mutants."""
_READINGS = 2**31
"""Bytes that the network's activations on all questions may take. Beyond, those of one are kept at a time."""


@dataclass(frozen=True)
class Reading:
    """What mutants are verified against in one prompt.

    Attributes:
        activations: of the wild type.
        measure: what is asked of the logits along its text, if anything is.
        shortlists: of its text, by step; none where they would not pay.
    """

    activations: ActivationCache
    measure: Measure | None
    shortlists: list[Shortlist]


@dataclass(frozen=True)
class FurtherReading:
    """What the wild type writes with a further seed, to measure mutants along."""

    output: Output
    activations: ActivationCache
    measure: FurtherText


class WildType:
    """The wild type on every prompt.

    Texts come from the reference engine where there is one prompt or one token each; those of a panel are decoded like
    any other row. The logits of all, or of three prompts of a panel, must be the reference engine's, bit for bit.

    Attributes:
        outputs: one per prompt.
        keeps: whether readings are kept; those of a panel, and of very many questions, are made again for each cohort.
        texts: of the further seeds of the readout, on the first prompt.

    Args:
        reference: engine that defines the truth.
        decoder: of the network.
        head: of the assay.
        prompts: what is asked.
        asked: the same, as the session asks it.
        readout: how it is answered.
        max_batch: rows decoded at a time.

    Raises:
        Unsupported: when it is not finite, or not what the reference engine puts out.
    """

    def __init__(
        self,
        reference: ReferenceEngine,
        decoder: Decoder,
        head: Head,
        prompts: Sequence[Prompt],
        asked: Sequence[Asked],
        readout: Readout,
        max_batch: int,
    ) -> None:
        self.decoder, self.head, self.readout, self.asked = decoder, head, readout, asked
        self.choices = Choices(readout.choices) if isinstance(readout, NextToken) else None
        alone = self.choices is not None or len(asked) == 1
        runs = runs_alike([each.tokens for each in asked]) if self.choices else []
        self._runs = {index: run for run in runs for index in run}
        self._beginnings: dict[range, ActivationCache] = {}
        self._shared = {run: common_beginning([asked[index].tokens for index in run]) for run in runs}
        self.keeps = alone and (self.choices is None or self._size() <= _READINGS)
        self._readings: dict[int, Reading] = {}
        checked = range(len(asked)) if alone else _spread(len(asked), _CHECKED)
        self.tokens = [] if alone else self._decoded(max_batch)
        outputs: list[Output] = []
        for index in checked:
            output, logits = reference.wild_type_logits(prompts[index], readout)
            if not output.finite:
                raise Unsupported("the wild type puts out NaN or inf")
            if alone:
                self.tokens.append(output.tokens)
                outputs.append(self._output(output.tokens, logits))
            if not self._equals(asked[index], output, logits):
                raise Unsupported("its wild type does not equal the reference engine's")
        if self.keeps:
            for beginning in self._beginnings.values():
                beginning.drop_keys_values()
        self.outputs = tuple(outputs if alone else map(Output, self.tokens))
        self.texts = [
            self._further(reference, prompts[0], readout.with_seed(seed)) for seed in readout.further
        ]

    @property
    def further(self) -> tuple[Output, ...]:
        """Outputs with the further seeds of the readout."""
        return tuple(text.output for text in self.texts)

    def reading(self, asked: Asked) -> Reading:
        """Return what mutants are verified against in a prompt."""
        if asked.index in self._readings:
            return self._readings[asked.index]
        tokens = self.tokens[asked.index]
        beginning = self._beginning(asked)
        activations = ActivationCache(self.decoder, asked.tokens, tokens, beginning).extend_fully()
        measure, shortlists = self.choices, []
        if self.readout.measure:
            known = (tokens, self._logits(activations), self.head.sampler)
            measure = Answer(self.choices.choices, *known) if self.choices else Continuation(*known)
        elif self.keeps and not measure:
            shortlists = self.head.known(self._final(activations), self._logits(activations), tokens)
        reading = Reading(activations, measure, shortlists)
        if self.choices:
            activations.drop_keys_values()  # no row goes on from here
        if self.keeps:
            self._readings[asked.index] = reading
        return reading

    def _output(self, tokens: tuple[int, ...], logits: Tensor) -> Output:
        """Return what it puts out on a prompt, with what its logits say."""
        if self.choices:
            return Output(tokens, values=measured(self.choices, logits))
        return Output(tokens, margins=self.head.sampler.margins(logits))

    def _further(self, reference: ReferenceEngine, prompt: Prompt, readout: Readout) -> FurtherReading:
        """Return what it writes with another seed, which must be what the reference engine has."""
        output, logits = reference.wild_type_logits(prompt, readout)
        sampler = reference.sampler(prompt, readout)
        assert sampler is not None, "the fast engine picks by a sampler"
        activations = ActivationCache(self.decoder, prompt.tokens, output.tokens).extend_fully()
        if not (output.finite and torch.equal(self._logits(activations), logits)):
            raise Unsupported(f"its wild type with seed {readout.seed} does not equal the reference engine's")
        margins = sampler.margins(logits)
        measure = FurtherText(readout.seed, output.tokens, logits, sampler)
        return FurtherReading(replace(output, margins=margins), activations, measure)

    def _equals(self, asked: Asked, output: Output, logits: Tensor) -> bool:
        """Whether the wild type has the reference engine's tokens and logits."""
        if self.tokens[asked.index] != output.tokens:
            return False
        return torch.equal(self._logits(self.reading(asked).activations), logits)

    def _final(self, activations: ActivationCache) -> Tensor:
        """Return the final states after which tokens are picked, [steps, hidden]."""
        span = (activations.start - 1, len(activations.fed))
        return self.decoder.final(activations.inputs(len(self.decoder.layers), *span))

    def _logits(self, activations: ActivationCache) -> Tensor:
        """Return the logits that tokens are picked from, [steps, vocabulary]."""
        return torch.cat([logits for _, logits in self.head.logits(self._final(activations))])

    def shared(self, asked: Asked) -> int:
        """Return the tokens of a question that rows were fed with the one before it."""
        run = self._runs.get(asked.index)
        return 0 if run is None or asked.index == run.start else self._shared[run]

    def _beginning(self, asked: Asked) -> ActivationCache | None:
        """Return the activations on what a question and its neighbours begin with, if there is something."""
        run = self._runs.get(asked.index)
        if run is None or not self._shared[run]:
            return None
        if run not in self._beginnings:
            if not self.keeps:
                self._beginnings.clear()
            tokens = asked.tokens[: self._shared[run]]
            self._beginnings[run] = ActivationCache(self.decoder, tokens).extend_fully()
        return self._beginnings[run]

    def _size(self) -> int:
        """Return how many bytes the activations on all questions take."""
        begun = sum(self._shared[run] * (len(run) - 1) for run in self._shared)
        fed = sum(len(asked.tokens) for asked in self.asked) - begun
        layers = len(self.decoder.layers) + 1
        return fed * layers * self.decoder.hidden_size * self.decoder.head.element_size()

    def _decoded(self, max_batch: int) -> list[tuple[int, ...]]:
        """Return the wild type's texts."""
        rows = [self._begun(asked) for asked in self.asked]
        going = [row for row in rows if not row.ended]
        for first in range(0, len(going), max_batch):
            for _ in decode(self.decoder, self.head, going[first : first + max_batch]):
                pass
        if not all(row.finite for row in rows):
            raise Unsupported("the wild type puts out NaN or inf")
        return [tuple(row.tokens) for row in rows]

    def _begun(self, asked: Asked) -> Row:
        """Return the wild type after its first token, as a mutant of layer 0 that changes nothing."""
        prompt, layers = ActivationCache(self.decoder, asked.tokens), len(self.decoder.layers)
        prompt.extend([layers])
        row = Row(None, 0, None, asked, prompt)
        row.take(int(self.head.sample(self._final(prompt), torch.zeros(1, dtype=torch.long))))
        row.seen = torch.stack([prompt.keys_values(layer, asked.start) for layer in range(layers)])
        return row


def _spread(size: int, count: int) -> list[int]:
    """Return ``count`` indices below ``size``, the first always, evenly spread.

    >>> _spread(151, 3)
    [0, 50, 100]
    """
    return sorted({size * part // count for part in range(count)})
