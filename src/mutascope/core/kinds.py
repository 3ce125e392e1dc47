"""The kinds of loci, in one table.

A kind is a word, ``down``; what follows a dot says which of several matrices it is, as in ``down.e17`` of an expert and
``down.shared`` of the experts that every token goes through. Other architectures have kinds of their own, which are not
in the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """What a kind of locus is.

    Attributes:
        stream: whether its inputs are read from the residual stream, its outputs are added to it, or neither.
        code: the module's name in a layer of Llama, and in the authors' files, where these have it.
        transposed: whether maps are drawn with rows horizontal, so that the intermediate dimension is horizontal as it
            is in ``down``.
    """

    stream: Literal["reads", "writes"] | None
    code: str | None = None
    transposed: bool = False

    @property
    def residual_axis(self) -> Literal["row", "col"] | None:
        """The axis that runs along the residual stream."""
        return None if self.stream is None else "col" if self.stream == "reads" else "row"


KINDS = {
    "q": Kind("reads", "self_attn.q_proj"),
    "k": Kind("reads", "self_attn.k_proj"),
    "v": Kind("reads", "self_attn.v_proj"),
    "o": Kind("writes", "self_attn.o_proj"),
    "gate": Kind("reads", "mlp.gate_proj", transposed=True),
    "up": Kind("reads", "mlp.up_proj", transposed=True),
    "down": Kind("writes", "mlp.down_proj"),
    "router": Kind("reads"),  # a row per expert
    "q_gate": Kind("reads"),  # of the outputs of attention, feature by feature
    "q_a": Kind("reads"),  # of latent attention: down to the latent space, and up from it
    "q_b": Kind(None),
    "kv_a": Kind("reads"),
    "kv_b": Kind(None),
}
"""By name, in canonical order."""
CODES = {name: kind.code for name, kind in KINDS.items() if kind.code is not None}
"""Name in a layer of Llama by kind."""
RESIDUAL_AXIS = {name: axis for name, kind in KINDS.items() if (axis := kind.residual_axis) is not None}
"""The axis of each kind that runs along the residual stream, where one does."""
_RANKS = {name: rank for rank, name in enumerate(KINDS)}
_NUMBERED = re.compile(r"(.*\.[a-z]+)(\d+)")


def base_kind(name: str) -> str:
    """Return a kind without what says which of several matrices it is.

    >>> base_kind("down.e17")
    'down'
    """
    return name.partition(".")[0]


def kind_rank(name: str) -> tuple[int, str, int]:
    """Return the sorting rank of a kind; those that are not in the table come last, experts in order of their number.

    >>> sorted(["x", "down.e10", "down.e9", "down", "q"], key=kind_rank)
    ['q', 'down', 'down.e9', 'down.e10', 'x']
    """
    stem, number = _stem(name)
    return _RANKS.get(base_kind(name), len(_RANKS)), stem, number


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """Return kinds in canonical order, those of experts together under a name of their own.

    >>> grouped(["up.e1", "q", "up.e0", "up.e2"])
    {'q': ['q'], 'up.e0-2': ['up.e0', 'up.e1', 'up.e2']}
    """
    stems: dict[str, list[str]] = {}
    for name in sorted(set(names), key=kind_rank):
        stems.setdefault(_stem(name)[0], []).append(name)
    return {
        members[0] if len(members) == 1 else f"{members[0]}-{_stem(members[-1])[1]}": members
        for members in stems.values()
    }


def _stem(name: str) -> tuple[str, int]:
    """Return a kind without the number of its expert, and the number."""
    match = _NUMBERED.fullmatch(name)
    return (match.group(1), int(match.group(2))) if match else (name, -1)
