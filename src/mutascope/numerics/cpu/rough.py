"""Sampling from the few tokens that a state can sample, which products of whole numbers tell.

Rows w of the head and states x are scaled to one length, M, and rounded to 16 bits. Then the product of two of them,
which is exact, is w·x M^2 / (|w| |x|), but for an error that is the same for all: docs/reference/head.md has the proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mutascope.numerics.cpu.functions import log
from mutascope.numerics.cpu.library import SUMS, address, library

_BYTES = 2**20
"""Of scratch memory while rows are packed: it stays in a core's cache."""
_UNIT = 2.0**-24
_MODEST = 2.0**50
"""Lengths between its inverse and this neither overflow nor underflow in products."""


@dataclass(frozen=True)
class Rough:
    """The rows of an output head in whole numbers.

    Attributes:
        panels: 32 rows each, two inputs side by side, int16.
        norms: lengths of the rows, float32 [vocabulary].
        length: that rows and states are scaled to.
        head: the rows as they are, float32 [vocabulary, hidden], dense.
        room: for the products of some states, int32 [states, vocabulary or more].
    """

    panels: Tensor
    norms: Tensor
    length: float
    head: Tensor
    room: Tensor


def is_quick(*, half: bool) -> bool:
    """Whether this processor multiplies whole numbers faster than floats, or with ``half`` than bfloat16."""
    lib = library()
    return lib.panel == 2 * SUMS and not (half and lib.multiplies_words)


def rough(head: Tensor, states: int) -> Rough | None:
    """Return the rows of an output head [vocabulary, hidden] in whole numbers, with room for some states at a time.

    None where the length of a row is extreme, or not finite.
    """
    vocabulary, ins = head.shape
    length = 2**15 - 1 - math.sqrt(ins)
    wide, pairs = 2 * SUMS, -(-ins // 2)
    panels, norms = torch.zeros(-(-vocabulary // wide), pairs, wide, 2, dtype=torch.int16), []
    step = wide * max(1, _BYTES // (8 * wide * ins))
    for first in range(0, vocabulary, step):
        whole, sizes = _whole(head[first : first + step], length)
        whole = torch.nn.functional.pad(whole, (0, 0, 0, -len(whole) % wide))
        laid = whole.view(-1, wide, pairs, 2).transpose(1, 2)
        panels[first // wide : first // wide + len(laid)] = laid
        norms.append(sizes)
    sizes = torch.cat(norms)
    modest = (sizes == 0) | ((sizes > 1 / _MODEST) & (sizes < _MODEST))
    if not modest.all():
        return None
    # the products of states do not lie a multiple of a page apart
    room = torch.empty(states, wide * (len(panels) + 1), dtype=torch.int32)
    return Rough(panels, sizes.float(), length, head, room)


def sample_rough(
    states: Tensor,
    rows: Rough,
    *,
    noise: Tensor | None,
    steps: Tensor,
    top_k: int,
    longest: int,
    temperature: float,
    top_p: float,
    min_p: float,
    half: bool,
) -> tuple[Tensor, int]:
    """Return what states sample, and how many logits were computed for that.

    Args:
        states: [n, hidden], float32, as many as there is room for.
        rows: of the head, which adds nothing to its products.
        noise, steps, temperature, top_p, min_p: as in :func:`mutascope.numerics.cpu.sample`.
        top_k: the k largest logits stay, and ties of the last; without ``noise`` it is 1.
        longest: number of candidates from which on all logits are as quick.
        half: whether logits are rounded to bfloat16.

    Returns:
        The tokens, int64 [n]; -2 where all logits must be looked at.
    """
    states = states.contiguous()
    (count, ins), vocabulary = states.shape, len(rows.norms)
    whole, sizes = _whole(states, rows.length)
    tokens, counts = torch.empty(2, count, dtype=torch.int64)
    low = float("-inf") if min_p <= 0 else float(log(torch.tensor([min_p], dtype=torch.float64)))
    library().sample_rough(
        *(address(each) for each in (whole, rows.panels, rows.norms, states, rows.head)),
        *(address(each) for each in (noise, steps, tokens, counts, rows.room)),
        *(count, ins, rows.panels.shape[1], vocabulary, rows.room.shape[1], top_k, longest),
        *(1 / rows.length**2, error_of(ins, rows.length, half=half), temperature, low, top_p, half),
    )
    extreme = ~((sizes > 1 / _MODEST) & (sizes < _MODEST))
    tokens[extreme] = -2
    return tokens, int(counts.sum())


def error_of(ins: int, length: float, *, half: bool) -> float:
    """Return a bound of what a logit is off a rough one, in units of |row| |state| (docs/reference/head.md)."""
    rounding = math.sqrt(ins) / (2 * length)
    chain = (192 + ins // 192 + 64) * _UNIT + (1.02 * 2.0**-8 if half else 0.0)
    return rounding * (2 + rounding) + chain


def _whole(x: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """Return vectors [n, width] scaled to a length and rounded, int16 [n, even width], and what their lengths were."""
    x = x.double()
    sizes = x.norm(dim=-1)
    whole = (x * (length / sizes)[:, None]).round().nan_to_num(0.0).to(torch.int16)
    return torch.nn.functional.pad(whole, (0, x.shape[1] % 2)), sizes
