"""What a prediction differentiates: the margins of the wild type's picks, and how final states move them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mutascope.numerics.sampling import Sampler
from mutascope.predict.boundary import Boundary, Contest

_EXTRA = 0.4
"""Directions for contests at the boundary of top k, as a share of the targets."""

_LEAST = 1e-6
"""Chance of a target that stands beyond the filters."""


@dataclass(frozen=True)
class Directions:
    """What is differentiated: linear functions of final states.

    Attributes:
        places: int64 [directions], position of the final state, ascending.
        seeds: float32 [directions, hidden], gradient with respect to what the output head reads.
    """

    places: Tensor
    seeds: Tensor

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Targets:
    """Margins of the wild type's picks, each against one threat; by step.

    Attributes:
        steps: int64 [targets], index of the generated token.
        places: int64 [targets], position of the final state that the token is picked from, ascending.
        margins: float32 [targets], the wild type's, in units of logit / temperature; a mutant that turns one negative
            picks another token.
        seeds: float32 [targets, hidden], gradient of the margin with respect to what the output head reads.
        weights: float32 [targets], chance of the wild type to pick what the target stands for: the targets of a step
            share that of all tokens but the picked one, by their own chances. None where tokens are not sampled.
        leaves: bool [targets], whether the threat is that the pick is filtered out, and cannot be picked any more.
        directions: what is differentiated for them.
        linear: int64 [targets], direction of every target.
        contests: of targets that take several directions.
    """

    steps: Tensor
    places: Tensor
    margins: Tensor
    seeds: Tensor
    weights: Tensor | None
    leaves: Tensor
    directions: Directions
    linear: Tensor
    contests: tuple[Contest, ...]

    def __len__(self) -> int:
        return len(self.steps)

    def changes(self, moved: Tensor) -> Tensor:
        """Return the changes of the margins, [mutations, site rows, targets, site cols].

        Args:
            moved: changes by direction, [mutations, site rows, directions, site cols].
        """
        changes = moved[:, :, self.linear]
        for contest in self.contests:
            changes[:, :, contest.target] = contest.margin(moved) - self.margins[contest.target]
        return changes


def make_targets(
    sampler: Sampler,
    logits: Tensor,
    steps: Tensor,
    places: Tensor,
    pull: Callable[[Tensor, Tensor], Tensor],
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
        pull: turns gradients at the logits [n, vocabulary] of some places [n] into ones at what the output head reads,
            [n, hidden].
        rivals: targets per token, on average, 1 or more.
    """
    logits = logits.detach().float().clone().requires_grad_()
    with torch.enable_grad():
        threats = sampler.threats(logits, steps)
        margins, order = threats.sort(dim=-1)
        looked = min(math.ceil(4 * rivals), margins.shape[-1])
        seeds = []
        for rank in range(looked):
            known = margins[:, rank]
            (direction,) = torch.autograd.grad(
                known.masked_fill(~known.isfinite(), 0).sum(), logits, retain_graph=True
            )
            seeds.append(pull(direction, places))
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
    threat, margins, seed = order[token, rank], margins[token, rank], seed[token, rank]
    extra, contests = _contests(
        sampler, logits.detach(), steps, token, threat, margins, distance[token, rank]
    )
    rows, tokens = extra.unbind(1)
    single = torch.zeros(len(extra), logits.shape[-1], device=logits.device)
    single[torch.arange(len(extra)), tokens] = 1 / sampler.temperature
    at = torch.cat([places[token], places[rows]])
    seeds = torch.cat([seed, pull(single, places[rows]).float()]) if len(extra) else seed
    order = at.argsort(stable=True)
    now = order.argsort()  # where every direction is
    own, extra_at = now.split([len(token), len(extra)])
    return Targets(
        *(steps[token], places[token], margins, seed),
        _weights(sampler, logits.detach(), threats.detach(), token, threat),
        threat == threats.shape[1] - 1,
        Directions(at[order], seeds[order]),
        own,
        tuple(replace(contest, at=extra_at.cpu()[contest.at]) for contest in contests),
    )


def _weights(
    sampler: Sampler, logits: Tensor, threats: Tensor, token: Tensor, threat: Tensor
) -> Tensor | None:
    """Return the weights of targets, given the row of each and its place among the threats, [targets].

    Top p and min p are left out: what they drop is improbable.
    """
    if sampler.noise is None:
        return None
    rivals = threats[:, :-1]
    best = (logits / sampler.temperature).topk(rivals.shape[1], dim=-1).values
    kept = min(sampler.top_k, best.shape[1])
    chances = F.pad(best[:, :kept].softmax(-1), (0, best.shape[1] - kept + 1))
    picked = chances.gather(1, rivals.argmax(-1, keepdim=True))[:, 0]
    own = chances[token, threat].clamp(min=_LEAST)
    whole = torch.zeros_like(picked).index_add_(0, token, own)
    return (1 - picked)[token] * own / whole[token]


def _contests(
    sampler: Sampler,
    logits: Tensor,
    steps: Tensor,
    token: Tensor,
    threat: Tensor,
    margins: Tensor,
    distance: Tensor,
) -> tuple[Tensor, list[Contest]]:
    """Return the contests of the targets that are nearest.

    Args:
        sampler, logits, steps: as of :func:`make_targets`.
        token, threat, margins, distance: row, place among the threats, margin and distance of every target, [targets].

    Returns:
        Row and token of every direction that they take, int64 [directions, 2], and the contests, with indices of these.
    """
    if not Boundary.exists(sampler):
        return torch.zeros(0, 2, dtype=torch.int64), []
    boundary = Boundary(sampler, logits, steps)
    token, threat, margins, distance = (each.cpu() for each in (token, threat, margins, distance))
    near = boundary.contested(token, threat, margins).nonzero()[:, 0]
    places: dict[tuple[int, int], int] = {}
    contests = []
    for target in near[distance[near].argsort()].tolist():
        row = int(token[target])
        ranks, lead = boundary.ranks(row, int(threat[target]))
        if len(places.keys() | {(row, at) for at in ranks}) > _EXTRA * len(token):
            break
        at = torch.tensor([places.setdefault((row, at), len(places)) for at in ranks])
        contests.append(Contest(target, at, boundary.scores[row, ranks].to(logits.device), lead))
    rows = torch.tensor(list(places), dtype=torch.int64).view(-1, 2)
    return torch.stack([rows[:, 0], boundary.tokens[rows[:, 0], rows[:, 1]]], dim=1), contests
