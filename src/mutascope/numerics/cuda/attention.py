# pyright: reportMissingImports=false
"""Rotary embedding, the cache of keys and values, and attention.

A query adds up its keys in blocks of a fixed size from position 0 on (within a window, from the first block that it
sees), whatever else is in the pass: a block in which it sees nothing leaves its sums as they are, bit for bit. Where a
sum of a head is not finite, all that the head puts out is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache as kept

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from mutascope.numerics.cpu import SUMS, Heads
from mutascope.numerics.cuda.elementwise import hyperbolic
from mutascope.numerics.cuda.launch import (
    INTERPRETED,
    Launcher,
    aligned,
    ceil_div,
    is_aligned,
    operand,
    power_of_two,
    rounded,
)
from mutascope.numerics.cuda.truth import Truth, truth_of

_TURNED = 16
"""Heads of a token that are rotated at a time."""
_NARROWEST = 16
"""Features that a product of blocks has at least."""


def new_cache(*shape: int, positions: int, head_dim: int, like: Tensor) -> Tensor:
    """Return room for keys and values, [*shape, positions, head_dim], positions rounded up to whole blocks of 16, on
    the device and in the dtype of ``like``.
    """
    return like.new_empty(*shape, -(-positions // SUMS) * SUMS, head_dim)


def copy_rows(copies: Iterable[tuple[Tensor, Sequence[int], Sequence[int]]], positions: int) -> None:
    """Copy the first positions of rows of caches, with one copy of their numbers to the card.

    The arguments are those of :func:`mutascope.numerics.cpu.copy_rows`.
    """
    caches, *rows = zip(*copies, strict=True)
    numbers = torch.from_numpy(np.stack([np.concatenate(some) for some in rows])).to(caches[0].device)
    for cache, place in zip(caches, numbers.split([*map(len, rows[0])], dim=1), strict=True):
        some, axis = cache[..., :positions, :], cache.ndim - 4
        some.index_copy_(axis, place[1], some.index_select(axis, place[0]))


def put_rows(cache: Tensor, first: int, rows: Sequence[Tensor]) -> None:
    """Write keys and values [2, n_kv_heads, positions, head_dim] into rows of a cache from the first on."""
    known = torch.stack(list(rows), dim=1)
    cache[:, first : first + len(rows), :, : known.shape[3]] = known


def attend(
    qkv: Tensor,
    heads: Heads,
    cache: Tensor,
    rotary: tuple[Tensor, Tensor] | None,
    positions: Tensor,
    rows: int,
    *,
    read: bool = True,
    half: bool = False,
) -> Tensor | None:
    """Rotate queries and keys, remember keys and values, and return what every query sees.

    The arguments are those of :func:`mutascope.numerics.cpu.attend`; the cache is in plain order.
    """
    steps, features = positions.shape[1], qkv.shape[1]
    own = features - 2 * heads.n_kv_heads * heads.head_dim
    place = (0 if len(positions) == 1 else steps, steps)
    _remember(qkv, own, heads, cache, rotary, positions, place)
    if not read:
        return None
    keys, values = cache.unbind(0)
    return _see(qkv, own, heads, (keys, values), positions, place, rows)


def attend_alone(
    q: Tensor, keys: Tensor, values: Tensor, heads: Heads, *, first: int = 0, half: bool = False
) -> Tensor:
    """Return what the last tokens of one text see, of keys and values that lie as transformers keeps them.

    The arguments and the result are those of :func:`mutascope.numerics.cpu.attend_alone`.
    """
    (n_heads, tokens, width), count = q.shape, keys.shape[1]
    places = torch.arange(first + count - tokens, first + count, device=q.device)[None]
    fed = q.transpose(0, 1).reshape(tokens, n_heads * width)
    known = (aligned(keys), aligned(values))
    seen = _see(fed, n_heads * width, heads, known, places, (0, tokens), 1, first)
    return seen.view(tokens, n_heads, width)


def _see(
    q: Tensor,
    own: int,
    heads: Heads,
    known: tuple[Tensor, Tensor],
    positions: Tensor,
    place: tuple[int, int],
    rows: int,
    origin: int = 0,
) -> Tensor:
    """Return what queries see, the first ``own`` features of every token, of keys and values
    [..., n_kv_heads, positions, head_dim] each, dense, from the position ``origin`` on.
    """
    truth = truth_of(q.dtype, q.device)
    assert truth is not None
    out, group = q.new_empty(q.shape[0], own), heads.n_heads // heads.n_kv_heads
    sizes = (heads.n_heads, heads.n_kv_heads, heads.head_dim)
    launcher = _attending(sizes, heads.cap > 0, q.shape[1], own, place[1] == 1, truth)
    blocks = ceil_div(place[1] * group, truth.queries)
    launcher(
        (rows * blocks, heads.n_kv_heads, 1),
        (*map(is_aligned, (q, *known, positions)), heads.window >= 2**31),
        *(q, *known, out, positions, *place, known[0].shape[-2], origin),
        *(heads.window, float(heads.scale), float(heads.cap)),
    )
    return out


@kept
def _attending(
    sizes: tuple[int, int, int], capped: bool, features: int, own: int, alone: bool, truth: Truth
) -> Launcher:
    n_heads, n_kv_heads, head_dim = sizes
    return Launcher(
        _attend,
        **{"features": features, "own": own, "kv_heads": n_kv_heads, "head_dim": head_dim},
        **{"GROUP": n_heads // n_kv_heads, "CAPPED": capped, "ALONE": alone},
        **{"QUERIES": truth.queries, "KEYS": truth.keys, "PRECISION": truth.precision},
        **{"WIDTH": max(_NARROWEST, power_of_two(head_dim))},
        **{"num_warps": truth.attention_warps, "num_stages": truth.attention_stages},
    )


def _remember(
    qkv: Tensor,
    own: int,
    heads: Heads,
    cache: Tensor,
    rotary: tuple[Tensor, Tensor] | None,
    positions: Tensor,
    place: tuple[int, int],
) -> None:
    """Rotate queries where they lie, and write rotated keys, and values, into the cache."""
    cos, sin = rotary if rotary else (None, None)
    keys, values = cache.unbind(0)
    turned = 0 if cos is None else cos.shape[1]
    queries = own // heads.head_dim
    _rotating(queries, heads.n_kv_heads, heads.head_dim, turned)(
        (qkv.shape[0], ceil_div(queries + 2 * heads.n_kv_heads, _TURNED), 1),
        (qkv.dtype, is_aligned(qkv), is_aligned(keys), is_aligned(values), is_aligned(positions)),
        *(qkv, keys, values, cos, sin, positions, *place, cache.shape[-2]),
    )


@kept
def _rotating(queries: int, n_kv: int, head_dim: int, turned: int) -> Launcher:
    return Launcher(
        _rotate,
        **{"queries": queries, "kv_heads": n_kv, "head_dim": head_dim},
        **{"features": (queries + 2 * n_kv) * head_dim, "turned": turned, "HEADS": _TURNED},
        **{"WIDTH": power_of_two(head_dim), "num_warps": 4},
    )


@triton.jit(do_not_specialize=["row_places", "steps", "room"])
def _rotate(
    qkv,
    keys,
    values,
    cos,
    sin,
    positions,
    row_places,
    steps,
    room,
    queries: tl.constexpr,
    kv_heads: tl.constexpr,
    head_dim: tl.constexpr,
    features: tl.constexpr,
    turned: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    row, step = token // steps, token % steps
    position = tl.load(positions + row * row_places + step)
    head, feature = tl.program_id(1) * HEADS + tl.arange(0, HEADS)[:, None], tl.arange(0, WIDTH)[None, :]
    there = (head < queries + 2 * kv_heads) & (feature < head_dim)
    at = qkv + token * features + head * head_dim
    value = tl.load(at + feature, mask=there, other=0.0)
    if turned > 0:
        turns = (feature < turned) & (head < queries + kv_heads)
        lower = feature < turned // 2
        partner = tl.where(lower, feature + turned // 2, feature - turned // 2)
        other = tl.load(at + partner, mask=turns, other=0.0).to(tl.float32)
        c = tl.load(cos + position * turned + feature, mask=feature < turned, other=1.0)
        s = tl.load(sin + position * turned + feature, mask=feature < turned, other=0.0)
        # a network in bfloat16 rounds both products, and their sum
        one = rounded(value.to(tl.float32) * c, qkv).to(tl.float32)
        two = rounded(tl.where(lower, -other, other) * s, qkv).to(tl.float32)
        value = tl.where(turns, rounded(one + two, qkv), value)
        tl.debug_barrier()  # all of a head is read before any of it is written
    tl.store(at + feature, value, mask=there & (head < queries))
    to = ((row * kv_heads + (head - queries) % kv_heads) * room + position) * head_dim + feature
    first_value = queries + kv_heads
    tl.store(keys + to, value, mask=there & (head >= queries) & (head < first_value))
    tl.store(values + to, value, mask=there & (head >= first_value))


@triton.jit
def _block(
    start,
    top,
    z,
    total,
    spoilt,
    q,
    position,
    valid,
    keys,
    values,
    origin,
    first,
    stop,
    window,
    scale,
    cap,
    head_dim: tl.constexpr,
    CAPPED: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    PRECISION: tl.constexpr,
    CAREFUL: tl.constexpr,
):
    """Add a block of keys to the sums of queries: their largest score, weights, weighted values, and, with care,
    whether a value that they see is not finite.
    """
    key, feature = start + tl.arange(0, KEYS), tl.arange(0, WIDTH)
    there = ((key >= origin) & (key >= first) & (key < stop))[:, None] & (feature < head_dim)[None, :]
    at = (key - origin).to(tl.int64)[:, None] * head_dim + feature[None, :]
    k = tl.load(keys + at, mask=there, other=0.0)
    v = tl.load(values + at, mask=there, other=0.0)
    seen = (key[:, None] <= position[None, :]) & (key[:, None] > position[None, :] - window) & valid[None, :]
    scores = tl.dot(operand(k), operand(q), input_precision=PRECISION) * scale
    if CAPPED:
        scores = hyperbolic(tl.div_rn(scores, cap)) * cap
    scores = tl.where(seen, scores, float("-inf"))
    above = tl.maximum(top, tl.max(scores, 0))
    level = tl.where(above == float("-inf"), 0.0, above)
    weights = tl.exp(scores - level[None, :])
    shrink = tl.exp(top - level)
    if CAREFUL:
        # a float that is nearly infinite is so once it is rounded to the bits that tensor cores take
        finite = tl.abs(v.to(tl.float32)) < (3.4026e38 if PRECISION == "tf32x3" else float("inf"))
        strange = tl.max(tl.where(finite, 0.0, 1.0), 1)
        spoilt = tl.maximum(spoilt, tl.max(tl.where(seen, strange[:, None], 0.0), 0))
        v = tl.where(finite, v, 0.0).to(values.dtype.element_ty)
    z = z * shrink + tl.sum(weights, 0)
    total = total * shrink[None, :]
    total = tl.dot(operand(tl.trans(v)), operand(rounded(weights, values)), total, input_precision=PRECISION)
    return above, z, total, spoilt


@triton.jit
def _sums(
    start,
    q,
    position,
    valid,
    keys,
    values,
    origin,
    first,
    stop,
    window,
    scale,
    cap,
    head_dim: tl.constexpr,
    CAPPED: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    PRECISION: tl.constexpr,
    CAREFUL: tl.constexpr,
):
    """Return the sums of queries over all of their keys: weights, weighted values, and :func:`_block`'s last."""
    top = tl.full([QUERIES], float("-inf"), tl.float32)
    z, spoilt = tl.zeros([QUERIES], tl.float32), tl.zeros([QUERIES], tl.float32)
    total = tl.zeros([WIDTH, QUERIES], tl.float32)
    if INTERPRETED:
        while start < stop:  # the interpreter has no loops over what is not constant
            top, z, total, spoilt = _block(
                start, top, z, total, spoilt, q, position, valid, keys, values, origin, first, stop, window,
                scale, cap, head_dim, CAPPED, KEYS, WIDTH, PRECISION, CAREFUL,
            )  # fmt: skip
            start += KEYS
    else:
        for begin in range(start, stop, KEYS):
            top, z, total, spoilt = _block(
                begin, top, z, total, spoilt, q, position, valid, keys, values, origin, first, stop, window,
                scale, cap, head_dim, CAPPED, KEYS, WIDTH, PRECISION, CAREFUL,
            )  # fmt: skip
    return z, total, spoilt


