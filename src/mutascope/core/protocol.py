"""The language between assays and engines: prompts and readouts in, outputs out.

An engine answers: given prompts, a readout and mutants, what does each mutant put out on each prompt?
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from mutascope.core.genome import Mutant


@dataclass(frozen=True)
class Prompt:
    """One input: its text and its token ids, special tokens included."""

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Generation:
    """Readout: the tokens that ``generate`` appends to the prompt.

    Attributes:
        seed: given to ``torch.manual_seed`` before every prompt.
        arguments: keyword arguments of ``generate``, those that the assay states.
        resolved: every sampling field that is in force, the model's generation config and the library's
            defaults included.
        measure: also measure every mutant along the wild type's continuation (:mod:`mutascope.engine.measures`).
        further: more seeds; where mutants are measured, the chance that they write the wild type's texts of these too.
    """

    seed: int
    arguments: Mapping[str, Any]
    resolved: Mapping[str, Any]
    measure: bool = False
    further: tuple[int, ...] = ()

    def at(self, prompt: Prompt) -> Generation:
        """Return this readout for a prompt of another length than the one that it was resolved for."""
        length = len(prompt.tokens)
        if self.arguments.get("max_length") == self.resolved["max_length"]:
            changed = {"max_new_tokens": self.resolved["max_length"] - length}
        else:
            changed = {"max_length": length + self.resolved["max_new_tokens"]}
        return replace(self, resolved={**self.resolved, **changed})

    def with_seed(self, seed: int) -> Generation:
        """Return this readout with another seed, and that one alone."""
        return replace(self, seed=seed, further=())


@dataclass(frozen=True)
class NextToken:
    """Readout: one new token, and the probabilities of the choices.

    Attributes:
        seed: given to ``torch.manual_seed`` before every prompt.
        arguments: keyword arguments of ``generate``; ``max_new_tokens`` is 1.
        resolved: as in :class:`Generation`.
        choices: token ids by name of a choice; its probability is the sum of theirs, at temperature 1, unfiltered.
        measure: also measure how firm the wild type's answer is to every mutant.
    """

    seed: int
    arguments: Mapping[str, Any]
    resolved: Mapping[str, Any]
    choices: Mapping[str, tuple[int, ...]]
    measure: bool = False
    further: ClassVar[tuple[int, ...]] = ()

    def at(self, prompt: Prompt) -> NextToken:
        """Return this readout, which is the same for every prompt."""
        return self

    def with_seed(self, seed: int) -> NextToken:
        """Return this readout with another seed."""
        return replace(self, seed=seed)


Readout = Generation | NextToken


@dataclass(frozen=True)
class Output:
    """What one mutant puts out on one prompt.

    Attributes:
        tokens: generated token ids, the end token included; for a non-finite output those before it.
        finite: False when a step had a NaN or +inf logit.
        values: named numbers (probabilities, measures), None where a logit was not finite.
        margins: of the wild type alone, where they are known: how far every pick is from another one, in units of logit
            / temperature (:mod:`mutascope.numerics.sampling`).
    """

    tokens: tuple[int, ...]
    finite: bool = True
    values: Mapping[str, float | None] = field(default_factory=dict)
    margins: tuple[float, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Outcome:
    """What one mutant puts out, an output per prompt."""

    mutant: Mutant
    outputs: tuple[Output, ...]


Probe = Callable[[Prompt, Readout], Output]
"""Asks the unmodified model one prompt."""


class Engine(Protocol):
    """The interface that all engines share.

    Attributes:
        name: of the engine.
        unit_size: mutants that take about a minute.
    """

    name: str
    unit_size: int

    def prepare(self, prompts: Sequence[Prompt], readout: Readout) -> Session:
        """Return what runs mutants on these prompts.

        Raises:
            Unsupported: when the engine cannot give the reference engine's records.
        """
        ...


class Session(Protocol):
    """An engine made ready for some prompts and a readout. It holds what it has computed, until it is dropped."""

    @property
    def engine(self) -> Engine:
        """The engine that prepared it."""
        ...

    @property
    def wild_type(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model, one per prompt."""
        ...

    @property
    def further(self) -> tuple[Output, ...]:
        """Outputs of the unmodified model with the further seeds of the readout."""
        ...

    @property
    def underway(self) -> float:
        """How much of the work on mutants that were not yielded yet is done, in mutants."""
        ...

    def run(self, mutants: Iterable[Mutant]) -> Iterator[Outcome]:
        """Yield the outcome of every mutant, once each, in any order; the model is left as it was."""
        ...


def first_divergence(wild: Output, mutant: Output) -> int | None:
    """Return the index of the first generated token that differs, None when all are equal (METHOD, Terms).

    A non-finite output differs at the latest where it broke off.
    """
    pairs = zip(wild.tokens, mutant.tokens, strict=False)
    differing = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    if differing is not None:
        return differing
    if mutant.finite and len(wild.tokens) == len(mutant.tokens):
        return None
    return min(len(wild.tokens), len(mutant.tokens))
