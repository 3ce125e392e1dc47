"""The token that a mutant samples, as a function of its logits and the recorded noise.

With a fixed seed ``generate`` draws the same random numbers whatever the logits: ``torch.multinomial(p, 1)`` is
``argmax(p / q)`` with q ~ Exponential(1) drawn per step over the vocabulary. So the token picked at step t
is the argmax, over the tokens that the filters leave, of

    s_v = logit_v / temperature - log q_tv

docs/numerics.md says it to the last bit. The *margin* of a pick is the smallest change of any s_v or filter
boundary that would change it: what predictions are made of (:mod:`mutascope.predict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mutascope.numerics import cpu
from mutascope.numerics.operations import operations_on

SAMPLING = "fma32-1"
"""Name of the numerics of sampling (docs/numerics.md)."""
_TIES = 14
"""Logits that are looked at beyond the top-k boundary, as they could equal the last."""
UNKNOWN = -2
"""In place of a token that a device has not found."""
BEYOND = 8
"""Tokens looked at beyond the top-k boundary: they could cross it and win."""


class Sampler:
    """Samples tokens as ``generate`` does with the given seed and sampling fields.

    Args:
        resolved: generation fields in force.
        seed: of the assay.
        vocabulary: number of logits.
        device: where the noise is wanted; it is drawn on the CPU, so that it is the same for all.
    """

    def __init__(
        self, resolved: Mapping[str, Any], seed: int, vocabulary: int, device: torch.device | None = None
    ) -> None:
        self.steps: int = resolved["max_new_tokens"]
        self.vocabulary = vocabulary
        ends = resolved.get("eos_token_id")
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or ())
        self.greedy = not resolved.get("do_sample")
        self.temperature = 1.0 if self.greedy else float(resolved.get("temperature") or 1.0)
        self.top_k = (
            vocabulary if self.greedy else min(int(resolved.get("top_k") or 0) or vocabulary, vocabulary)
        )
        self.top_p = 1.0 if self.greedy else float(resolved.get("top_p") or 1.0)
        self.min_p = 0.0 if self.greedy else float(resolved.get("min_p") or 0.0)
        self.noise = None if self.greedy else draw_noise(seed, self.steps, vocabulary).to(device)
        self._noise: dict[torch.device, Tensor] = {}

    @cached_property
    def largest_noise(self) -> float:
        """Size of the largest noise, 0 where there is none."""
        return 0.0 if self.noise is None else float(self.noise.abs().max())

    def sample(
        self,
        logits: Tensor,
        steps: Tensor,
        shortlist: Tensor | None = None,
        facts: Tensor | None = None,
    ) -> Tensor:
        """Return the token that every row samples, [n]; -1 where a logit is NaN or +inf.

        Args:
            logits: [n, vocabulary], or [n, m] of a shortlist.
            steps: index of the generated token that each row is at, [n].
            shortlist: the tokens that may be picked, ascending, [m]; by default all.
            facts: as in :func:`mutascope.numerics.cpu.sample`.
        """
        if logits.device.type == "cpu":
            return self._sample(logits, self.noise, steps, shortlist, facts)
        if self.top_p < 1 or self.min_p > 0:
            return self.sample_largest(logits, steps)
        return self.sample_there(logits, steps)

    def sample_there(self, logits: Tensor, steps: Tensor) -> Tensor:
        """Return what :meth:`sample` does, without top-p and min-p; of logits on a card little leaves it."""
        place = logits.device
        if self.noise is not None and place not in self._noise:
            self._noise[place] = self.noise.to(place)
        noise = self._noise.get(place)
        asked = (logits.contiguous(), noise, steps.to(place), self.top_k, self.temperature)
        tokens = operations_on(place).pick(*asked).cpu()
        unknown = (tokens == UNKNOWN).nonzero()[:, 0]
        if len(unknown):
            tokens[unknown] = self.sample_largest(logits[unknown.to(place)], steps[unknown])
        return tokens

    def sample_largest(self, logits: Tensor, steps: Tensor) -> Tensor:
        """Return what :meth:`sample` does; of logits on a card, [n, vocabulary], only the largest leave it."""
        values, tokens = largest(logits, 1 if self.greedy else self.top_k)
        noise = None if self.noise is None else self.noise.cpu()[steps[:, None], tokens]
        columns = self._sample(values, noise, torch.arange(len(values)))
        picked = tokens.gather(1, columns.clamp(min=0)[:, None])[:, 0]
        return torch.where(columns < 0, columns, picked)

    def _sample(
        self,
        logits: Tensor,
        noise: Tensor | None,
        steps: Tensor,
        ids: Tensor | None = None,
        facts: Tensor | None = None,
    ) -> Tensor:
        vocabulary = self.vocabulary if noise is None else noise.shape[1]
        return cpu.sample(
            logits,
            noise=noise,
            steps=steps,
            ids=ids,
            vocabulary=vocabulary,
            top_k=min(self.top_k, vocabulary),
            temperature=self.temperature,
            top_p=self.top_p,
            min_p=self.min_p,
            facts=facts,
        )

    def threats(self, logits: Tensor, steps: Tensor) -> Tensor:
        """Return the margin of every step's pick against each way to lose it, [n, threats], differentiable.

        The threats are the tokens that could be picked instead and, last, the filters that could drop the pick
        itself. The smallest is the margin of the pick, but for what lies beyond the candidates looked at.

        Args:
            logits: [n, vocabulary].
            steps: index of the generated token that each row is at, [n].
        """
        candidates = logits.shape[-1]
        if self.top_k < candidates:
            candidates = min(self.top_k + BEYOND, candidates)
        scores, columns = logits.topk(candidates, dim=-1)
        noise = 0 if self.noise is None else self.noise[steps[:, None], columns]
        rivals, own = self._contest(scores / self.temperature, noise)
        return torch.cat([rivals, own[:, None]], dim=-1)

    def margins(self, logits: Tensor) -> tuple[float, ...]:
        """Return the margin of every pick of a text from its logits, [steps, vocabulary]."""
        smallest = self.threats(logits.float().cpu(), torch.arange(len(logits))).amin(-1)
        return tuple(smallest.clamp(max=torch.finfo(torch.float32).max).tolist())

    def _contest(self, scores: Tensor, noise: Tensor | int) -> tuple[Tensor, Tensor]:
        """Return the pick's margin against every candidate (inf at its own place) and against the filters [n];
        ``scores`` (tempered logits) descend, [n, candidates].
        """
        slack = self._slack(scores)
        values = scores + noise
        allowed = values.masked_fill(slack < 0, -torch.inf)
        best, place = allowed.max(-1, keepdim=True)
        # a rival wins when it passes the filters and beats the pick: both must change for a token outside
        rivals = torch.maximum(best - values, -slack).scatter(-1, place, torch.inf)
        return rivals, slack.gather(-1, place).squeeze(-1)

    def _slack(self, scores: Tensor) -> Tensor:
        """Return how far inside (>= 0) or outside (< 0) the filters each candidate is, in units of s.

        For top-p it is the change of the logarithm of the mass there, which moves with all scores.
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
            slack = torch.minimum(slack, (ascending.clamp(min=least) / (1 - self.top_p)).log())
        if self.min_p > 0:
            slack = torch.minimum(slack, scores - scores[:, :1] - torch.tensor(self.min_p).log())
        # the filters always leave the most probable token: it goes when another one becomes that
        first = torch.maximum(slack[:, :1], scores[:, :1] - scores[:, 1:2])
        return torch.cat([first, slack[:, 1:]], dim=-1)


