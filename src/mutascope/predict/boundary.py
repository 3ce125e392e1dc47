"""Margins at the boundary of top k, where the token that is the k-th changes with the mutant.

A token beyond the top k that has a large noise is picked as soon as it is among them. Its margin is its distance to
the k-th token. But the tokens there lie close together: a mutant moves all of them, and another one becomes the k-th.
So the tokens near the boundary are differentiated one by one, and the k-th is looked for among the moved ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mutascope.numerics.sampling import BEYOND, Sampler

NEAR = 4
"""Tokens on either side of the k-th that may take its place (docs/log/2026-11-predictions.md)."""


@dataclass(frozen=True)
class Contest:
    """The margin of a target at the boundary of top k.

    Attributes:
        target: its index among the targets.
        at: indices of directions: the target's token, the pick, the other tokens near the boundary, int64 [2 + near].
        scores: logit / temperature of these in the wild type, float32 [2 + near].
        lead: noise of the pick less that of the target's token, which is the pick where the threat is that it leaves.
    """

    target: int
    at: Tensor
    scores: Tensor
    lead: float

    def margin(self, moved: Tensor) -> Tensor:
        """Return the margin of mutants, [mutations, site rows, site cols].

        Args:
            moved: changes by direction, [mutations, site rows, directions, site cols].
        """
        scores = moved[:, :, self.at] + self.scores[:, None]
        own, pick = scores[:, :, 0], scores[:, :, 1]
        last = scores[:, :, 2:].topk(NEAR + 1, dim=2).values[:, :, -1]
        leaves = self.at[0] == self.at[1]
        margin = own - last if leaves else torch.maximum(pick - own + self.lead, last - own)
        return margin.nan_to_num(nan=-torch.inf)


class Boundary:
    """The tokens around the k-th one at every step of the wild type's text.

    Attributes:
        tokens: the most probable, descending, int64 [steps, candidates], on the CPU.
        scores: logit / temperature of these, float32 [steps, candidates], on the CPU.

    Args:
        sampler: of the assay, whose only filter is top k (:meth:`exists`).
        logits: of the wild type, [steps, vocabulary].
        steps: index of the generated token of every row, int64 [steps].
    """

    def __init__(self, sampler: Sampler, logits: Tensor, steps: Tensor) -> None:
        assert sampler.noise is not None
        self._last = sampler.top_k - 1
        scores, tokens = (logits / sampler.temperature).topk(sampler.top_k + BEYOND, dim=-1)
        noise = sampler.noise[steps[:, None], tokens]
        self.scores, self.tokens, self._noise = scores.cpu(), tokens.cpu(), noise.cpu()
        self._pick = (self.scores + self._noise)[:, : sampler.top_k].argmax(-1)

    @staticmethod
    def exists(sampler: Sampler) -> bool:
        """Return whether top k is the only filter, with enough tokens on both sides."""
        enough = NEAR < sampler.top_k <= sampler.vocabulary - BEYOND
        return sampler.noise is not None and enough and sampler.top_p == 1 and sampler.min_p == 0

    def contested(self, token: Tensor, threat: Tensor, margins: Tensor) -> Tensor:
        """Return which threats to the picks are at the boundary and near it, bool [threats].

        Args:
            token: row of every threat, int64 [threats].
            threat: its place in :meth:`~mutascope.numerics.sampling.Sampler.threats`, int64 [threats].
            margins: its margin, float32 [threats].
        """
        place, leaves = self._place(token, threat), threat == self.scores.shape[1]
        enters = (threat > self._last) & ~leaves
        other = torch.where(enters, self._last, self._last + 1)
        distance = (self.scores[token, place] - self.scores[token, other]).abs()
        return (enters | (leaves & (place >= self._last - NEAR))) & (distance == margins)

    def ranks(self, token: int, threat: int) -> tuple[list[int], float]:
        """Return the places of a threat's token, of the pick and of others near the boundary, and the pick's lead."""
        place = int(self._place(torch.tensor(token), torch.tensor(threat)))
        pick = int(self._pick[token])
        near = [at for at in range(self._last - NEAR, self._last + NEAR + 2) if at != place]
        return [place, pick, *near], float(self._noise[token, pick] - self._noise[token, place])

    def _place(self, token: Tensor, threat: Tensor) -> Tensor:
        """Return the place of a threat's token among the candidates; the last threat is that the pick leaves."""
        return torch.where(threat < self.scores.shape[1], threat, self._pick[token])
