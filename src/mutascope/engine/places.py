"""Where the tokens of a pass stand, and what they see."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Places:
    """Places of the tokens of a pass: the same in every layer, so computed once.

    Attributes:
        positions: of the tokens, [rows, steps]; one row where all rows are fed the same.
        stop: one above the last position.
        cos, sin: rotary embedding, [rows, steps, 1, width]; all are dense.
    """

    positions: Tensor
    stop: int
    cos: Tensor
    sin: Tensor
    _masks: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    @property
    def stride(self) -> int:
        """Between the positions of one row and those of the next."""
        return self.positions.shape[1] if len(self.positions) > 1 else 0

    def mask(self, window: int, queries: int) -> Tensor | None:
        """Return what is added to scores, [rows, 1, queries * steps, stop], or None for a token that sees all.

        Args:
            window: positions that a token looks back at, itself included.
            queries: of a key/value head.
        """
        if self.positions.numel() == 1:
            return None
        if (window, queries) not in self._masks:
            keys, own = torch.arange(self.stop, device=self.cos.device), self.positions[:, None, :, None]
            unseen = (keys > own) | (keys <= own - window)
            mask = torch.zeros(unseen.shape, dtype=self.cos.dtype, device=self.cos.device)
            self._masks[window, queries] = mask.masked_fill_(unseen, -torch.inf).repeat(1, 1, queries, 1)
        return self._masks[window, queries]