@triton.jit
def _strange(total):
    """Return which columns have a number that is not finite, as 1 and 0."""
    return tl.max(tl.where(tl.abs(total) < float("inf"), 0.0, 1.0), 0)


@triton.jit(do_not_specialize=["row_places", "steps", "room", "origin", "window", "scale", "cap"])
def _attend(
    qkv,
    keys,
    values,
    out,
    positions,
    row_places,
    steps,
    room,
    origin,
    window,
    scale,
    cap,
    features: tl.constexpr,
    own: tl.constexpr,
    kv_heads: tl.constexpr,
    head_dim: tl.constexpr,
    GROUP: tl.constexpr,
    CAPPED: tl.constexpr,
    ALONE: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    PRECISION: tl.constexpr,
):
    blocks = tl.cdiv(steps * GROUP, QUERIES)
    row, kv_head = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(1)
    index = tl.program_id(0) % blocks * QUERIES + tl.arange(0, QUERIES)
    step, head = index // GROUP, kv_head * GROUP + index % GROUP
    valid = step < steps
    position = tl.load(positions + row * row_places + step, mask=valid, other=0)
    feature = tl.arange(0, WIDTH)[:, None]
    there = valid[None, :] & (feature < head_dim)
    token = row * steps + step
    q = tl.load(qkv + token[None, :] * features + head[None, :] * head_dim + feature, mask=there, other=0.0)
    keys += (row * kv_heads + kv_head) * room * head_dim
    values += (row * kv_heads + kv_head) * room * head_dim
    stop = tl.max(position) + 1
    first = tl.min(tl.where(valid, position, stop)) - window + 1
    start = tl.maximum(first, 0) // KEYS * KEYS
    z, total, spoilt = _sums(
        start, q, position, valid, keys, values, origin, first, stop, window, scale, cap, head_dim, CAPPED, QUERIES,
        KEYS, WIDTH, PRECISION, False,
    )  # fmt: skip
    if not ALONE:  # noqa: SIM102 - a constant leaves code out where it stands alone
        # what one query does not see, and another does, may be anything, and 0 times inf spoils a sum
        if tl.max(_strange(total), 0) > 0:
            z, total, spoilt = _sums(
                start, q, position, valid, keys, values, origin, first, stop, window, scale, cap, head_dim, CAPPED,
                QUERIES, KEYS, WIDTH, PRECISION, True,
            )  # fmt: skip
    spoilt = tl.maximum(spoilt, _strange(total))
    made = tl.div_rn(total, z[None, :]) + 0.0  # a zero is +0, however many blocks were not seen
    made = tl.where(spoilt[None, :] > 0, float("nan"), made)
    to = out + token[None, :] * own + head[None, :] * head_dim + feature
    tl.store(to, rounded(made, out), mask=there)
