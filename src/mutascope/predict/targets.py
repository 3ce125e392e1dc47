"""What a prediction differentiates: the margins of the wild type's picks, and how final states move them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mutascope.numerics.sampling import Sampler


@dataclass(frozen=True)
class Targets:
    """Margins of the wild type's picks, each against one threat; by step.

    Attributes:
        steps: int64 [targets], index of the generated token.
        places: int64 [targets], position of the final state that the token is picked from, ascending.
        margins: float32 [targets], the wild type's, in units of logit / temperature; a mutant that turns one negative
            picks another token.
        seeds: float32 [targets, hidden], gradient of the margin with respect to what the output head reads.
    """

    steps: Tensor
    places: Tensor
    margins: Tensor
    seeds: Tensor

    def __len__(self) -> int:
        return len(self.steps)


def make_targets(
    sampler: Sampler,
    logits: Tensor,
    steps: Tensor,
    places: Tensor,
    pull: Callable[[Tensor], Tensor],
    rivals: float,
) -> Targets:
    """Return the targets of generated texts.

    A threat counts by how easily it comes true, margin / |gradient|, which is its distance in the space of final
    states. Every token gets its nearest threat; of the others, the nearest of all tokens.

    Args:
        sampler: of the assay.
        logits: of the wild type, [tokens, vocabulary], that its tokens were picked from.
        steps: index of every token in its text, int64 [tokens].
        places: position of the final state that it is picked from, int64 [tokens], ascending.
        pull: turns a gradient at the logits [tokens, vocabulary] into one at what the output head reads,
            [tokens, hidden].
        rivals: targets per token, on average, 1 or more.
    """
    logits = logits.detach().float().clone().requires_grad_()
    with torch.enable_grad():
        threats = sampler.threats(logits, steps)
        margins, _ = threats.sort(dim=-1)
        looked = min(math.ceil(4 * rivals), margins.shape[-1])
        seeds = []
        for rank in range(looked):
            known = margins[:, rank]
            (direction,) = torch.autograd.grad(
                known.masked_fill(~known.isfinite(), 0).sum(), logits, retain_graph=True
            )
            seeds.append(pull(direction))
    seed = torch.stack(seeds, dim=1).float()  # [tokens, looked, hidden]
    margins = margins[:, :looked].detach()
    distance = margins / seed.norm(dim=-1).clamp(min=torch.finfo(torch.float32).tiny)
    near = distance.argsort(dim=-1)
    kept = torch.zeros_like(distance, dtype=torch.bool).scatter_(1, near[:, :1], True)
    budget = min(round(rivals * len(logits)), int(distance.isfinite().sum()))
    others = distance.masked_fill(kept, -torch.inf).flatten().argsort()
    kept.view(-1)[others[:budget]] = True
    kept &= distance.isfinite()
    token, rank = kept.nonzero(as_tuple=True)
    return Targets(steps[token], places[token], margins[token, rank], seed[token, rank])
