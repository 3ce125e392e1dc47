"""The output head: the tokens that final states pick, with most of the work proved away.

Final states that are near each other have logits near each other. With d the distance of two states and r_v the norm
of a token's row of the head (centred: what all logits share picks nothing), Cauchy and Schwarz give, for every token v,

    logit of the one <= logit of the other + r_v d

So where the logits of one state are known, only the tokens of its *shortlist*, those that the bound leaves within a
radius, need computing for the others. For all other tokens it shows that they cannot be picked, nor push the picked
token out of the top k. A pick for which the bound is too weak is not *proved*, and all its logits are computed. The
bound is of exact logits; docs/reference/head.md bounds how far those that are computed are from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder
from mutascope.numerics import cpu
from mutascope.numerics.sampling import Sampler

_ROWS = 128
"""Rows of the head that are centred at a time."""
_FAMILY, _ROUGH_FAMILY = 3, 8
"""States from which on a shortlist pays for itself; the same where rough logits do."""
_RADII = (4.0, 3.0, 2.0, 1.0)
_LONGEST = 1024
"""Of the radii, the largest is taken that leaves no longer list than this."""
_CANDIDATES = 512
"""Tokens that rough logits may leave, at most: all logits take as long as some thousand at random places."""
_BEYOND = 8
"""Tokens beyond the top k that are on a list whatever the bound says: their order may change."""
_UNIT = 2.0**-24
"""Half a unit in the last place of 1."""


@dataclass(frozen=True)
class Shortlist:
    """The tokens that states near a known one can pick.

    Attributes:
        step: index of the generated token.
        final: the known final state, [hidden].
        tokens: the list, ascending, [m].
        rows: of the head, of these tokens, [m, hidden].
        radius: distance below which no other token can be picked, when nothing else changes.
        bars: the known state's picked logit, picked logit with noise, and last logit of the top k, [3].
    """

    step: int
    final: Tensor
    tokens: Tensor
    rows: Tensor
    radius: float
    bars: Tensor


class Head:
    """Picks tokens for final states.

    Args:
        decoder: of the network.
        sampler: of the assay.
    """

    def __init__(self, decoder: Decoder, sampler: Sampler) -> None:
        self.decoder, self.sampler = decoder, sampler
        vocabulary, self._states = decoder.head.shape[0], decoder.operations.SIZES.states
        self._top = _BEYOND + (sampler.top_k if sampler.top_k < vocabulary else 1)
        # the bound is of products, and those of a list are made with rows and states exchanged; in bfloat16 it proves
        # nothing; top-p looks at every probability; a small vocabulary is as quick to compute
        self.has_shortlists = (
            decoder.linear_head
            and not decoder.half
            and decoder.operations.SYMMETRIC
            and sampler.top_p >= 1
            and sampler.min_p <= 0
            and vocabulary >= 4 * _LONGEST
            and self._top <= _LONGEST
        )
        if self.has_shortlists:
            self._measure(decoder.head)
        # as for shortlists, but what top-k leaves is all that top-p and min-p see
        self._kept = sampler.top_k if sampler.noise is not None else 1
        worth = decoder.linear_head and vocabulary >= 4 * _LONGEST and 2 * self._kept <= _CANDIDATES
        quick = decoder.operations is cpu and cpu.is_quick(half=decoder.half)
        self._rough = cpu.rough(decoder.head, self._states) if worth and quick else None
        self._family = _ROUGH_FAMILY if self._rough else _FAMILY

    def sample(self, final: Tensor, steps: Tensor) -> Tensor:
        """Return the token that every final state [n, hidden] picks at ``steps`` [n]."""
        parts = zip(final.split(self._states), steps.split(self._states), strict=True)
        return torch.cat([self._sample(some, at) for some, at in parts])

    def _sample(self, final: Tensor, steps: Tensor) -> Tensor:
        if self._rough is None:
            return self.sampler.sample(self.decoder.logits(final), steps)
        tokens, count = cpu.sample_rough(
            final,
            self._rough,
            noise=self.sampler.noise,
            steps=steps,
            top_k=self._kept,
            longest=_CANDIDATES,
            temperature=self.sampler.temperature,
            top_p=self.sampler.top_p,
            min_p=self.sampler.min_p,
            half=self.decoder.half,
        )
        self.decoder.flop += 2 * count * final.shape[1]
        unknown = tokens == -2
        if unknown.any():
            tokens[unknown] = self.sampler.sample(self.decoder.logits(final[unknown]), steps[unknown])
        return tokens

    def logits(self, final: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield the logits of final states [n, hidden], some at a time."""
        for first in range(0, len(final), self._states):
            some = slice(first, first + self._states)
            yield some, self.decoder.logits(final[some])

    def sample_near(self, final: Tensor, shortlists: Sequence[Shortlist]) -> Tensor:
        """Return the tokens that final states near known ones pick.

        Args:
            final: [rows, steps, hidden].
            shortlists: one per step.

        Returns:
            [rows, steps].
        """
        columns = [self._sample_near(final[:, at], shortlist) for at, shortlist in enumerate(shortlists)]
        tokens = torch.stack([column for column, _ in columns], dim=1)
        doubtful = ~torch.stack([proved for _, proved in columns], dim=1)
        if doubtful.any():
            steps = torch.tensor([shortlist.step for shortlist in shortlists])
            tokens[doubtful] = self.sample(final[doubtful], steps.expand(doubtful.shape)[doubtful])
        return tokens

    def sample_families(self, final: Tensor, steps: Tensor, families: Sequence[Sequence[int]]) -> Tensor:
        """Return the tokens that states [n, hidden] pick at ``steps`` [n]; a family (indices) is near its first, and
        where there are shortlists every state is in one.
        """
        if not self.has_shortlists:
            return self.sample(final, steps)
        large = {family[0]: family[1:] for family in families if len(family) >= self._family}
        doubtful = [index for family in families if family[0] not in large for index in family]
        tokens = torch.empty(len(final), dtype=torch.long)
        for first in range(0, len(large), self._states):
            leaders = torch.tensor(list(large)[first : first + self._states])
            logits = self.decoder.logits(final[leaders])
            tokens[leaders] = self.sampler.sample(logits, steps[leaders])
            for row, index in enumerate(leaders.tolist()):
                others = torch.tensor(large[index])
                if tokens[index] < 0:
                    doubtful += others.tolist()
                else:
                    known = (final[index], logits[row], int(tokens[index]), int(steps[index]))
                    tokens[others], proved = self._sample_near(final[others], self._shortlist(*known))
                    doubtful += others[~proved].tolist()
        if doubtful:
            rows = torch.tensor(doubtful)
            tokens[rows] = self.sample(final[rows], steps[rows])
        return tokens

    def known(self, final: Tensor, logits: Tensor, tokens: Sequence[int]) -> list[Shortlist]:
        """Return the shortlists of a whole output; none where they do not exist.

        Args:
            final: final states, [steps, hidden].
            logits: of these states, [steps, vocabulary].
            tokens: picked from the logits, one per step.
        """
        if not self.has_shortlists:
            return []
        steps = range(len(tokens))
        return [self._shortlist(*known) for known in zip(final, logits, tokens, steps, strict=True)]

    def _measure(self, rows: Tensor) -> None:
        """Measure the rows of the head [vocabulary, hidden], which bounds are made of."""
        self._mean = rows.double().mean(0)
        norms = torch.cat([(some.double() - self._mean).norm(dim=-1) for some in rows.split(_ROWS)])
        self._least = float(norms.min()) * (1 - _UNIT)
        self._norms = (norms * (1 + 4 * _UNIT)).float()
        # what rounds a logit, in units of |row| |state|: its sum, and bfloat16 (docs/reference/head.md)
        chain = 2 * (192 + rows.shape[1] // 192 + 64) * _UNIT + (2.0**-7 if self.decoder.half else 0.0)
        self._rounding = chain * float(rows.norm(dim=-1).max())

    def _shortlist(self, final: Tensor, logits: Tensor, picked: int, step: int) -> Shortlist:
        """Return the shortlist around a final state [hidden] with known logits [vocabulary] and pick."""
        noise = None if self.sampler.noise is None else self.sampler.noise[step]
        tokens, radius, bars = cpu.shortlist(
            logits,
            self._norms,
            noise,
            picked,
            top_k=self.sampler.top_k,
            always=self._top,
            temperature=self.sampler.temperature,
            shift=float(final.double() @ self._mean),
            radii=_RADII,
            longest=_LONGEST,
        )
        return Shortlist(step, final, tokens, self.decoder.head.index_select(0, tokens), radius, bars)

    def _sample_near(self, final: Tensor, shortlist: Shortlist) -> tuple[Tensor, Tensor]:
        """Return the tokens that final states [n, hidden] pick from a list, and which picks are proved, bool [n]."""
        tokens, step = shortlist.tokens, shortlist.step
        logits, facts = self.decoder.some_logits(final, shortlist.rows), final.new_empty(2, len(final))
        picked = self.sampler.sample(logits, torch.full((len(final),), step), tokens, facts)
        exact = final.double()
        own, last = facts - (exact @ self._mean).float()
        if self.sampler.noise is None:
            loud = own
        else:
            loud = own + self.sampler.temperature * self.sampler.noise[step, picked]
        lowered = (shortlist.bars - torch.stack([own, loud, last], dim=-1)).amax(-1).clamp(min=0)
        lowered += self._slack(final, shortlist.final)
        distance = (exact - shortlist.final.double()).norm(dim=-1) * (1 + _UNIT)
        return picked, ((shortlist.radius - distance) * self._least > lowered) & (picked >= 0)

    def _slack(self, final: Tensor, known: Tensor) -> Tensor:
        """Return by how much a bound must hold, [n]: no less than what all the numbers in it are rounded by."""
        sizes = (final.norm(dim=-1) + known.norm()) * self._rounding
        return sizes + self.sampler.temperature * self.sampler.largest_noise * 64 * _UNIT
