"""Rotary embedding, the cache of keys and values, and attention."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mutascope.numerics.cpu.library import SUMS, address, library


def new_cache(*shape: int, positions: int, head_dim: int, like: Tensor | None = None) -> Tensor:
    """Return room for keys and values, [*shape, positions, head_dim], both rounded up to what :func:`attend` asks; in
    bfloat16 where ``like`` is, else in float32.
    """
    half = like is not None and like.dtype == torch.bfloat16
    positions, head_dim = -(-positions // (2 * SUMS)) * 2 * SUMS, -(-head_dim // SUMS) * SUMS
    return torch.empty(*shape, positions, head_dim, dtype=torch.bfloat16 if half else torch.float32)


@dataclass(frozen=True)
class Heads:
    """Attention of a layer.

    Attributes:
        n_heads, n_kv_heads: query heads, and heads of keys and values.
        head_dim: features of a head.
        scale: of the scores.
        window: positions that a token looks back at, itself included.
        cap: soft-cap of the scores; 0 is none.
    """

    n_heads: int
    n_kv_heads: int
    head_dim: int
    scale: float
    window: int
    cap: float = 0.0


def copy_rows(copies: Iterable[tuple[Tensor, Sequence[int], Sequence[int]]], positions: int) -> None:
    """Copy the first positions of rows of caches, one after the other.

    Args:
        copies: keys and values [..., rows, n_kv_heads, positions, head_dim], the rows that are copied and those that
            they are copied to, none of which is copied later.
        positions: whole multiples of 16.
    """
    for cache, sources, targets in copies:
        for source, target in zip(sources, targets, strict=True):
            cache[..., target, :, :positions, :] = cache[..., source, :, :positions, :]


def put_rows(cache: Tensor, first: int, rows: Sequence[Tensor]) -> None:
    """Write keys and values [2, n_kv_heads, positions, head_dim] into rows of a cache from the first on."""
    for target, row in enumerate(rows, first):
        cache[:, target, :, : row.shape[2]] = row


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

    Args:
        qkv: [rows * steps, (n_heads + 2 n_kv_heads) * head_dim], dense; changed. Without ``read``, there need not be
            queries.
        heads: their numbers.
        cache: keys and values of the rows, [2, rows or more, n_kv_heads, positions, head_dim] of :func:`new_cache`,
            dense in the last two axes. It is in an order of its own: copy whole multiples of 16 positions. In
            bfloat16, it is for keys and values that are.
        rotary: cosines and sines by position, [positions, turned features]; None: nothing is rotated.
        positions: int64, of the tokens of a pass, [rows, steps], or [1, steps] where all rows are fed the same. They
            rise along a row; the last may be repeated.
        rows: of the pass.
        read: whether what queries see is wanted.
        half: round to bfloat16.

    Returns:
        [rows * steps, n_heads * head_dim], None without ``read``.
    """
    steps, row, keys_row = positions.shape[1], qkv.shape[1], heads.n_kv_heads * heads.head_dim
    own = row - 2 * keys_row
    out = qkv.new_empty(len(qkv), own) if read else None
    cos, sin = rotary if rotary else (None, None)
    q = qkv.data_ptr()
    keys, values = cache
    library().attend(
        *(
            q,
            q + 4 * own,
            q + 4 * (own + keys_row),
            address(keys),
            address(values),
            address(out),
            address(cos),
            address(sin),
        ),
        *(address(positions), steps if len(positions) > 1 else 0, rows, steps),
        *(heads.n_heads, heads.n_kv_heads, heads.head_dim, 0 if cos is None else cos.shape[1], row),
        *(keys.stride(0), keys.stride(1), heads.window, heads.scale, heads.cap, half),
        cache.dtype == torch.bfloat16,
    )
    return out


def attend_alone(
    q: Tensor, keys: Tensor, values: Tensor, heads: Heads, *, first: int = 0, half: bool = False
) -> Tensor:
    """Return what the last tokens of one text see, of keys and values that lie as transformers keeps them.

    Args:
        q: of the last tokens, rotated, [n_heads, tokens, head_dim].
        keys, values: of all, [n_kv_heads, positions, head_dim].
        heads: their numbers.
        first: position of the first key, where a window has left some behind; the sums here begin with the first key
            that is seen, wherever it stands.
        half: round to bfloat16.

    Returns:
        [tokens, n_heads, head_dim].
    """
    (groups, count, width), (_, tokens, _) = keys.shape, q.shape
    each, places, lib = len(q) // groups, torch.arange(count), library()
    # a head of keys and values is a row here, with the heads that see it
    q = q.view(groups, each, tokens, width).transpose(1, 2).contiguous()
    seats, seen = new_cache(2, groups, positions=count, head_dim=width)
    out = torch.empty_like(q)
    room = (address(seats), address(seen))
    numbers = (seats.stride(0), 0, heads.window, heads.scale, heads.cap, half, False)
    keys_values = (address(keys), address(values))
    lib.attend(
        *(None, *keys_values, *room, None, None, None),
        *(address(places), 0, groups, count, each, 1, width, 0, width, *numbers),
    )
    lib.attend(
        *(address(q), None, None, *room, address(out), None, None),
        *(address(places[count - tokens :]), 0, groups, tokens, each, 1, width, 0, each * width, *numbers),
    )
    return out.transpose(0, 1).reshape(tokens, len(q) * each, width)
