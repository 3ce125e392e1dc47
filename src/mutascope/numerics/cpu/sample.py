"""Samples from logits, and what probabilities are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mutascope.numerics.cpu.functions import log
from mutascope.numerics.cpu.library import address, library


def sample(
    logits: Tensor,
    *,
    noise: Tensor | None,
    steps: Tensor,
    ids: Tensor | None,
    vocabulary: int,
    top_k: int,
    temperature: float,
    top_p: float,
    min_p: float,
    facts: Tensor | None = None,
) -> Tensor:
    """Return the token that every row samples, int64 [n]; -1 where the step is not finite.

    Args:
        logits: [n, m].
        noise: [steps, vocabulary]; None picks the largest logit, and nothing is filtered.
        steps: of the rows, int64 [n].
        ids: tokens of the columns, ascending, int64 [m]; None where the columns are the vocabulary.
        vocabulary: size.
        top_k: the k largest logits stay, and ties of the last; ``vocabulary`` for all.
        temperature: that logits are divided by.
        top_p: the least probable go that add up to no more than 1 - top_p.
        min_p: those go that are less than this share as probable as the first; 0 for none.
        facts: gets the logits of what is picked, and the least that top-k leaves, [2, n].
    """
    logits = logits.contiguous()
    picked, bars = (None, None) if facts is None else facts
    tokens = torch.empty(len(logits), dtype=torch.int64)
    low = float("-inf") if min_p <= 0 else float(log(torch.tensor([min_p], dtype=torch.float64)))
    library().sample(
        *(
            address(logits),
            address(noise),
            address(steps),
            address(ids),
            address(tokens),
            address(picked),
            address(bars),
        ),
        *(*logits.shape, vocabulary, top_k, temperature, low, top_p),
    )
    return tokens


def shortlist(
    logits: Tensor,
    norms: Tensor,
    noise: Tensor | None,
    picked: int,
    *,
    top_k: int,
    always: int,
    temperature: float,
    shift: float,
    radii: Sequence[float],
    longest: int,
) -> tuple[Tensor, float, Tensor]:
    """Return the tokens that states near a known one can pick (:mod:`mutascope.engine.head`).

    Args:
        logits: of the known state, [vocabulary].
        norms: of the centred rows of the head, [vocabulary].
        noise: of the step, [vocabulary], if any.
        picked: token.
        top_k: of the filter; ``vocabulary`` for none.
        always: tokens of the largest logits that are on the list in any case.
        temperature: that logits are divided by.
        shift: what all logits have in common.
        radii: descending; the first is taken that leaves at most ``longest`` tokens, or else the last.

    Returns:
        The tokens, ascending, int64; the radius; the logits, without ``shift``, that others stay below: that of what is
        picked, the same with its noise, and the last of the top k.
    """
    tokens, count = torch.empty(len(logits), dtype=torch.int64), torch.empty(1, dtype=torch.int64)
    bars, radius = torch.empty(3), torch.tensor(radii)
    library().shortlist(
        *(
            address(logits),
            address(norms),
            address(noise),
            address(radius),
            address(tokens),
            address(count),
            address(bars),
        ),
        *(len(logits), picked, top_k, always, len(radii), longest, temperature, shift),
    )
    return tokens[: int(count)].clone(), float(radius[0]), bars


def weigh(logits: Tensor, wild: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return what probabilities are made of.

    Args:
        logits: [n, vocabulary].
        wild: logits of the wild type, [vocabulary], to compare with.

    Returns:
        Of every row, in float64 [n]: the largest logit; the sum of exp(logit - largest); and the sum of exp(wild -
        largest of wild) * (logit - wild), 0 without ``wild``.
    """
    logits = logits.contiguous()
    largest = torch.empty(len(logits))
    sums, changes = (
        torch.empty(len(logits), dtype=torch.float64),
        torch.zeros(len(logits), dtype=torch.float64),
    )
    top = 0.0 if wild is None else float(wild.max())
    library().weigh_logits(
        *(
            address(logits),
            address(wild),
            top,
            address(largest),
            address(sums),
            address(changes),
            *logits.shape,
        )
    )
    return largest.double(), sums, changes
