"""Prints a digest of what every operation of mutascope's arithmetic gives on fixed inputs, as JSON.

A digest changes when a bit of a result does, and then the numerics need another name (NAMES of
mutascope.numerics.cpu). The digests that hold are kept beside this file:

    PYTHONPATH=tests python tests/numerics/digest.py > tests/numerics/digests.json
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from mutascope.numerics import cpu
from strips import strips_of

STRANGE = (0x7FC00000, 0x7F800000, 0xFF800000, 0, 0x80000000, 1, 0x807FFFFF, 0x00800000, 0x7F7FFFFF)
"""Bits of NaN, of both infinities and zeros, of numbers at the ends of the subnormal ones, of the largest."""
ACTS = ("silu", "gelu", "gelu_tanh")
BOTH = (False, True)


def words(seed: int, *shape: int) -> np.ndarray:
    """Return random 64-bit words, by NumPy's promise the same ones everywhere."""
    return np.random.PCG64(seed).random_raw(int(np.prod(shape))).reshape(shape)


def ordinary(seed: int, *shape: int, half: bool = False) -> Tensor:
    """Return numbers of either sign from 2^-5 to 8, made of integers; in bfloat16 with ``half``."""
    word = words(seed, *shape)
    bits = (word >> 63 << 31) | ((122 + (word >> 40) % 8) << 23) | (word & (0x7F0000 if half else 0x7FFFFF))
    return torch.from_numpy(bits.astype(np.uint32).view(np.float32))


def strange(seed: int, *shape: int, half: bool = False) -> Tensor:
    """Return ordinary rows, but for the first, where everything may stand, and the second, of subnormal numbers."""
    x = ordinary(seed, *shape, half=half).numpy().copy()
    bits = x.reshape(-1, shape[-1]).view(np.uint32)
    bits[0] &= 0xFFFF0000
    bits[0, :: len(STRANGE)] = np.resize(STRANGE, len(bits[0, :: len(STRANGE)])) & (
        0xFFFF0000 if half else ~0
    )
    bits[1] &= 0x807FFFFF
    return torch.from_numpy(x)


def anything(seed: int, count: int) -> Tensor:
    """Return random bits, and what they hardly ever are."""
    bits = (words(seed, count) >> 32).astype(np.uint32)
    return torch.from_numpy(np.concatenate((bits, np.array(STRANGE, np.uint32))).view(np.float32))


def hashed(results: Iterable[Tensor]) -> str:
    """Return a digest of results; every NaN is the same."""
    digest = hashlib.sha256()
    for result in results:
        array = result.contiguous().numpy()
        if result.is_floating_point():
            array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def linear() -> Iterable[Tensor]:
    for half in BOTH:
        for rows, ins, outs in ((1, 1, 1), (5, 193, 33), (99, 777, 70)):
            weight, bias = ordinary(1, outs, ins, half=half), ordinary(2, outs, half=half)
            x, residual = ordinary(3, rows, ins, half=half), ordinary(4, rows, outs, half=half)
            packed = cpu.pack(weight, bias)
            yield cpu.linear(x, packed, half=half)
            yield cpu.linear(x, packed, act="gelu_tanh", residual=residual, half=half)
        yield cpu.linear(strange(5, 9, ins, half=half), cpu.pack(weight), half=half)
        yield cpu.linear(x[:9], cpu.pack(strange(6, outs, ins, half=half)), half=half)


def linear_words() -> Iterable[Tensor]:
    for rows, ins, outs in ((1, 1, 1), (5, 193, 33), (99, 777, 70)):
        gate, up = ordinary(1, 2, outs, ins, half=True).bfloat16()
        x = ordinary(3, rows, ins, half=True)
        yield cpu.linear(x, cpu.pack(gate, ordinary(2, outs, half=True)), half=True)
        yield cpu.linear(x, cpu.pack_pair(gate, up), act="silu", half=True)
    x, odd = x[:9], strange(6, outs, ins, half=True).bfloat16()
    yield cpu.linear(strange(5, 9, ins, half=True), cpu.pack(gate))
    yield cpu.linear(x, cpu.pack(odd))
    for weight in (gate, odd):
        tiles = [(row, top, cpu.pack(up[:count])) for row, top, count in ((0, 0, 70), (2, 3, 17), (7, 69, 1))]
        yield cpu.linear(x, cpu.pack(weight), strips=strips_of(cpu, tiles), half=True)


