"""Silence as a probability: the chance, over the noise, that a mutant picks what the wild type has picked.

Both pick with the same noise. With p the probabilities of the wild type and q those of the mutant, after temperature
and filters, and x the token that the wild type has picked, the chance that the mutant picks x too is

    1 / sum_w max(p_w, q_w p_x / q_x)

and 0 where q_x = 0 (docs/reference/silence.md derives it). The noise of every step is drawn anew, so the chance of a
whole text is the product over its tokens. All sums are taken in a fixed order: a mutant has the same bits in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mutascope.numerics import cpu
from mutascope.numerics.sampling import Sampler


@dataclass(frozen=True)
class Kept:
    """What the filters leave of n rows of logits: a beginning of the tokens in order of logit, then of token.

    Attributes:
        temperature: that logits are divided by.
        tokens: candidates, [n, m].
        weights: of the candidates, exp(logit / temperature - largest), 0 for those that are dropped, float64 [n, m].
        largest: logit / temperature, [n, 1].
        least: the smallest logit that is left, [n, 1].
        last: the highest token that is left with it, [n, 1].
    """

    temperature: float
    tokens: Tensor
    weights: Tensor
    largest: Tensor
    least: Tensor
    last: Tensor

    @cached_property
    def totals(self) -> Tensor:
        """Sums of the weights, [n, 1]."""
        return self.weights.cumsum(-1)[:, -1:]

    def probabilities(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Return the probabilities of some tokens [m] from their logits [n, m], float64."""
        left = (logits > self.least) | ((logits == self.least) & (tokens <= self.last))
        return _weights(logits / self.temperature, self.largest) * left / self.totals


def keep(sampler: Sampler, logits: Tensor) -> Kept:
    """Return what temperature and filters leave of finite logits, [n, vocabulary] (docs/numerics.md, Sampling)."""
    values, tokens = _candidates(sampler, logits)
    scores = values / sampler.temperature
    largest = scores.amax(-1, keepdim=True)
    weights = _weights(scores, largest)
    left = values > -torch.inf
    if sampler.top_p < 1:
        gone = weights.flip(-1).cumsum(-1).flip(-1)  # the weight of a token and of all below it
        left &= gone > (1 - sampler.top_p) * gone[:, :1]
        left[:, 0] = True
    if sampler.min_p > 0:
        left &= scores - largest >= cpu.log(torch.tensor([sampler.min_p], dtype=torch.float64)).float()
    least = values.masked_fill(~left, torch.inf).amin(-1, keepdim=True)
    last = tokens.masked_fill(~left | (values != least), -1).amax(-1, keepdim=True)
    return Kept(sampler.temperature, tokens, weights * left, largest, least, last)


class Coupling:
    """The wild type's text and what it was picked from, to couple mutants with.

    Args:
        sampler: that samples.
        logits: of the wild type along its text, [steps, vocabulary].
        tokens: of the text, [steps].
    """

    def __init__(self, sampler: Sampler, logits: Tensor, tokens: Sequence[int]) -> None:
        self.sampler = sampler
        self._known = [self._left(row[None], token) for row, token in zip(logits, tokens, strict=True)]

    def terms(self, logits: Tensor, step: int) -> Tensor:
        """Return the chance that mutants pick what the wild type has picked at a step, float64 [n].

        Args:
            logits: of the mutants, [n, vocabulary].
            step: index of the token.

        Returns:
            0 where a logit is NaN or +inf: the mutant picks nothing.
        """
        finite = (logits.amax(-1, keepdim=True) / self.sampler.temperature).isfinite()
        logits = logits.masked_fill(~finite, 0.0)
        tokens, wild, place = self._known[step]
        own = keep(self.sampler, logits).probabilities(logits[:, tokens], tokens)
        picked = own[:, place, None]
        possible = finite & (picked > 0)
        ratio = wild[place] / picked.masked_fill(~possible, 1.0)
        missing = (wild - own * ratio).clamp(min=0.0).cumsum(-1)[:, -1:]
        chances = 1 / (ratio + missing).clamp(min=1.0)
        return (chances * possible)[:, 0]

    def _left(self, logits: Tensor, token: int) -> tuple[Tensor, Tensor, int]:
        """Return the tokens that are left at a step, their probabilities, and the place of the one that is picked."""
        known = keep(self.sampler, logits)
        left = known.weights[0] > 0
        tokens = known.tokens[0, left]
        wild = known.probabilities(logits[:, tokens], tokens)[0]
        return tokens, wild, int((tokens == token).nonzero()[0, 0])


def _candidates(sampler: Sampler, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and tokens that top-k leaves, [n, m]; -inf for others. Where top-p follows, they descend."""
    values, tokens = logits, torch.arange(logits.shape[-1]).expand_as(logits)
    if sampler.top_k < logits.shape[-1]:
        bars = logits.topk(sampler.top_k).values[:, -1:]
        most = int((logits >= bars).sum(-1).max())  # ties of the last stay
        values, tokens = logits.topk(most)
        tokens, order = tokens.sort(-1)
        values = values.gather(-1, order)
        values = values.masked_fill(values < bars, -torch.inf)
    if sampler.top_p < 1:
        values, order = values.sort(dim=-1, descending=True, stable=True)
        tokens = tokens.gather(-1, order)
    return values, tokens


def _weights(scores: Tensor, largest: Tensor) -> Tensor:
    """Return the exponential of scores less the largest [n, 1], float64; of a dropped token above it, 1."""
    return cpu.exp((scores.double() - largest.double()).clamp(max=0.0).contiguous())
