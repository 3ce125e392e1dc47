"""The kinds of loci, in one table.

A kind is a word, ``down``; what follows a dot says which of several matrices it is, as in ``down.e17`` of an expert.
Other architectures have kinds of their own, which are not in the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """What a kind of locus is.

    Attributes:
        stream: whether its inputs are read from the residual stream, or its outputs are added to it.
        code: the module's name in a layer of Llama, and in the authors' files.
        transposed: whether maps are drawn with rows horizontal, so that the intermediate dimension is horizontal as it
            is in ``down``.
    """

    stream: Literal["reads", "writes"]
    code: str
    transposed: bool = False

    @property
    def residual_axis(self) -> Literal["row", "col"]:
        """The axis that runs along the residual stream."""
        return "col" if self.stream == "reads" else "row"


KINDS = {
    "q": Kind("reads", "self_attn.q_proj"),
    "k": Kind("reads", "self_attn.k_proj"),
    "v": Kind("reads", "self_attn.v_proj"),
    "o": Kind("writes", "self_attn.o_proj"),
    "gate": Kind("reads", "mlp.gate_proj", transposed=True),
    "up": Kind("reads", "mlp.up_proj", transposed=True),
    "down": Kind("writes", "mlp.down_proj"),
}
"""By name, in canonical order."""
RANKS = {name: rank for rank, name in enumerate(KINDS)}
"""Place of a kind within a layer."""
RESIDUAL_AXIS = {name: kind.residual_axis for name, kind in KINDS.items()}
"""The axis of each kind that runs along the residual stream."""


def kind_rank(name: str) -> int:
    """Return the sorting rank of a kind; those that are not in the table come last.

    >>> kind_rank("down.e17") == RANKS["down"]
    True
    """
    return RANKS.get(name.partition(".")[0], len(RANKS))
