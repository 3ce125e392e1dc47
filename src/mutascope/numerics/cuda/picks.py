# pyright: reportMissingImports=false
"""The tokens that rows of logits pick, where what the filters leave is soon found (docs/numerics.md, Sampling)."""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from mutascope.numerics.cuda.launch import Launcher, is_aligned
from mutascope.numerics.sampling import UNKNOWN

_TRIES = 4
"""Tokens with the largest sums that are looked at: nearly always the first is among the top k."""
_BLOCK = 2048


def pick(logits: Tensor, noise: Tensor | None, steps: Tensor, top_k: int, temperature: float) -> Tensor:
    """Return the token that every row picks, int64 [n]; -1 where a logit is NaN or +inf, and
    :data:`mutascope.numerics.sampling.UNKNOWN` where it is not among those looked at.

    Args:
        logits: float32 [n, vocabulary], dense.
        noise: float32 [steps, vocabulary]; None takes the largest logit.
        steps: int64 [n], row of the noise.
        top_k: tokens with larger logits that a picked one may have, and one more.
        temperature: that logits are divided by.
    """
    tokens = torch.empty(len(logits), dtype=torch.int64, device=logits.device)
    noisy = None if noise is None else is_aligned(noise)
    _picking(logits.shape[1])(
        (len(logits), 1, 1),
        (is_aligned(logits), noisy, is_aligned(steps)),
        *(logits, noise, steps, tokens, top_k, float(temperature)),
    )
    return tokens


@cache
def _picking(vocabulary: int) -> Launcher:
    return Launcher(_pick, vocabulary=vocabulary, TRIES=_TRIES, UNKNOWN=UNKNOWN, BLOCK=_BLOCK, num_warps=8)


@triton.jit
def _sums(logits, noise, column, temperature, vocabulary: tl.constexpr):
    """Return logits at columns, and what they are compared by."""
    value = tl.load(logits + column, mask=column < vocabulary, other=float("-inf"))
    if noise is None:
        total = value
    else:
        total = tl.div_rn(value, temperature) + tl.load(noise + column, mask=column < vocabulary, other=0.0)
    return value, total


@triton.jit(do_not_specialize=["top_k", "temperature"])
def _pick(
    logits,
    noise,
    steps,
    tokens,
    top_k,
    temperature,
    vocabulary: tl.constexpr,
    TRIES: tl.constexpr,
    UNKNOWN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row, lane = tl.program_id(0).to(tl.int64), tl.arange(0, BLOCK)
    logits += row * vocabulary
    if noise is not None:
        noise += tl.load(steps + row) * vocabulary
    picked, last = tl.full([], UNKNOWN, tl.int64), tl.full([], float("inf"), tl.float32)
    at, tries = tl.full([], -1, tl.int32), tl.full([], 0, tl.int32)
    while (picked == UNKNOWN) & (tries < TRIES):
        # of each lane: the largest sum below the last one that was looked at, and the lowest token that has it
        best, token = tl.full([BLOCK], float("-inf"), tl.float32), tl.full([BLOCK], vocabulary, tl.int32)
        top, wild = tl.full([BLOCK], float("-inf"), tl.float32), tl.zeros([BLOCK], tl.int32)
        for first in range(0, vocabulary, BLOCK):
            column = first + lane
            value, total = _sums(logits, noise, column, temperature, vocabulary)
            left = (total < last) | ((total == last) & (column > at))
            better = left & (column < vocabulary) & ((total > best) | (token == vocabulary))
            best, token = tl.where(better, total, best), tl.where(better, column, token)
            top = tl.maximum(top, value)
            wild = tl.maximum(wild, tl.where(value <= 3.40282347e38, 0, 1))
        last = tl.max(best, 0)
        at = tl.min(tl.where(best == last, token, vocabulary), 0)
        most = tl.div_rn(tl.max(top, 0), temperature)  # which is 1 where there is no noise
        own = tl.load(logits + at, mask=at < vocabulary, other=float("inf"))
        larger = tl.zeros([BLOCK], tl.int32)
        for first in range(0, vocabulary, BLOCK):
            column = first + lane
            value = tl.load(logits + column, mask=column < vocabulary, other=float("-inf"))
            larger += tl.where(value > own, 1, 0)
        picked = tl.where((tl.sum(larger, 0) < top_k) & (at < vocabulary), at, UNKNOWN).to(tl.int64)
        sane = (tl.max(wild, 0) == 0) & (tl.abs(most) <= 3.40282347e38)
        picked = tl.where(sane, picked, -1)
        tries += 1
    tl.store(tokens + row, picked)