def largest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest logits of rows [n, vocabulary] and their tokens, ascending, [n, m] each, on the CPU.

    They are ``count`` at least, and all that equal the last of these. NaN is larger than any number.
    """
    vocabulary = logits.shape[-1]
    most = min(count + _TIES, vocabulary)
    if most < vocabulary:
        values, tokens = (some.cpu() for some in logits.topk(most))
        if not (values[:, -1] == values[:, count - 1]).any():
            tokens, order = tokens.sort(-1)
            return values.gather(-1, order), tokens
    return logits.cpu(), torch.arange(vocabulary).expand(logits.shape)


_drawn: dict[tuple[int, int], Tensor] = {}
"""The noise that was last drawn, by seed and vocabulary."""


def draw_noise(seed: int, steps: int, vocabulary: int) -> Tensor:
    """Return -log q of every step, float32 [steps, vocabulary], of the draws that ``generate`` makes on a CPU."""
    known = _drawn.get((seed, vocabulary))
    if known is None or len(known) < steps:
        twister, known = np.random.RandomState(seed % 2**32), torch.empty(steps, vocabulary)
        for noise in known:
            halves = twister.randint(0, 2**32, (vocabulary, 2), dtype=np.uint32).astype(np.uint64)
            words = (halves[:, 0] << np.uint64(32)) | halves[:, 1]
            noise.copy_(cpu.gumbel(torch.from_numpy(words.view(np.int64))))
        _drawn.clear()
        _drawn[seed, vocabulary] = known
    return known[:steps]