def linear_strips() -> Iterable[Tensor]:
    for half in BOTH:
        weight, x = ordinary(1, 70, 300, half=half), ordinary(2, 24, 300, half=half)
        members = ((0, 0, 70), (2, 3, 17), (3, 69, 1), (7, 16, 33))
        tiles = [(row, top, cpu.pack(ordinary(row, count, 300, half=half))) for row, top, count in members]
        for steps in (1, 3):
            strips = strips_of(cpu, tiles)
            yield cpu.linear(x, cpu.pack(weight), strips=strips, steps=steps, half=half)


def linear_pair() -> Iterable[Tensor]:
    for half in BOTH:
        gate, up = ordinary(1, 2, 70, 300, half=half) / 16
        first, second = ordinary(2, 2, 70, half=half)
        for act in ACTS:
            for both in ((first, second), (None, None)):
                packed = cpu.pack_pair(gate, up, both)
                yield cpu.linear(strange(3, 13, 300, half=half), packed, act=act, half=half)


def norm() -> Iterable[Tensor]:
    for half in BOTH:
        for width in (1, 7, 16, 33, 577):
            x = strange(width, 9, width, half=half)
            weight, bias = ordinary(2, 2, width, half=half)
            for early in BOTH:
                yield cpu.norm(x, weight, None, 1e-6, early=early, half=half)
            yield cpu.norm(x, weight, bias, 1e-5, centred=True, half=half)
        x = ordinary(3, 9, 100, half=half)
        cpu.norm_heads(x, 20, 3, weight[:20], 1e-6, early=True, half=half)
        yield x


def activation() -> Iterable[Tensor]:
    for half in BOTH:
        for act in ACTS:
            yield cpu.activate(torch.cat((ordinary(1, 3000), anything(2, 3000))), act, half=half)


def attention() -> Iterable[Tensor]:
    return _attention(BOTH, torch.float32)


def narrow_attention() -> Iterable[Tensor]:
    return _attention((True,), torch.bfloat16)


