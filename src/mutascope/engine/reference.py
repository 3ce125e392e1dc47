"""The reference engine: write the tile, seed, ``generate`` at batch size 1, restore. It defines the truth.

``generate`` is transformers' own, with the operations of mutascope's numerics installed in the network, and with
its tokens picked by mutascope's sampling (docs/numerics.md); with *stock* numerics both are torch's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant, Tiling
from mutascope.core.manifest import STOCK
from mutascope.core.protocol import Generation, NextToken, Outcome, Output, Prompt, Readout
from mutascope.engine.measures import Answer, Choices, Continuation, FurtherText, measured
from mutascope.model.generation import unsupported_fields
from mutascope.model.loading import Model
from mutascope.model.mutations import Mutagen
from mutascope.numerics.install import name_of, numerics_of, refusal
from mutascope.numerics.sampling import SAMPLING, Sampler


class NonFiniteLogits(Exception):
    """A step had a NaN or +inf logit; carries the tokens generated before it."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        super().__init__("non-finite logits")
        self.tokens = tokens


class _Step(LogitsProcessor):
    """Sees the logits of every step; ``generate`` runs it before temperature and filters.

    Args:
        prompt_length: number of tokens before the generated ones.
        sampler: picks the token: it alone is left to what follows. None leaves the choice to ``generate``.
        record: gets the logits of every step, [vocabulary] each, when given.
    """

    def __init__(self, prompt_length: int, sampler: Sampler | None, record: list[Tensor] | None) -> None:
        self.prompt_length, self.sampler, self.record = prompt_length, sampler, record

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.record is not None:
            self.record.append(scores[0].clone())
        step = input_ids.shape[1] - self.prompt_length
        if self.sampler is None:
            finite, token = not (torch.isnan(scores).any() or torch.isposinf(scores).any()), 0
        else:
            token = int(self.sampler.sample(scores.float().cpu(), torch.tensor([step])))
            finite = token >= 0
        if not finite:
            raise NonFiniteLogits(tuple(input_ids[0, self.prompt_length :].tolist()))
        if self.sampler is None:
            return scores
        left = torch.full_like(scores, -torch.inf)
        left[0, token] = 0.0
        return left


