"""Attention against spec.py, bit for bit."""

import numpy as np
import pytest
import spec
import torch
from arrays import SEEDS, assert_same, draw, few, tensor, tensors
from hypothesis import given
from hypothesis import strategies as st

from mutascope.numerics import cpu


def attend(qkv, heads, rotary, positions, known, half):
    """Return what attention gives, and what it remembers, by the specification: row by row, token by token.

    Args:
        known: of every row, keys and values [groups, width] by position; grows.
    """
    width, group = heads.head_dim, heads.n_kv_heads * heads.head_dim
    out = np.empty((len(qkv), heads.n_heads * width), np.float32)
    for index, x in enumerate(qkv):
        row, step = divmod(index, positions.shape[1])
        place = positions[row % len(positions), step]
        q, k, v = (some.reshape(-1, width) for some in np.split(x, [len(x) - 2 * group, len(x) - group]))
        if rotary:
            q, k = (spec.rotate(some, *(table[place] for table in rotary), half=half) for some in (q, k))
        known[row][place] = k, v
        seen = [known[row][place] for place in range(max(0, place - heads.window + 1), place + 1)]
        keys, values = (np.stack(some, 1) for some in zip(*seen, strict=True))
        each = heads.n_heads // heads.n_kv_heads
        for g in range(heads.n_kv_heads):
            own = slice(g * each, (g + 1) * each)
            seen_by = spec.attend(q[own], keys[g], values[g], heads.scale, heads.cap, half)
            out[index, own.start * width : own.stop * width] = seen_by.reshape(-1)
    return out


def room(rows, heads, positions, dtype=torch.float32):
    """Return a cache full of NaN, which no result may show."""
    sizes = {"positions": positions, "head_dim": heads.head_dim}
    return cpu.new_cache(2, rows, heads.n_kv_heads, **sizes, like=torch.empty(0, dtype=dtype)).fill_(np.nan)


def circle(positions, turned, half):
    """Return cosines and sines by position, of features of both halves."""
    frequencies = 1 / 100 ** np.arange(0, 1, 2 / turned)[: turned // 2]
    angles = np.arange(positions)[:, None] * frequencies
    return tuple(spec.bf(np.tile(f(angles), 2).astype(np.float32), half) for f in (np.cos, np.sin))


@given(
    seed=SEEDS,
    rows=st.integers(1, 3),
    groups=st.integers(1, 3),
    each=st.integers(1, 3),
    width=st.sampled_from([2, 6, 16, 18, 32, 34, 80]),
    turned=st.sampled_from([0.0, 0.25, 1.0]),
    chunks=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    before=st.sampled_from([0, 1, 15, 16, 30, 47]),
    apart=st.booleans(),
    window=st.sampled_from([1, 2, 7, 16, 33, 1000]),
    cap=st.sampled_from([0.0, 0.0, 0.5, 30.0]),
    kind=st.sampled_from(["plain", "plain", "spiced", "tiny"]),
    halves=st.sampled_from([(False, torch.float32), (True, torch.float32), (True, torch.bfloat16)]),
)
@few(max_examples=100)
def test_attention(seed, rows, groups, each, width, turned, chunks, before, apart, window, cap, kind, halves):
    """Rows of different lengths, fed in chunks, after some positions that only leave keys and values."""
    half, kept = halves
    heads = cpu.Heads(groups * each, groups, width, width**-0.5, window, cap)
    starts = before + (np.arange(rows)[:, None] * 3 if apart else np.zeros((1, 1), int))
    total = int(starts.max()) + sum(chunks)
    turned = int(width * turned) // 2 * 2
    rotary = circle(total, turned, half) if turned else None
    given_rotary = tuple(tensors(*rotary)) if rotary else None
    cache, known = room(rows, heads, total, kept), [{} for _ in range(rows)]
    everything = heads.n_heads + 2 * groups

    def feed(steps, positions, read):
        x = draw((seed, *positions[:, 0]), rows * steps, everything * width, kind=kind, half=half)
        expected = attend(x, heads, rotary, positions, known, half)
        own = x if read else x[:, heads.n_heads * width :].copy()
        out = cpu.attend(
            tensor(own), heads, cache, given_rotary, tensor(positions), rows, read=read, half=half
        )
        if read:
            assert_same(out, expected)

    if starts.max():  # every row's past; what is beyond it is overwritten before it is seen
        feed(int(starts.max()), np.arange(starts.max())[None], read=False)
    for steps in chunks:
        feed(steps, starts + np.arange(steps), read=True)
        starts = starts + steps


@pytest.mark.parametrize("window", [5, 1000])
@pytest.mark.parametrize("chunk", [1, 2, 16, 37])
def test_attention_fed_in_chunks_of_any_size_is_the_same(chunk, window):
    heads, steps = cpu.Heads(4, 2, 24, 0.2, window, 0.0), 37
    x = draw(0, steps, 8 * 24)

    def run(chunk):
        cache = room(1, heads, steps)
        places = torch.arange(steps)
        out = []
        for start in range(0, steps, chunk):
            part, own = tensor(x[start : start + chunk].copy()), places[start : start + chunk][None]
            out.append(cpu.attend(part, heads, cache, None, own, 1))
        return torch.cat(out)

    assert_same(run(chunk), run(steps))


def test_attention_without_queries_leaves_the_same_keys_and_values():
    heads = cpu.Heads(4, 2, 16, 0.25, 1000, 0.0)
    rotary = tuple(tensors(*circle(9, 16, False)))
    x = draw(0, 9, 8 * 16)
    caches = [room(1, heads, 9) for _ in range(2)]
    for cache, own, read in zip(caches, (x.copy(), x[:, 64:].copy()), (True, False), strict=True):
        cpu.attend(tensor(own), heads, cache, rotary, torch.arange(9)[None], 1, read=read)
    last = [
        cpu.attend(tensor(x[-1:].copy()), heads, cache, rotary, torch.tensor([[8]]), 1) for cache in caches
    ]
    assert_same(*last)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_attention_to_a_strange_key_or_value(strange):
    """A NaN score makes everything NaN, a score of -inf counts for nothing, and a strange value is in its feature."""
    heads = cpu.Heads(1, 1, 2, 1.0, 1000, 0.0)
    for feature in range(2, 6):
        x = np.abs(draw(1, 20, 6))
        x[7, feature] = strange
        out = cpu.attend(tensor(x.copy()), heads, room(1, heads, 20), None, torch.arange(20)[None], 1)
        assert_same(out, attend(x, heads, None, np.arange(20)[None], [{}], False))