def _attention(halves: Iterable[bool], kept: torch.dtype) -> Iterable[Tensor]:
    kinds = ((0, 1000, 0.0), (16, 1000, 30.0), (36, 7, 0.0), (36, 20, 2.0))
    for half in halves:
        for turned, window, cap in kinds:
            heads = cpu.Heads(6, 2, 36, 0.125, window, cap)
            rotary = None
            if turned:
                cos, sin = cpu.cos_sin(ordinary(1, 100, turned // 2).tile(2))
                rotary = (cos.bfloat16().float(), sin.bfloat16().float()) if half else (cos, sin)
            like = torch.empty(0, dtype=kept)
            cache = cpu.new_cache(2, 3, 2, positions=100, head_dim=36, like=like).fill_(torch.nan)
            before = ordinary(2, 3 * 47, 4 * 36, half=half)
            cpu.attend(before, heads, cache, rotary, torch.arange(47)[None], 3, read=False)
            starts = torch.tensor([[47], [31], [0]])
            for steps in (1, 19, 2):
                x = ordinary(steps, 3 * steps, 10 * 36, half=half)
                if steps == 2:
                    x[0, -40:] = torch.inf  # values
                    x[2, 300] = torch.nan  # a key
                    x[4] *= 2.0**-136
                x = x.to(kept).float()
                out = cpu.attend(x, heads, cache, rotary, starts + torch.arange(steps), 3, half=half)
                assert out is not None
                yield out
                starts = starts + steps


def tanh() -> Iterable[Tensor]:
    yield cpu.tanh(torch.cat((ordinary(1, 3000), anything(2, 3000))))


def cos_sin() -> Iterable[Tensor]:
    yield from cpu.cos_sin(torch.cat((ordinary(1, 2000), ordinary(2, 2000) * 2.0**13)))


def power() -> Iterable[Tensor]:
    exponents = torch.arange(64) / 64
    for base in (10000.0, 500000.0, 1.5):
        yield cpu.power(base, exponents)


def log() -> Iterable[Tensor]:
    bits = (words(1, 3000) >> 1) % (2046 << 52) + (1 << 52)  # normal numbers above 0
    yield cpu.log(
        torch.from_numpy(np.concatenate((bits, words(2, 999) % 2**40 + (1023 << 52))).view(np.float64))
    )


def exp() -> Iterable[Tensor]:
    yield cpu.exp(-torch.from_numpy((words(1, 4000) >> 11) % 2**50 / 2.0**40))
    yield cpu.exp(torch.tensor([0.0, -0.0, -700, -torch.inf, torch.nan, -1e-300], dtype=torch.float64))


def gumbel() -> Iterable[Tensor]:
    yield cpu.gumbel(torch.from_numpy(words(1, 3000).view(np.int64)))
    yield cpu.gumbel(torch.tensor([0, 1, 2**53 - 1, 2**53, -1]))


def sample() -> Iterable[Tensor]:
    noise = cpu.gumbel(torch.from_numpy(words(1, 3, 2000).view(np.int64)))
    filters = ((2000, 1.0, 0.0), (50, 1.0, 0.0), (2000, 0.9, 0.0), (2000, 1.0, 0.05), (30, 0.95, 0.02))
    for half in BOTH:  # bfloat16 brings ties
        logits = ordinary(2, 60, 2000, half=half)
        logits[3, 77], logits[4, 1999], logits[5, ::3] = torch.nan, torch.inf, -torch.inf
        steps, ids = torch.arange(60) % 3, torch.arange(0, 2000, 2)
        common = {"steps": steps, "vocabulary": 2000}
        for top_k, top_p, min_p in filters:
            fields = {"top_k": top_k, "top_p": top_p, "min_p": min_p, "temperature": 0.7}
            yield cpu.sample(logits, noise=noise, ids=None, **common, **fields)
            yield cpu.sample(logits[:, ::2], noise=noise, ids=ids, **common, **fields)
        fields = {"top_k": 2000, "top_p": 1.0, "min_p": 0.0, "temperature": 1.0}
        yield cpu.sample(logits, noise=None, ids=None, **common, **fields)


def shortlist() -> Iterable[Tensor]:
    """Yield what no record depends on: this digest may change while the numerics keep their name."""
    logits, norms = ordinary(1, 2001), ordinary(2, 2001).abs()
    noise = cpu.gumbel(torch.from_numpy(words(3, 2001).view(np.int64)))
    radii = {"radii": (3.0, 1.0, 0.5, 0.01), "longest": 150}
    for top_k, some in ((2001, noise), (50, noise), (2001, None)):
        for half in BOTH:
            each = logits.bfloat16().float() if half else logits
            picked = int(each.argmax() if some is None else (each / 0.7 + some).argmax())
            fields = {"top_k": top_k, "always": 20, "temperature": 0.7, "shift": 0.3}
            tokens, radius, bars = cpu.shortlist(each, norms, some, picked, **fields, **radii)
            yield from (tokens, torch.tensor(radius), bars)


def weigh() -> Iterable[Tensor]:
    for columns in (1, 33, 4096, 9001):
        logits = ordinary(columns, 5, columns)
        logits[1, ::3], logits[2, -1], logits[3, 0] = -torch.inf, torch.nan, torch.inf
        yield from cpu.weigh(logits)
        yield from cpu.weigh(logits, ordinary(1, columns))


OPERATIONS: tuple[Callable[[], Iterable[Tensor]], ...] = (
    *(linear, linear_words, linear_strips, linear_pair, norm, activation, attention, narrow_attention),
    *(tanh, cos_sin, power, log, exp, gumbel, sample, shortlist, weigh),
)


def digests(threads: int) -> dict[str, str]:
    """Return the digest of every operation, computed by so many threads."""
    torch.set_num_threads(threads)
    return {operation.__name__: hashed(operation()) for operation in OPERATIONS}


if __name__ == "__main__":
    alone, together = digests(1), digests(2)
    if alone != together:
        sys.exit("one thread and two give different bits")
    print(json.dumps(alone, indent=2))
