"""Text assays: one prompt, a generated continuation, the decoded text as phenotype (METHOD, Text assays)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import AssayType
from mutascope.core.protocol import Generation, Output, Prompt, Readout
from mutascope.model.loading import Model

AssayT = TypeVar("AssayT", bound="Sampled", covariant=True)
ReadoutT = TypeVar("ReadoutT", bound=Readout, covariant=True)
_NOT_SAMPLING = {"_from_model_config", "transformers_version", "output_attentions", "output_hidden_states"}


class Message(BaseModel):
    """One chat message."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: str
    content: str


class Sampled(BaseModel):
    """What all assays state about how tokens are picked; fields left out are resolved as ``generate`` would.

    Attributes:
        name: what the assay is called in results.
        seed: given to ``torch.manual_seed`` before every prompt.
        greedy: take the most probable token instead of sampling.
        temperature, top_k, top_p, min_p: as in ``generate``. The temperature is at least 1e-6: logits divided by less
            may overflow.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    type: ClassVar[AssayType]
    name: str
    seed: int = Field(default=0, ge=-(2**63), lt=2**64)
    greedy: bool = False
    temperature: float | None = Field(default=None, ge=1e-6)
    top_k: int | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    min_p: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _greedy_alone(self) -> Self:
        if self.greedy and {self.temperature, self.top_k, self.top_p, self.min_p} != {None}:
            raise ValueError("greedy takes no temperature, top_k, top_p or min_p")
        return self

    def sampling(self) -> dict[str, Any]:
        """Return the keyword arguments of ``generate`` that these fields state."""
        names = ("temperature", "top_k", "top_p", "min_p")
        stated = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**stated, "do_sample": not self.greedy}


class TextAssay(Sampled):
    """A text assay as the user states it.

    Attributes:
        prompt: raw text, tokenised with the tokenizer's own special tokens and no chat template.
        messages: chat messages instead of a prompt, rendered with the tokenizer's chat template.
        max_length: tokens, prompt included. max_new_tokens: tokens, prompt excluded. At most one of them.
    """

    type: ClassVar[AssayType] = "text"
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    max_length: int | None = Field(default=None, ge=1)
    max_new_tokens: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        if (self.max_length is None) == (self.max_new_tokens is None):
            raise ValueError("give either max_length or max_new_tokens")
        return self

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``generate`` that the assay states."""
        lengths = {"max_length": self.max_length, "max_new_tokens": self.max_new_tokens}
        return {**{name: value for name, value in lengths.items() if value is not None}, **self.sampling()}

    def resolve(self, model: Model, *, measure: bool = False) -> ResolvedAssay:
        """Tokenise the prompt and resolve every sampling field against the model's generation config.

        ``measure``: also measure every mutant along the wild type's continuation (:mod:`mutascope.engine.measures`).

        Raises:
            MutascopeError: when the prompt leaves no room for a token, the model has no position for the last one, or
                the tokenizer has no chat template.
        """
        text = self.prompt if self.prompt is not None else self._render_chat(model)
        encoded = model.tokenizer(text, add_special_tokens=self.messages is None)
        prompt = Prompt(text, tuple(encoded["input_ids"]))
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
        return ResolvedAssay(self, (prompt,), Generation(self.seed, self.arguments(), resolved, measure))

    def _render_chat(self, model: Model) -> str:
        if not model.tokenizer.chat_template:
            raise MutascopeError(
                f"{model.name} has no chat template: give assay {self.name!r} a prompt, not messages"
            )
        messages = [message.model_dump() for message in self.messages or ()]
        return str(model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


@dataclass(frozen=True)
class Resolved(Generic[AssayT, ReadoutT]):
    """An assay that knows its model: what engines run and how their outputs become phenotypes."""

    assay: AssayT
    prompts: tuple[Prompt, ...]
    readout: ReadoutT

    @property
    def keeps_outputs(self) -> bool:
        """Whether the store gets a row per (mutant, prompt)."""
        return len(self.prompts) > 1

    @property
    def record_schema(self) -> dict[str, Any]:
        """Types of the columns that :meth:`measures` adds to the records, where they are not Float32."""
        return {}

    def described(self) -> dict[str, Any]:
        """Return what a manifest says of the assay, as plain JSON values."""
        return {
            "assay": {**self.assay.model_dump(mode="json", exclude_none=True), "type": self.assay.type},
            "generation": dict(self.readout.resolved),
            "prompts": self.described_prompts(),
        }

    def described_prompts(self) -> list[dict[str, Any]]:
        """Return the prompts as plain JSON values."""
        return [{"text": prompt.text, "tokens": list(prompt.tokens)} for prompt in self.prompts]

    def text(self, model: Model, output: Output, prompt: int = 0) -> str | None:
        """Return the decoded text, prompt and special tokens included; None for a non-finite output."""
        return _decode(model, [*self.prompts[prompt].tokens, *output.tokens]) if output.finite else None

    def continuation(self, model: Model, output: Output) -> str | None:
        """Return the decoded generated tokens without special tokens; None for a non-finite output."""
        return _decode(model, [*output.tokens], skip_special_tokens=True) if output.finite else None

    def whole(self, texts: Sequence[str | None], hashes: Sequence[str]) -> tuple[str | None, str | None]:
        """Return text and continuation of the phenotype of a mutant with several prompts."""
        return "\n".join(hashes), None

    def measures(self, outputs: Sequence[Output], texts: Sequence[str | None]) -> dict[str, Any]:
        """Return the numbers that a record has of its own."""
        return {}


@dataclass(frozen=True)
class ResolvedAssay(Resolved[TextAssay, Generation]):
    """A text assay that knows its model."""

    def measures(self, outputs: Sequence[Output], texts: Sequence[str | None]) -> dict[str, Any]:
        """Return the measures along the wild type's continuation, of a single prompt."""
        return dict(outputs[0].values) if len(outputs) == 1 else {}


def _decode(model: Model, tokens: list[int], **options: bool) -> str:
    return str(model.tokenizer.decode(tokens, **options))


def resolve_generation(model: Model, arguments: dict[str, Any], prompt_length: int) -> dict[str, Any]:
    """Return every generation field in force for ``generate(prompt, **arguments)``, as plain JSON values.

    ``max_new_tokens`` of a generation config outranks max_length, as in ``generate``.
    """
    config, _ = model.network._prepare_generation_config(None, **arguments)  # pyright: ignore[reportCallIssue]
    fields = {
        key: value
        for key, value in config.to_dict().items()
        if value is not None and key not in _NOT_SAMPLING
    }
    limit = fields.get("max_new_tokens")
    fields["max_new_tokens"] = limit if limit is not None else fields["max_length"] - prompt_length
    fields["max_length"] = prompt_length + fields["max_new_tokens"]
    return dict(sorted(fields.items()))


def check_positions(model: Model, assay: str, length: int) -> None:
    """Raise MutascopeError when a model with learned positions (GPT-2, OPT) has none for a token of a text.

    Rotary positions go on beyond the context that a model was trained with.
    """
    context = getattr(model.network.config, "max_position_embeddings", None)
    if context is not None and length > context and _learns_positions(model):
        raise MutascopeError(
            f"assay {assay!r} generates up to {length} tokens, prompt included, and {model.name} has positions for"
            f" {context}: give it a smaller length"
        )


def _learns_positions(model: Model) -> bool:
    """Whether the model has a matrix of positions, as wpe in GPT-2 and embed_positions in OPT."""
    owners = [name.split(".")[-2] for name, _ in model.network.named_parameters() if "." in name]
    return any(owner == "wpe" or "position" in owner for owner in owners)


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
