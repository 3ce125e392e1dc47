"""The token that a mutant picks, as a function of its logits and the recorded noise.

With a fixed seed ``generate`` draws the same random numbers whatever the logits: ``torch.multinomial(p, 1)`` is
``argmax(p / q)`` with q ~ Exponential(1) drawn per step over the vocabulary. So the token picked at step t
is the argmax, over the tokens that the filters leave, of

    s_v = logit_v / temperature - log q_tv

and a pick can be disputed when the *margin*, the smallest change of any s_v or filter boundary that would change it, is
within the numerical noise between two ways to compute the same logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import GenerationConfig

BEYOND = 8
"""Tokens looked at beyond the top-k boundary: they could cross it and win."""
_BLOCK = 16
"""Columns whose maximum is looked at first."""

_IMPLEMENTED = {
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "max_length", "max_new_tokens"),
    *("eos_token_id", "pad_token_id", "bos_token_id", "use_cache", "num_return_sequences"),
}
"""Fields of a generation config that the picker implements, or that do not change what is picked."""


def unsupported_fields(resolved: Mapping[str, Any]) -> list[str]:
    """Return the generation fields in force that :class:`Picker` does not implement, as ``name=value``."""
    neutral = GenerationConfig._get_default_generation_params()
    return [
        f"{name}={value}"
        for name, value in resolved.items()
        if name not in _IMPLEMENTED and value != neutral.get(name) and value not in (None, False)
    ]


class Picks(NamedTuple):
    """Picked tokens [n], their margins [n] in units of s, and whether all logits were finite [n]."""

    tokens: Tensor
    margins: Tensor
    finite: Tensor


class Picker:
    """Picks tokens as ``generate`` does with the given seed and sampling fields.

    Args:
        resolved: generation fields in force.
        seed: of the assay.
        vocabulary: number of logits.
        device: where ``generate`` would draw its random numbers.
    """

    def __init__(self, resolved: Mapping[str, Any], seed: int, vocabulary: int, device: torch.device) -> None:
        self.steps: int = resolved["max_new_tokens"]
        ends = resolved.get("eos_token_id")
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or ())
        self.sample = bool(resolved.get("do_sample"))
        self.temperature = float(resolved.get("temperature") or 1.0) if self.sample else 1.0
        self.top_k = (
            min(int(resolved.get("top_k") or 0) or vocabulary, vocabulary) if self.sample else vocabulary
        )
        self.top_p = float(resolved.get("top_p") or 1.0) if self.sample else 1.0
        self.min_p = float(resolved.get("min_p") or 0.0) if self.sample else 0.0
        self.noise = _draw_noise(seed, self.steps, vocabulary, device) if self.sample else None

    def pick(self, logits: Tensor, steps: Tensor, shortlist: Tensor | None = None) -> Picks:
        """Pick a token per row.

        Args:
            logits: [n, vocabulary], or [n, m] of a shortlist.
            steps: index of the generated token that each row is at, [n].
            shortlist: the tokens that may be picked, [m]; by default all.
        """
        if self.top_k < logits.shape[-1]:
            scores, columns = largest(logits, min(self.top_k + BEYOND, logits.shape[-1]))
        elif self.top_p < 1 or self.min_p > 0:
            scores, columns = logits.sort(dim=-1, descending=True)
        else:
            noise = 0 if self.noise is None else self.noise[steps]
            if shortlist is not None and self.noise is not None:
                noise = self.noise[steps[:, None], shortlist]
            values = logits / self.temperature + noise
            best, columns = values.topk(min(2, values.shape[-1]), dim=-1)
            tokens = columns[:, 0] if shortlist is None else shortlist[columns[:, 0]]
            return Picks(tokens, best[:, 0] - best[:, -1], _finite(best[:, 0]))
        candidates = columns if shortlist is None else shortlist[columns]
        noise = 0 if self.noise is None else self.noise[steps[:, None], candidates]
        return self._pick_filtered(scores / self.temperature, candidates, noise)

    def threats(self, logits: Tensor, steps: Tensor) -> Tensor:
        """Return the margin of every step's pick against each way to lose it, [n, threats], differentiable.

        The threats are the tokens that could be picked instead and, last, the filters that could drop the pick
        itself. The smallest is the margin of :meth:`pick` but for what lies beyond the candidates looked at, and for
        top-p, where it is the distance at which the pick is lost and not a bound below it.

        Args:
            logits: [n, vocabulary].
            steps: index of the generated token that each row is at, [n].
        """
        candidates = logits.shape[-1]
        if self.top_k < candidates:
            candidates = min(self.top_k + BEYOND, candidates)
        scores, columns = logits.topk(candidates, dim=-1)
        noise = 0 if self.noise is None else self.noise[steps[:, None], columns]
        _, rivals, own = self._contest(scores / self.temperature, noise, bound=False)
        return torch.cat([rivals, own[:, None]], dim=-1)

    def _pick_filtered(self, scores: Tensor, candidates: Tensor, noise: Tensor | int) -> Picks:
        """Pick among candidates in descending order of ``scores`` (tempered logits), [n, candidates]."""
        place, rivals, own = self._contest(scores, noise)
        margins = torch.minimum(rivals.amin(-1), own)
        if self.top_k + BEYOND == scores.shape[-1]:
            margins = torch.minimum(margins, scores[:, self.top_k - 1] - scores[:, -1])
        return Picks(candidates.gather(-1, place).squeeze(-1), margins, _finite(scores[:, 0]))

    def _contest(
        self, scores: Tensor, noise: Tensor | int, *, bound: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the place of the pick [n, 1], its margin against every candidate (inf at its own place) and against
        the filters [n]; ``scores`` descend. For ``bound`` see :meth:`_slack`.
        """
        slack = self._slack(scores, bound=bound)
        values = scores + noise
        allowed = values.masked_fill(slack < 0, -torch.inf)
        best, place = allowed.max(-1, keepdim=True)
        # a rival wins when it passes the filters and beats the pick: both must change for a token outside
        rivals = torch.maximum(best - values, -slack).scatter(-1, place, torch.inf)
        return place, rivals, slack.gather(-1, place).squeeze(-1)

    def _slack(self, scores: Tensor, *, bound: bool) -> Tensor:
        """Return how far inside (>= 0) or outside (< 0) the filters each candidate is, in units of s.

        With ``bound``, no smaller change of any score moves a candidate across top-p; without, it is the change of the
        logarithm of the mass there, which moves with all scores.
        """
        slack = torch.full_like(scores, torch.inf)
        last = self.top_k - 1
        if self.top_k < scores.shape[-1]:
            slack = torch.where(
                scores >= scores[:, last, None],
                scores - scores[:, self.top_k, None],
                scores - scores[:, last, None],
            )
        kept = scores.masked_fill(slack < 0, -torch.inf)
        if self.top_p < 1:
            probabilities = kept.softmax(-1)
            ascending = probabilities.flip(-1).cumsum(-1).flip(-1)  # mass of the token and all below it
            least = torch.finfo(ascending.dtype).tiny  # keeps gradients finite
            mass = (ascending.clamp(min=least) / (1 - self.top_p)).log()
            slack = torch.minimum(slack, _nucleus_slack(scores, mass / 2) if bound else mass)
        if self.min_p > 0:
            slack = torch.minimum(slack, scores - scores[:, :1] - torch.tensor(self.min_p).log())
        # the filters always leave the most probable token: it goes when another one becomes that
        first = torch.maximum(slack[:, :1], scores[:, :1] - scores[:, 1:2])
        return torch.cat([first, slack[:, 1:]], dim=-1)


def largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of every row, descending, and their columns, as ``topk`` does, in half its time.

    They lie in the blocks with the largest maxima, as many blocks as values.

    Args:
        values: [n, columns].
        count: of the largest.
    """
    apart, rest = divmod(values.shape[-1], _BLOCK)
    if rest or apart < 4 * count:
        return values.topk(count, dim=-1)
    maxima = values.reshape(-1, _BLOCK, apart).amax(1)
    blocks = maxima.topk(count, dim=-1, sorted=False).indices
    columns = torch.arange(0, values.shape[-1], apart, device=values.device)[:, None] + blocks[:, None]
    columns = columns.flatten(1)
    best, places = values.gather(-1, columns).topk(count, dim=-1)
    return best, columns.gather(-1, places)


def _nucleus_slack(scores: Tensor, mass: Tensor) -> Tensor:
    """Return how far inside (>= 0) or outside (< 0) the top-p filter each candidate is, [n, candidates].

    A candidate leaves the filter when the mass at its rank changes, or when others of nearly the same score overtake
    it: at least the next one, up to a rank whose mass is as near the boundary as that of the last one inside.

    Args:
        scores: descending.
        mass: of each candidate alone, as an inside distance; it falls with the rank.
    """
    last = (mass >= 0).sum(-1, keepdim=True).sub_(1).clamp_(min=0)
    some_out = last + 1 < scores.shape[-1]
    first_out = (last + 1).clamp_(max=scores.shape[-1] - 1)
    score_out = scores.gather(-1, first_out).masked_fill(~some_out, -torch.inf)
    gaps = torch.nn.functional.pad(scores[:, :-1] - scores[:, 1:], (1, 1), value=torch.inf).nan_to_num(
        nan=0.0
    )
    overtaken = torch.maximum(gaps[:, 1:], mass.gather(-1, last))
    overtakes = torch.maximum(gaps[:, :-1], -mass.gather(-1, first_out))
    inside = torch.minimum(torch.minimum(mass, overtaken), scores - score_out)
    outside = torch.maximum(torch.maximum(mass, -overtakes), scores - scores.gather(-1, last))
    return torch.where(mass >= 0, inside, outside)


def _finite(best: Tensor) -> Tensor:
    """Whether no logit was NaN or +inf, from the best one of each row: both count as the largest when sorted."""
    return ~(torch.isnan(best) | torch.isposinf(best))


def _draw_noise(seed: int, steps: int, vocabulary: int, device: torch.device) -> Tensor:
    """Return -log q of every step, [steps, vocabulary], drawn as ``generate`` draws it."""
    generator = torch.Generator(device).manual_seed(seed)
    rows = [
        torch.empty(1, vocabulary, device=device).exponential_(1, generator=generator) for _ in range(steps)
    ]
    return torch.cat(rows).log_().neg_()
