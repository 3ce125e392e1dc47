"""Text assays: one prompt, a generated continuation, the decoded text as phenotype (METHOD, Text assays)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, ClassVar, Self

import polars as pl
from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mutascope.assays.assay import (
    Assay,
    Resolved,
    Seed,
    check_positions,
    resolve_generation,
    stored_prompts,
    tokenise,
)
from mutascope.core.design import parse_indices
from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest, PromptInfo
from mutascope.core.protocol import Generation, Output, Probe, Prompt
from mutascope.model.generation import unsupported_fields
from mutascope.model.loading import Model
from mutascope.model.loading_errors import short

_OF_TEMPLATES = (
    *(
        TypeError,
        ValueError,
        ArithmeticError,
        LookupError,
        AttributeError,
        RecursionError,
        MemoryError,
        OSError,
    ),
)
"""What a template raises beside the errors of its own language."""


class Message(BaseModel):
    """One chat message."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: str
    content: str


class TextAssay(Assay):
    """A text assay as the user states it.

    Attributes:
        prompt: raw text, tokenised with the tokenizer's own special tokens and no chat template.
        messages: chat messages instead of a prompt, rendered with the tokenizer's chat template.
        max_length: tokens, prompt included. max_new_tokens: tokens, prompt excluded. At most one of them.
        seeds: several, such as ``0-7``: the first is the seed of the assay; mutants are measured along the wild type's
            texts of all.
    """

    type: ClassVar[str] = "text"
    stated_by: ClassVar[tuple[str, ...]] = ("prompt", "messages")
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    max_length: int | None = Field(default=None, ge=1)
    max_new_tokens: int | None = Field(default=None, ge=1)
    seeds: tuple[Seed, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _first_of_seeds(cls, stated: Any) -> Any:
        if not isinstance(stated, dict) or stated.get("seeds") is None:
            return stated
        seeds = stated["seeds"]
        seeds = parse_indices(seeds) if isinstance(seeds, str) else seeds
        first = seeds[0] if isinstance(seeds, list | tuple) and seeds else stated.get("seed", 0)
        return {**stated, "seeds": seeds, "seed": first}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        if (self.max_length is None) == (self.max_new_tokens is None):
            raise ValueError("give either max_length or max_new_tokens")
        if self.seeds is not None and len(self.seeds) < 2:
            raise ValueError("seeds are two or more, such as 0-7; one is the seed")
        if self.seeds and self.greedy:
            raise ValueError("greedy takes no seeds: every seed has the same text")
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must differ")
        return self

    @property
    def further(self) -> tuple[int, ...]:
        """Seeds beside :attr:`seed` whose texts mutants are measured along."""
        return (self.seeds or ())[1:]

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``generate`` that the assay states."""
        lengths = {"max_length": self.max_length, "max_new_tokens": self.max_new_tokens}
        return {**{name: value for name, value in lengths.items() if value is not None}, **self.sampling()}

    def resolve(
        self,
        model: Model,
        probe: Probe | None = None,
        *,
        measure: bool = False,
        asked: Sequence[PromptInfo] | None = None,
    ) -> ResolvedAssay:
        """Tokenise the prompt and resolve every sampling field against the model's generation config.

        A chat template is rendered once, as it may say the day: a folder that is continued has its text.

        Raises:
            MutascopeError: when the prompt leaves no room for a token, the model has no embedding of a token or no
                position for the last one, or the tokenizer has no chat template that takes the messages.
        """
        if self.prompt is not None:
            text = self.prompt
        else:
            text = asked[0].text if asked else self._render_chat(model)
        prompt = Prompt(text, tokenise(model, text, special_tokens=self.messages is None))
        if not prompt.tokens:
            raise MutascopeError(
                f"assay {self.name!r} has an empty prompt: the tokenizer makes no token of it"
            )
        resolved = resolve_generation(model, self.arguments(), len(prompt.tokens))
        if resolved["max_new_tokens"] < 1:
            raise MutascopeError(
                f"the prompt of assay {self.name!r} has {len(prompt.tokens)} tokens, which leaves no room to generate"
                f" within max_length {self.max_length}"
            )
        check_positions(model, self.name, resolved["max_length"])
        fields = unsupported_fields(resolved) if self.further else []
        if fields:
            raise MutascopeError(
                f"assay {self.name!r} has several seeds, and the chance of silence is not known with"
                f" {', '.join(fields)}: give it one seed"
            )
        return ResolvedAssay(
            self, (prompt,), Generation(self.seed, self.arguments(), resolved, measure, self.further)
        )

    def reopen(self, model: Model, manifest: Manifest) -> ResolvedAssay:
        """Return the assay of a stored screen, with the prompt that it asked."""
        readout = Generation(self.seed, self.arguments(), manifest.generation, manifest.measure, self.further)
        return ResolvedAssay(self, stored_prompts(manifest), readout)

    def _render_chat(self, model: Model) -> str:
        """Return the prompt that the tokenizer's chat template makes of the messages.

        Raises:
            MutascopeError: when there is no template, it does not take the messages, or it leaves one of them out.
        """
        if not model.tokenizer.chat_template:
            raise MutascopeError(
                f"{model.name} has no chat template: give assay {self.name!r} a prompt, not messages"
            )
        messages = [message.model_dump() for message in self.messages or ()]
        text = self._rendered(model, messages)
        for place, message in enumerate(messages):
            other = {**message, "content": message["content"] + "x"}
            if self._rendered(model, [*messages[:place], other, *messages[place + 1 :]]) == text:
                raise MutascopeError(
                    f"the chat template of {model.name} leaves out what message {place + 1} of assay {self.name!r} says"
                    f" ({message['role']}): give the assay a prompt, not messages"
                )
        return text

    def _rendered(self, model: Model, messages: list[dict[str, str]]) -> str:
        try:
            text = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except (TemplateError, *_OF_TEMPLATES) as error:
            raise MutascopeError(
                f"the chat template of {model.name} does not take the messages of assay {self.name!r}"
                f" ({', '.join(message['role'] for message in messages)}): {short(error, 'the template')}"
            ) from error
        return str(text)


@dataclass(frozen=True)
class ResolvedAssay(Resolved[TextAssay, Generation]):
    """A text assay that knows its model."""

    @property
    def record_schema(self) -> dict[str, Any]:
        """Columns of :meth:`measures` that are no Float32."""
        return {f"first_divergence_{seed}": pl.Int32 for seed in self.assay.further}

    def measures(self, outputs: Sequence[Output], texts: Sequence[str | None]) -> dict[str, Any]:
        """Return the measures along the only text of the wild type; of several seeds with their mean."""
        values = dict(outputs[0].values) if len(outputs) == 1 else {}
        if not (values and self.assay.further):
            return values
        chances = (values[name] for name in ("silence", *(f"silence_{seed}" for seed in self.assay.further)))
        return values | {"mean_silence": fmean(chance for chance in chances if chance is not None)}


def _paper(name: str, prompt: str, seed: int, max_length: int) -> TextAssay:
    return TextAssay(name=name, prompt=prompt, seed=seed, max_length=max_length, temperature=0.7)


_PYTHON = "The following is a python program for bubble sort:"
_JAVA = "The following is a Java program for bubble sort:"
_NEWTON = "The scientific accomplishments and influences of Isaac Newton:"
_P53 = "Tell me 10 different signal pathways through which p53 is involved in cancer development:"
TEXT_PRESETS = {
    assay.name: assay
    for assay in (
        _paper("python0", _PYTHON, 0, 150),
        _paper("python10", _PYTHON, 10, 150),
        _paper("java", _JAVA, 0, 150),
        _paper("drosophila", "The life cycle of Drosophila:", 0, 150),
        _paper("newton", _NEWTON, 0, 300),
        _paper("p53", _P53, 0, 300),
    )
}
"""The text assays of the paper (METHOD, Text assays)."""
