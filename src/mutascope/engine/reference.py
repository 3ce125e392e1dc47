"""The reference engine: write the tile, seed, ``generate`` at batch size 1, restore. It defines the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from mutascope.genome import Mutant, Tiling
from mutascope.measures import Continuation, choice_probabilities
from mutascope.models import Model
from mutascope.mutations import Mutagen
from mutascope.readout import Generation, Outcome, Output, Prompt, Readout


class NonFiniteLogits(Exception):
    """A step had a NaN or +inf logit; carries the tokens generated before it."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        super().__init__("non-finite logits")
        self.tokens = tokens


class _FiniteCheck(LogitsProcessor):
    """Raises at the first non-finite step; ``generate`` runs it before temperature and filters.

    Args:
        prompt_length: number of tokens before the generated ones.
        record: gets the logits of every step, [vocabulary] each, when given.
    """

    def __init__(self, prompt_length: int, record: list[Tensor] | None) -> None:
        self.prompt_length = prompt_length
        self.record = record

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.record is not None:
            self.record.append(scores[0].clone())
        if torch.isnan(scores).any() or torch.isposinf(scores).any():
            raise NonFiniteLogits(tuple(input_ids[0, self.prompt_length :].tolist()))
        return scores


class ReferenceEngine:
    """Runs mutants one at a time, as the paper does, with the same seed before every prompt."""

    name = "reference"
    unit_size = 16

    def __init__(self, model: Model, tiling: Tiling) -> None:
        self.model = model
        self.mutagen = Mutagen(model.network, model.genome, tiling)
        self._continuations: dict[Prompt, Continuation] = {}
        self.underway = 0.0

    def wild_type(self, prompts: Sequence[Prompt], readout: Readout) -> tuple[Output, ...]:
        """Return the outputs of the unmodified model, one per prompt."""
        return tuple(read_out(self.model, prompt, readout) for prompt in prompts)

    def wild_type_logits(self, prompt: Prompt, readout: Readout) -> tuple[Output, Tensor]:
        """Return the output of the unmodified model and the logits that it was picked from, [steps, vocabulary]."""
        record: list[Tensor] = []
        output = generate(self.model, prompt, readout, record=record)
        return output, torch.stack(record)

    def refusal(self, prompts: Sequence[Prompt], readout: Readout) -> str | None:
        """Return None: it runs every model that ``generate`` runs."""
        return None

    def run(
        self, prompts: Sequence[Prompt], readout: Readout, mutants: Iterable[Mutant]
    ) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, in the order given."""
        if readout.measure:  # with the wild type in place
            self._continuations = {
                prompt: Continuation(output.tokens, logits)
                for prompt in prompts
                for output, logits in [self.wild_type_logits(prompt, readout)]
            }
        for mutant in mutants:
            with self.mutagen.mutated(mutant):
                outputs = tuple(self._read_all(prompts, readout))
                if readout.measure:
                    outputs = tuple(
                        replace(output, values=self._measured(prompt))
                        for output, prompt in zip(outputs, prompts, strict=True)
                    )
            self.underway = 0.0
            yield Outcome(mutant, outputs)

    def _read_all(self, prompts: Sequence[Prompt], readout: Readout) -> Iterator[Output]:
        """Read out the network as it is now on every prompt."""
        for done, prompt in enumerate(prompts):
            self.underway = done / len(prompts)
            yield read_out(self.model, prompt, readout)

    def next_token(
        self, prompt: Prompt, readout: Readout, mutant: Mutant, tokens: Sequence[int]
    ) -> int | None:
        """Return the token that a mutant generates after ``tokens``, None when it generates others before it."""
        with self.mutagen.mutated(mutant):
            output = generate(self.model, prompt, readout, limit=len(tokens) + 1)
        if not output.finite or output.tokens[:-1] != tuple(tokens):
            return None
        return output.tokens[-1]

    def _measured(self, prompt: Prompt) -> Mapping[str, float | None]:
        """Measure the network as it is along the continuation of the wild type."""
        wild = self._continuations[prompt]
        fed = torch.tensor([[*prompt.tokens, *wild.tokens.tolist()[:-1]]], device=wild.logits.device)
        with torch.inference_mode():
            logits = self.model.network(fed).logits[0, len(prompt.tokens) - 1 :]
            sums = logits.new_zeros(1, 2)
            for step, row in enumerate(logits):
                wild.add(sums, row[None], step)
        return wild.values(sums)[0]


def read_out(model: Model, prompt: Prompt, readout: Readout) -> Output:
    """Return what the network, as it is now, puts out on a prompt; with probabilities where choices are read."""
    if isinstance(readout, Generation):
        return generate(model, prompt, readout)
    record: list[Tensor] = []
    output = generate(model, prompt, readout, record=record)
    return replace(output, values=choice_probabilities(record[0][None], readout.choices)[0])


def generate(
    model: Model,
    prompt: Prompt,
    readout: Readout,
    limit: int | None = None,
    record: list[Tensor] | None = None,
) -> Output:
    """Seed, and return what ``generate`` puts out at batch size 1.

    Args:
        model: its network is run as it is now.
        prompt: what it is asked.
        readout: how it answers.
        limit: number of new tokens instead of the readout's.
        record: gets the logits of every step, [vocabulary] each.
    """
    network = model.network
    tokens = torch.tensor([prompt.tokens], device=network.device)
    arguments = dict(readout.arguments)
    if limit is not None:
        arguments.pop("max_length", None)
        arguments["max_new_tokens"] = limit
    check = LogitsProcessorList([_FiniteCheck(len(prompt.tokens), record)])
    torch.manual_seed(readout.seed)
    try:
        with torch.inference_mode():
            sequence = network.generate(  # pyright: ignore[reportCallIssue]
                tokens,
                attention_mask=torch.ones_like(tokens),
                logits_processor=check,
                **arguments,
            )
    except NonFiniteLogits as broken:
        return Output(broken.tokens, finite=False)
    return Output(tuple(sequence[0, len(prompt.tokens) :].tolist()))
