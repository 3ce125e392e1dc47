"""The output head: the tokens that final states pick, with most of the work proved away.

Final states that are near each other have logits near each other. With d the distance of two states and r_v the norm
of a token's row of the head (centred: what all logits share picks nothing), Cauchy and Schwarz give, for every token v,

    logit of the one <= logit of the other + r_v d

So where the logits of one state are known, only the tokens of its *shortlist*, those that the bound leaves within a
radius, need computing for the others. For all other tokens it shows that they cannot be picked, nor push the picked
token out of the top k. A pick for which the bound is too weak is not *proved*, and all its logits are computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mutascope.engine.decoder import Decoder
from mutascope.sampling import BEYOND, Picker, Picks

_ROWS = 128
"""States whose logits are computed at a time."""
_FAMILY = 3
"""States from which on a shortlist pays for itself."""
_RADII = (4.0, 3.0, 2.0, 1.0)
_LONGEST = 1024
"""Of the radii, the largest is taken that leaves no longer list than this."""
_SLACK = 0.01
"""By how much a bound must hold, in logits and in logits / temperature: far above the rounding errors of both."""


@dataclass(frozen=True)
class Shortlist:
    """The tokens that states near a known one can pick.

    Attributes:
        step: index of the generated token.
        final: the known final state, [hidden].
        tokens: the list, ascending, [m].
        radius: distance below which no other token can be picked, when nothing else changes.
        bars: the known state's picked logit, picked logit with noise, and last logit of the top k, [3].
    """

    step: int
    final: Tensor
    tokens: Tensor
    radius: float
    bars: Tensor


class Head:
    """Picks tokens for final states.

    Args:
        decoder: of the network.
        picker: of the assay.
    """

    def __init__(self, decoder: Decoder, picker: Picker) -> None:
        self.decoder, self.picker = decoder, picker
        rows, vocabulary = decoder.head, decoder.head.shape[0]
        self._mean = rows.mean(0)
        self._norms = torch.cat([(some - self._mean).norm(dim=-1) for some in rows.split(_ROWS)])
        self._least = float(self._norms.min())
        self._top = BEYOND + (picker.top_k if picker.top_k < vocabulary else 1)
        # top-p looks at every probability; a small vocabulary is as quick to compute
        self.has_shortlists = picker.top_p >= 1 and vocabulary >= 4 * _LONGEST and self._top <= _LONGEST

    def pick(self, final: Tensor, steps: Tensor) -> Picks:
        """Pick a token for every final state [n, hidden], at generated token ``steps`` [n], from all logits."""
        parts = [
            self.picker.pick(self.decoder.logits(some), at)
            for some, at in zip(final.split(_ROWS), steps.split(_ROWS), strict=True)
        ]
        return Picks(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def logits(self, final: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield the logits of final states [n, hidden], some at a time."""
        for first in range(0, len(final), _ROWS):
            some = slice(first, first + _ROWS)
            yield some, self.decoder.logits(final[some])

    def pick_near(self, final: Tensor, shortlists: Sequence[Shortlist]) -> Picks:
        """Pick tokens for final states that are near known ones.

        Args:
            final: [rows, steps, hidden].
            shortlists: one per step.

        Returns:
            Fields of [rows, steps].
        """
        columns = [self._pick_near(final[:, at], shortlist) for at, shortlist in enumerate(shortlists)]
        picks = Picks(
            *(torch.stack(values, dim=1) for values in zip(*(some for some, _ in columns), strict=True))
        )
        doubtful = ~torch.stack([proved for _, proved in columns], dim=1)
        if doubtful.any():
            steps = torch.tensor([shortlist.step for shortlist in shortlists], device=final.device)
            sure = self.pick(final[doubtful], steps.expand(doubtful.shape)[doubtful])
            for some, value in zip(picks, sure, strict=True):
                some[doubtful] = value
        return picks

    def pick_families(self, final: Tensor, steps: Tensor, families: Sequence[Sequence[int]]) -> Picks:
        """Pick a token for final states [n, hidden] at ``steps`` [n]; a family (indices) is near its first."""
        large = {
            family[0]: family[1:] for family in families if len(family) >= _FAMILY and self.has_shortlists
        }
        alone = [index for family in families for index in (family[:1] if family[0] in large else family)]
        picks = Picks(
            torch.empty(len(final), dtype=torch.long, device=final.device),
            final.new_empty(len(final)),
            torch.empty(len(final), dtype=torch.bool, device=final.device),
        )
        while alone:
            doubtful = []
            for at in torch.tensor(alone, device=final.device).chunk(-(-len(alone) // _ROWS)):
                logits = self.decoder.logits(final[at])
                _put(picks, at, self.picker.pick(logits, steps[at]))
                for row, index in enumerate(at.tolist()):
                    if index in large:
                        others = torch.tensor(large.pop(index), device=final.device)
                        shortlist = self._shortlist(
                            final[index], logits[row], picks.tokens[index], int(steps[index])
                        )
                        near, proved = self._pick_near(final[others], shortlist)
                        _put(picks, others, near)
                        doubtful += others[~proved].tolist()
            alone = doubtful
        return picks

    def known(self, final: Tensor, logits: Tensor, tokens: Sequence[int]) -> list[Shortlist]:
        """Return the shortlists of a whole output; none where they do not exist.

        Args:
            final: final states, [steps, hidden].
            logits: of these states, [steps, vocabulary]; another engine's will do, rounding is far below the slack.
            tokens: picked from the logits, one per step.
        """
        if not self.has_shortlists:
            return []
        picked = torch.tensor(tokens, device=final.device)
        steps = range(len(tokens))
        return [self._shortlist(*known) for known in zip(final, logits, picked, steps, strict=True)]

    def _shortlist(self, final: Tensor, logits: Tensor, picked: Tensor, step: int) -> Shortlist:
        """Return the shortlist around a final state [hidden] with known logits [vocabulary] and pick."""
        logits = logits - self._mean @ final
        noise, best = self._noise(step, slice(None)), logits.topk(self._top)
        bars = self._bars(best.values[None], logits[picked][None], self._noise(step, picked))[0]
        # a token is picked only from the top k, and only when it beats the picked one
        gap = torch.maximum(bars[2], bars[1] - self.picker.temperature * noise) - logits
        danger = torch.minimum(gap, bars[0] - logits).div_(self._norms)
        danger[best.indices] = -torch.inf
        radius = next((some for some in _RADII if (danger < some).sum() <= _LONGEST), _RADII[-1])
        return Shortlist(step, final, (danger < radius).nonzero()[:, 0], radius, bars)

    def _pick_near(self, final: Tensor, shortlist: Shortlist) -> tuple[Picks, Tensor]:
        """Pick a token for every final state [n, hidden]; also return which picks are proved, bool [n]."""
        tokens, step = shortlist.tokens, shortlist.step
        logits = self.decoder.some_logits(final, tokens)
        picks = self.picker.pick(logits, torch.full((len(final),), step, device=final.device), tokens)
        centred = logits - (final @ self._mean)[:, None]
        own = centred.gather(-1, torch.searchsorted(tokens, picks.tokens)[:, None])[:, 0]
        bars = self._bars(centred.topk(self._top).values, own, self._noise(step, picks.tokens))
        lowered = (shortlist.bars - bars).amax(-1).clamp(min=0) + _SLACK * (1 + self.picker.temperature)
        distance = (final - shortlist.final).norm(dim=-1)
        return picks, ((shortlist.radius - distance) * self._least > lowered) & picks.finite

    def _bars(self, best: Tensor, own: Tensor, noise: Tensor) -> Tensor:
        """Return what tokens not computed stay below, in logits [n, 3]: see :class:`Shortlist`.

        Args:
            best: the largest logits, descending, [n, the top k or more].
            own: those of the picked tokens, [n].
            noise: of these tokens, [n].
        """
        if self.picker.top_k < self.decoder.head.shape[0]:
            last = best[:, self.picker.top_k - 1]
        else:
            last = torch.full_like(own, torch.finfo(own.dtype).min)
        return torch.stack([own, own + self.picker.temperature * noise, last], dim=-1)

    def _noise(self, step: int, tokens: Tensor | slice) -> Tensor:
        if self.picker.noise is None:
            return self._norms.new_zeros(())
        return self.picker.noise[step, tokens]


def _put(picks: Picks, at: Tensor, values: Picks) -> None:
    for field, value in zip(picks, values, strict=True):
        field[at] = value
