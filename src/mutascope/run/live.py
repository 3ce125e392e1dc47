"""What mutants say to any prompt, token by token, beside the wild type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mutascope.assays import TextAssay
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant, Tiling
from mutascope.core.operators import check_mutations
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import Model

if TYPE_CHECKING:
    from mutascope.numerics.sampling import Sampler

MOST_TOKENS = 400
MOST_COLUMNS = 4


@dataclass(frozen=True)
class Said:
    """A piece of a text.

    Attributes:
        column: which of the texts goes on.
        text: what comes; empty as long as a letter is not whole.
        end: why nothing follows: ``end`` (the model ended), ``length`` or ``non-finite``; None where something does.
    """

    column: int
    text: str
    end: str | None = None


@dataclass
class _Column:
    mutants: tuple[Mutant, ...]
    cache: DynamicCache
    tokens: list[int] = field(default_factory=list)
    told: str = ""


class Live:
    """A model that is asked one prompt after the other.

    Args:
        model: whose mutants are asked.
        tile: side of a tile.
    """

    def __init__(self, model: Model, tile: int) -> None:
        self.model, self.tiling = model, Tiling(tile)
        self.engine = ReferenceEngine(model, self.tiling)

    def say(
        self,
        prompt: str,
        columns: Sequence[Sequence[Mutant]],
        *,
        dose: float = 1.0,
        seed: int = 0,
        temperature: float = 0.7,
        max_new_tokens: int = 100,
    ) -> Iterator[Said]:
        """Yield what the columns say, a token of each at a time; at dose 1 each says what ``generate`` puts out.

        Args:
            prompt: raw text.
            columns: a sum of mutants each; none is the wild type.
            dose: how far the tiles are on the way to the mutation: 0 the wild type, 1 the mutation, linear between.
            seed: of the noise, the same for every column.
            temperature: 0: always the likeliest token.
            max_new_tokens: length, at most ``MOST_TOKENS``.

        Raises:
            MutascopeError: for a mutant that the model has not, too many columns, or a value out of range.
        """
        self._check(columns, dose, temperature, max_new_tokens)
        sampling: dict[str, Any] = {"temperature": temperature} if temperature else {"greedy": True}
        assay = TextAssay(name="live", prompt=prompt, seed=seed, max_new_tokens=max_new_tokens, **sampling)
        resolved = assay.resolve(self.model)
        (asked,) = resolved.prompts
        sampler = self.engine.sampler(asked, resolved.readout)
        if sampler is None:
            raise MutascopeError(f"the sampling that {self.model.name} asks for is not known here")
        config = self.model.network.config
        begun = [_Column(tuple(each), DynamicCache(config=config)) for each in columns]
        return self._stream(list(asked.tokens), begun, dose, sampler)

    def _stream(
        self, prompt: list[int], columns: list[_Column], dose: float, sampler: Sampler
    ) -> Iterator[Said]:
        going = dict(enumerate(columns))
        for step in range(sampler.steps):
            for place, column in list(going.items()):
                logits = self._logits(column, column.tokens[-1:] or prompt, dose)
                token = int(sampler.sample(logits.float().cpu(), torch.tensor([step])))
                end = self._end(token, step, sampler)
                column.tokens.append(max(token, 0))
                yield Said(place, self._new_text(column, end), end)
                if end:
                    del going[place]

    @staticmethod
    def _end(token: int, step: int, sampler: Sampler) -> str | None:
        if token < 0:
            return "non-finite"
        if token in sampler.ends:
            return "end"
        return "length" if step + 1 == sampler.steps else None

    def _logits(self, column: _Column, tokens: list[int], dose: float) -> Tensor:
        """Logits of the next token, [1, vocabulary], with the mutations written for one pass."""
        network = self.model.network
        ids = torch.tensor([tokens], device=network.device)
        with self._mutated(column.mutants, dose), torch.inference_mode(), self.engine.operations():
            out = network(ids, past_key_values=column.cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1]

    @contextmanager
    def _mutated(self, mutants: Sequence[Mutant], dose: float) -> Iterator[None]:
        mutagen = self.engine.mutagen
        for mutant in mutants:
            mutagen.replacement(
                mutant
            )  # the extremes are those of the wild type, before the first tile is written
        with ExitStack() as stack:
            for mutant in mutants:
                stack.enter_context(mutagen.mutated(mutant, dose))
            yield

    def _new_text(self, column: _Column, end: str | None) -> str:
        """What the last token adds; nothing as long as the text ends in a part of a letter."""
        tokens = column.tokens[:-1] if end in ("end", "non-finite") else column.tokens
        text = str(self.model.tokenizer.decode(tokens, skip_special_tokens=True))
        if text.endswith("\ufffd") and end is None:
            return ""
        new, column.told = text[len(column.told) :], text
        return new

    def _check(
        self, columns: Sequence[Sequence[Mutant]], dose: float, temperature: float, length: int
    ) -> None:
        if not 1 <= len(columns) <= MOST_COLUMNS:
            raise MutascopeError(f"{len(columns)} texts are asked for: 1 to {MOST_COLUMNS} go side by side")
        if not (0 <= dose <= 1 and 0 <= temperature <= 10 and 1 <= length <= MOST_TOKENS):
            raise MutascopeError(
                f"a dose is 0 to 1, a temperature 0 to 10, and a length 1 to {MOST_TOKENS} tokens; these are"
                f" {dose}, {temperature} and {length}"
            )
        for mutant in (mutant for column in columns for mutant in column):
            locus = self.engine.mutagen.loci.get(mutant.locus_name)
            rows, cols = self.tiling.grid(locus) if locus else (0, 0)
            if not (mutant.row < rows and mutant.col < cols):
                raise MutascopeError(f"{self.model.name} has no {mutant} at tile {self.tiling.tile}")
        check_mutations(mutant.mutation for column in columns for mutant in column)
