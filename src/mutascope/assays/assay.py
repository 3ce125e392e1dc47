"""What all assays have in common: what the user states, and what that becomes on a model."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from transformers import GenerationConfig

from mutascope.core.errors import MutascopeError
from mutascope.core.manifest import Manifest, PromptInfo
from mutascope.core.protocol import Output, Probe, Prompt, Readout
from mutascope.core.words import is_unicode
from mutascope.model import generation
from mutascope.model.loading import Model
from mutascope.model.loading_errors import short

AssayT = TypeVar("AssayT", bound="Assay", covariant=True)
ReadoutT = TypeVar("ReadoutT", bound=Readout, covariant=True)
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64)]
_NOT_SAMPLING = {"_from_model_config", "transformers_version", "output_attentions", "output_hidden_states"}


class Assay(BaseModel):
    """What all assays state: how tokens are picked; fields left out are resolved as ``generate`` would.

    Attributes:
        type: of the assay, as a manifest has it.
        stated_by: fields that no other type has: a mapping with one of them states an assay of this type.
        predictable: whether mutants can be predicted.
        name: what the assay is called in results.
        seed: given to ``torch.manual_seed`` before every prompt.
        greedy: take the most probable token instead of sampling.
        temperature, top_k, top_p, min_p: as in ``generate``. The temperature is at least 1e-6: logits divided by less
            may overflow.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    type: ClassVar[str]
    stated_by: ClassVar[tuple[str, ...]]
    predictable: ClassVar[bool] = True
    name: str
    seed: Seed = 0
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

    @property
    def further(self) -> tuple[int, ...]:
        """Seeds beside :attr:`seed` whose texts mutants are measured along."""
        return ()

    def sampling(self) -> dict[str, Any]:
        """Return the keyword arguments of ``generate`` that these fields state."""
        names = ("temperature", "top_k", "top_p", "min_p")
        stated = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**stated, "do_sample": not self.greedy}

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``generate`` that the assay states."""

    @abstractmethod
    def resolve(
        self,
        model: Model,
        probe: Probe | None = None,
        *,
        measure: bool = False,
        asked: Sequence[PromptInfo] | None = None,
    ) -> Resolved:
        """Return the assay as a model meets it: its prompts, and every sampling field.

        Args:
            model: that is asked.
            probe: asks the wild type, for assays that choose their prompts by what it says.
            measure: also measure every mutant along the wild type's continuation (:mod:`mutascope.engine.measures`).
            asked: prompts of a folder that is continued, for assays that choose them.

        Raises:
            MutascopeError: when this model cannot be asked so.
        """

    @abstractmethod
    def reopen(self, model: Model, manifest: Manifest) -> Resolved:
        """Return the assay of a stored screen: what it asked comes from its manifest, not from a source."""


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
        return decode(model, [*self.prompts[prompt].tokens, *output.tokens]) if output.finite else None

    def continuation(self, model: Model, output: Output) -> str | None:
        """Return the decoded generated tokens without special tokens; None for a non-finite output."""
        return decode(model, [*output.tokens], skip_special_tokens=True) if output.finite else None

    def whole(self, texts: Sequence[str | None], hashes: Sequence[str]) -> tuple[str | None, str | None]:
        """Return text and continuation of the phenotype of a mutant with several prompts."""
        return "\n".join(hashes), None

    def measures(self, outputs: Sequence[Output], texts: Sequence[str | None]) -> dict[str, Any]:
        """Return the numbers that a record has of its own."""
        return {}


def stored_prompts(manifest: Manifest) -> tuple[Prompt, ...]:
    """Return the prompts that a stored screen asked."""
    return tuple(Prompt(prompt.text, tuple(prompt.tokens)) for prompt in manifest.prompts)


def decode(model: Model, tokens: list[int], **options: bool) -> str:
    """Return the text of tokens; those that the tokenizer does not know are shown as ``<token 50300>``."""
    if model.known_tokens.issuperset(tokens):
        return str(model.tokenizer.decode(tokens, **options))
    parts = []
    for known, run in groupby(tokens, model.known_tokens.__contains__):
        ids = list(run)
        parts.append(
            str(model.tokenizer.decode(ids, **options))
            if known
            else "".join(f"<token {token}>" for token in ids)
        )
    return "".join(parts)


def tokenise(model: Model, text: str, *, special_tokens: bool = True) -> tuple[int, ...]:
    """Return the tokens of a text, with the tokenizer's own special tokens or without.

    Raises:
        MutascopeError: when the tokenizer does not take the text, or the model has no embedding for a token.
    """
    if not is_unicode(text):
        raise MutascopeError(f"{text[:60]!r} holds half of a surrogate pair, which is no text")
    try:
        found = model.tokenizer(text, add_special_tokens=special_tokens)["input_ids"]
    except Exception as error:  # its library in Rust raises the base class
        raise MutascopeError(
            f"the tokenizer of {model.name} does not take {text[:60]!r}: {short(error, 'the tokenizer')}"
        ) from error
    tokens: tuple[int, ...] = tuple(found)
    last = max(tokens, default=0)
    if last >= model.embeddings:
        word = model.tokenizer.convert_ids_to_tokens(last)
        raise MutascopeError(
            f"the tokenizer of {model.name} makes {word!r} token {last}, and the model has embeddings for"
            f" {model.embeddings} tokens: leave {word!r} out of the prompt, or take the model's own tokenizer"
        )
    return tokens


def resolve_generation(model: Model, arguments: dict[str, Any], prompt_length: int) -> dict[str, Any]:
    """Return every generation field in force for ``generate(prompt, **arguments)``, as plain JSON values.

    ``max_new_tokens`` of a generation config outranks max_length, as in ``generate``.

    Raises:
        MutascopeError: for what cannot be run (:mod:`mutascope.model.generation`).
    """
    config, _ = model.network._prepare_generation_config(None, **arguments)  # pyright: ignore[reportCallIssue]
    known = generation.FIELDS.keys() | set(vars(GenerationConfig()))
    fields = {
        key: value
        for key, value in config.to_dict().items()
        if value is not None and key in known - _NOT_SAMPLING
    }
    generation.check(fields, model.name, model.embeddings)
    limit = fields.get("max_new_tokens")
    fields["max_new_tokens"] = limit if limit is not None else fields["max_length"] - prompt_length
    fields["max_length"] = prompt_length + fields["max_new_tokens"]
    return dict(sorted(fields.items()))


def check_positions(model: Model, assay: str, length: int) -> None:
    """Raise MutascopeError when a model with learned positions (GPT-2, OPT) has none for a token of a text.

    Rotary positions go on beyond the context that a model was trained with.
    """
    context = model.context
    if context is not None and length > context and _learns_positions(model):
        raise MutascopeError(
            f"assay {assay!r} generates up to {length} tokens, prompt included, and {model.name} has positions for"
            f" {context}: give it a smaller length"
        )


def _learns_positions(model: Model) -> bool:
    """Whether the model has a matrix of positions, as wpe in GPT-2 and embed_positions in OPT."""
    owners = [name.split(".")[-2] for name, _ in model.network.named_parameters() if "." in name]
    return any(owner == "wpe" or "position" in owner for owner in owners)
