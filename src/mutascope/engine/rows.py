"""A mutant on its way through one prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from mutascope.core.genome import Mutant
from mutascope.core.protocol import Output
from mutascope.engine.activation_cache import ActivationCache
from mutascope.engine.edits import Edit


@dataclass(frozen=True)
class Asked:
    """A prompt as the session asks it.

    Attributes:
        index: among the prompts of the session.
        tokens: of the prompt.
        steps: tokens that are generated at most.
        ends: tokens that end a text.
    """

    index: int
    tokens: tuple[int, ...]
    steps: int
    ends: frozenset[int]

    @property
    def start(self) -> int:
        """Position of the first generated token."""
        return len(self.tokens)


@dataclass(eq=False, slots=True)
class Row:
    """A mutant on its way through one prompt.

    Attributes:
        mutant: which; None for the wild type.
        layer: the lowest that is its own; below, it sees what the unmodified network sees.
        edit: what it computes otherwise; None for the wild type.
        asked: its prompt.
        text: what it was last verified against, and shares its tokens with, up to the last.
        tokens: what it has picked so far.
        finite: whether all of its logits were.
        values: what was measured.
        seen: keys and values of what it was fed, from its own layer upwards, while it waits,
            [layers, 2, n_kv_heads, positions, head_dim].
    """

    mutant: Mutant | None
    layer: int
    edit: Edit | None
    asked: Asked
    text: ActivationCache
    tokens: list[int] = field(default_factory=list)
    finite: bool = True
    values: Mapping[str, float | None] = field(default_factory=dict)
    seen: Tensor | None = None

    @property
    def position(self) -> int:
        """Where its latest token stands."""
        return self.asked.start + len(self.tokens) - 1

    @property
    def ended(self) -> bool:
        """Whether its text is complete."""
        if not self.finite or len(self.tokens) >= self.asked.steps:
            return True
        return bool(self.tokens) and self.tokens[-1] in self.asked.ends

    @property
    def share(self) -> float:
        """How much of the work on it is done, between 0 and 1."""
        return len(self.tokens) / self.asked.steps

    def take(self, token: int) -> None:
        """Append the token that it picks; -1 is of logits that are not finite."""
        if token < 0:
            self.finite = False
        else:
            self.tokens.append(token)

    def take_seen(self) -> Tensor:
        """Return :attr:`seen` and forget it."""
        seen, self.seen = self.seen, None
        assert seen is not None, "only rows that wait have seen"
        return seen

    def output(self) -> Output:
        """Return what it put out."""
        return Output(tuple(self.tokens), finite=self.finite, values=self.values)