def _seed(seed: int, device: torch.device) -> None:
    """Seed the generators of a device.

    ``torch.manual_seed`` keeps the stack of every call, for each kind of device that has not been used yet.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


class ReferenceEngine:
    """Runs mutants one at a time, as the paper does, with the same seed before every prompt.

    Args:
        model: any that ``generate`` runs.
        tiling: of the screen.
        stock: keep torch's own kernels and sampling, to audit.

    Attributes:
        numerics: name of the arithmetic; ``stock`` where torch's kernels are asked for, or :attr:`refused` says why
            there are no others.
    """

    name = "reference"
    unit_size = 16

    def __init__(self, model: Model, tiling: Tiling, *, stock: bool = False) -> None:
        self.model, self.stock = model, stock
        self.refused = None if stock else refusal(model.network)
        self.numerics = STOCK if stock else name_of(model.network)
        self.mutagen = Mutagen(model.network, model.genome, tiling)

    def prepare(self, prompts: Sequence[Prompt], readout: Readout) -> ReferenceSession:
        """Return what runs mutants on these prompts: whatever ``generate`` runs."""
        return ReferenceSession(self, prompts, readout)

    def wild_type_logits(self, prompt: Prompt, readout: Readout) -> tuple[Output, Tensor]:
        """Return the output of the unmodified model and the logits that it was picked from, [steps, vocabulary]."""
        record: list[Tensor] = []
        output = self.generate(prompt, readout, record)
        return output, torch.stack(record)

    def read_out(self, prompt: Prompt, readout: Readout) -> Output:
        """Return what the network, as it is now, puts out; with probabilities where choices are read."""
        if isinstance(readout, Generation):
            return self.generate(prompt, readout)
        record: list[Tensor] = []
        output = self.generate(prompt, readout, record)
        return replace(output, values=measured(Choices(readout.choices), torch.stack(record)))

    def generate(self, prompt: Prompt, readout: Readout, record: list[Tensor] | None = None) -> Output:
        """Seed, and return what ``generate`` puts out at batch size 1.

        Args:
            prompt: what the network, as it is now, is asked.
            readout: how it answers.
            record: gets the logits of every step, [vocabulary] each.
        """
        network = self.model.network
        tokens = torch.tensor([prompt.tokens], device=network.device)
        step = _Step(len(prompt.tokens), self.sampler(prompt, readout), record)
        _seed(readout.seed, network.device)
        try:
            with torch.inference_mode(), self.operations():
                sequence = network.generate(  # pyright: ignore[reportCallIssue]
                    tokens,
                    attention_mask=torch.ones_like(tokens),
                    logits_processor=LogitsProcessorList([step]),
                    tokenizer=self.model.tokenizer if readout.resolved.get("stop_strings") else None,
                    **readout.arguments,
                )
        except NonFiniteLogits as broken:
            return Output(broken.tokens, finite=False)
        except ValueError as error:  # its processors check their settings
            reason = str(error).partition("\n")[0]
            raise MutascopeError(f"generate refuses {self.model.name}: {reason}") from error
        return Output(tuple(sequence[0, len(prompt.tokens) :].tolist()))

    def describe_numerics(self, readout: Readout) -> dict[str, str]:
        """Return whose arithmetic the network and the sampling have, as a manifest says it."""
        own = not self.stock and not unsupported_fields(readout.resolved)
        return {"operations": self.numerics, "sampling": SAMPLING if own else STOCK}

    def operations(self) -> AbstractContextManager[None]:
        """Install the numerics, where there are any."""
        network = self.model.network
        return nullcontext() if self.numerics == STOCK else numerics_of(network).installed(network)

    def sampler(self, prompt: Prompt, readout: Readout) -> Sampler | None:
        """Return what picks the tokens; None where ``generate`` does it itself."""
        if self.stock or unsupported_fields(readout.resolved):
            return None
        head: Any = self.model.network.get_output_embeddings()
        return Sampler(readout.at(prompt).resolved, readout.seed, head.weight.shape[0])


class ReferenceSession:
    """Runs mutants on some prompts, one at a time.

    Attributes:
        engine: that prepared it.
        underway: how much of the work on mutants that were not yielded yet is done, in mutants.

    Args:
        engine: that reads out the network as it is.
        prompts: what the mutants are asked.
        readout: how they answer.
    """

    def __init__(self, engine: ReferenceEngine, prompts: Sequence[Prompt], readout: Readout) -> None:
        self.engine, self.prompts, self.readout = engine, tuple(prompts), readout
        self.underway = 0.0
        self._wild_type: tuple[Output, ...] | None = None
        self._further: tuple[Output, ...] | None = None
        self._known: tuple[int, list[Answer | Continuation | FurtherText]] | None = None

    @property
    def wild_type(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model, one per prompt, read out when first asked for."""
        if self._wild_type is None:
            self._wild_type = tuple(self._read_wild_type(prompt, self.readout) for prompt in self.prompts)
        return self._wild_type

    @property
    def further(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model with the further seeds of the readout, read out when first asked for."""
        if self._further is None:
            readouts = map(self.readout.with_seed, self.readout.further)
            self._further = tuple(self._read_wild_type(self.prompts[0], readout) for readout in readouts)
        return self._further

    def run(self, mutants: Iterable[Mutant]) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, in the order given."""
        for mutant in mutants:
            outputs = []
            for place in range(len(self.prompts)):
                self.underway = place / len(self.prompts)
                outputs.append(self._read(mutant, place))
            self.underway = 0.0
            yield Outcome(mutant, tuple(outputs))

    def terms(self, mutant: Mutant) -> list[float]:
        """Return what silence, or margin, of a mutant on the first prompt is made of, by token."""
        wild = self._continuation(0)
        assert isinstance(wild, Continuation), "an answer has one token"
        with self.engine.mutagen.mutated(mutant):
            return wild.terms(self._logits(self.prompts[0], wild.tokens))

    def _read(self, mutant: Mutant, place: int) -> Output:
        """Read out a mutant on a prompt."""
        prompt, engine = self.prompts[place], self.engine
        known = self._texts(place) if self.readout.measure else []  # before the network is edited
        with engine.mutagen.mutated(mutant):
            output, values = engine.read_out(prompt, self.readout), {}
            for text in known:
                values |= measured(text, self._logits(prompt, text.tokens))
            return replace(output, values={**values, **output.values})

    def _read_wild_type(self, prompt: Prompt, readout: Readout) -> Output:
        """Read out the unmodified network; of a single prompt with margins, where they are known."""
        sampler = self.engine.sampler(prompt, readout)
        if sampler is None or len(self.prompts) > 1 or isinstance(readout, NextToken):
            return self.engine.read_out(prompt, readout)
        output, logits = self.engine.wild_type_logits(prompt, readout)
        return replace(output, margins=sampler.margins(logits[: len(output.tokens)]))

    def _texts(self, place: int) -> list[Answer | Continuation | FurtherText]:
        """Return the wild type's texts of a prompt; those of the last one are kept, as their logits are large."""
        if self._known is None or self._known[0] != place:
            self._known = place, [self._continuation(place), *self._further_texts(self.prompts[place])]
        return self._known[1]

    def _continuation(self, place: int) -> Answer | Continuation:
        """Return the wild type's text, or answer, of the seed of the assay."""
        prompt, tokens = self.prompts[place], self.wild_type[place].tokens
        known = (tokens, self._logits(prompt, tokens), self.engine.sampler(prompt, self.readout))
        return (
            Answer(self.readout.choices, *known)
            if isinstance(self.readout, NextToken)
            else Continuation(*known)
        )

    def _further_texts(self, prompt: Prompt) -> Iterator[FurtherText]:
        """Yield the wild type's texts of the further seeds."""
        for seed, output in zip(self.readout.further, self.further, strict=True):
            sampler = self.engine.sampler(prompt, self.readout.with_seed(seed))
            assert sampler is not None, "an assay of several seeds is picked by a sampler"
            yield FurtherText(seed, output.tokens, self._logits(prompt, output.tokens), sampler)

    def _logits(self, prompt: Prompt, tokens: Sequence[int]) -> Tensor:
        """Return what the network, as it is now, has the tokens after a prompt picked from, [steps, vocabulary]."""
        network = self.engine.model.network
        fed = torch.tensor([[*prompt.tokens, *tokens[:-1]]], device=network.device)
        with torch.inference_mode(), self.engine.operations():
            return network(fed).logits[0, len(prompt.tokens) - 1 :]
