"""docs/numerics.md in plain Python: slow, and written from that page alone, to hold the kernels against.

Arrays of float32 are the floats of the page, arrays of float64 its doubles. NumPy's additions, multiplications,
divisions and roots are single IEEE operations; nothing here lets NumPy sum, multiply matrices or take a function.
"""

from __future__ import annotations

import math

import numpy as np

F, D = np.float32, np.float64
RUN, PARTS, BLOCK = 192, 16, 4096


# Conventions


def fma(a, b, c):
    """Return a b + c of floats, rounded once.

    The product is exact in double. The sum is rounded to odd there, which a second rounding cannot mistake for a tie.
    """
    a, b, c = (np.asarray(x, F).astype(D) for x in (a, b, c))
    product = a * b
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)  # Knuth's TwoSum: total + error is the sum
    even = (total.view(np.int64) & 1) == 0
    inexact = np.isfinite(total) & (error != 0) & even
    return np.where(inexact, np.nextafter(total, np.copysign(D(np.inf), error)), total).astype(F)


def _fma_double(a: float, b: float, c: float) -> float:
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    (p, q), (r, s), (t, u) = a.as_integer_ratio(), b.as_integer_ratio(), c.as_integer_ratio()
    numerator = p * r * u + t * q * s
    if numerator == 0:  # of products and sums of zeros; the rest is +0
        return a * b + c if c == 0 else 0.0
    try:
        return numerator / (q * s * u)  # of integers, Python rounds it once
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def fma_double(a, b, c):
    """Return a b + c of doubles, rounded once."""
    return np.asarray(np.frompyfunc(_fma_double, 3, 1)(a, b, c)).astype(D)


def horner(terms, x, fused=fma):
    """Return the polynomial whose highest term comes first."""
    value = np.full_like(x, terms[0])
    for term in terms[1:]:
        value = fused(value, x, term)
    return value


def chain(a, b):
    """Return the chain over the first axis of both."""
    total = np.zeros(np.broadcast_shapes(a.shape[1:], b.shape[1:]), F)
    for left, right in zip(a, b, strict=True):
        total = fma(left, right, total)
    return total


def sum16(x, *, squares=False):
    """Return the 16-sum over the last axis, of the elements or of their squares."""
    parts = np.zeros((*x.shape[:-1], PARTS), F)
    for start in range(0, x.shape[-1], PARTS):
        some = x[..., start : start + PARTS]
        own = parts[..., : some.shape[-1]]
        own[...] = fma(some, some, own) if squares else own + some
    while parts.shape[-1] > 1:
        middle = parts.shape[-1] // 2
        parts = parts[..., :middle] + parts[..., middle:]
    return parts[..., 0]


def bf(x, half=True):
    """Return floats rounded to bfloat16 with ``half``, themselves otherwise."""
    if not half:
        return x
    x = np.ascontiguousarray(x, F)
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return np.where(np.isnan(x), x, rounded.astype(np.uint32).view(F))


# Linear, elementwise steps, norms


def linear(x, weight, bias=None, half=False):
    """Return x [rows, ins] times weight [outs, ins], transposed, plus bias."""
    total = np.zeros((len(x), len(weight)), F)
    for start in range(0, x.shape[1], RUN):
        run = slice(start, start + RUN)
        total = total + chain(x[:, run].T[:, :, None], weight[:, run].T[:, None, :])
    return bf(total if bias is None else total + bias, half)


def rotate(x, cos, sin, half=False):
    """Rotate the pairs (x_i, x_{i + n/2}) of the first n features of the last axis; cosines and sines are [n]."""
    turned = cos.shape[-1]
    middle = turned // 2
    a, b, rest = x[..., :middle], x[..., middle:turned], x[..., turned:]
    first = bf(bf(a * cos[..., :middle], half) - bf(b * sin[..., :middle], half), half)
    second = bf(bf(b * cos[..., middle:], half) + bf(a * sin[..., middle:], half), half)
    return np.concatenate((first, second, rest), -1)


def _inverse_root(x, epsilon):
    v = sum16(x, squares=True) / F(x.shape[-1])
    return (F(1) / np.sqrt(v + F(epsilon)))[..., None]


def rms_norm(x, weight, epsilon, half=False):
    return bf(bf(x * _inverse_root(x, epsilon), half) * weight, half)


def rms_norm_plus_one(x, weight, epsilon, half=False):
    return bf((x * _inverse_root(x, epsilon)) * (F(1) + weight), half)


def layer_norm(x, weight, bias, epsilon, half=False):
    mean = sum16(x) / F(x.shape[-1])
    d = x - mean[..., None]
    return bf(fma(d * _inverse_root(d, epsilon), weight, F(0) if bias is None else bias), half)


# Attention


def attend(q, keys, values, scale, cap=0.0, half=False):
    """Return what queries [m, width] of one position see of keys and values [n, width], which are all theirs to see."""
    scores = chain(q.T[:, :, None], keys.T[:, None, :]) * F(scale)
    if cap:
        scores = F(cap) * tanh((scores / F(cap)).astype(D)).astype(F)
    largest = scores.max(-1, keepdims=True)
    weights = exp(scores - largest)
    out = bf(chain(weights.T[:, :, None], values[:, None, :]) / sum16(weights)[:, None], half)
    lost = np.isnan(scores).any(-1) | np.isinf(largest[:, 0])
    return np.where(lost[:, None], F(np.nan), out)


# Activations


def sigmoid(x):
    e = exp(-np.abs(x))
    return np.where(x < 0, e, F(1)) / (F(1) + e)


def silu(x, half=False):
    return bf(x * sigmoid(x), half)


def gelu_tanh(x, half=False):
    inner = fma(x * x, F(0.0713548163), F(1.59576912))
    return bf(x * sigmoid(x * inner), half)


def gelu(x, half=False):
    return bf((x.astype(D) * phi(x.astype(D))).astype(F), half)


# Sampling


def mersenne_twister(seed, count):
    """Return the first 32-bit outputs of MT19937, seeded with an integer below 2^32."""
    state = [seed]
    for index in range(1, 624):
        last = state[-1]
        state.append((1812433253 * (last ^ last >> 30) + index) % 2**32)
    words = []
    while len(words) < count:
        for index in range(624):
            y = state[index] & 0x80000000 | state[(index + 1) % 624] & 0x7FFFFFFF
            state[index] = state[(index + 397) % 624] ^ y >> 1 ^ (0x9908B0DF if y & 1 else 0)
        for y in state:
            y ^= y >> 11
            y ^= y << 7 & 0x9D2C5680
            y ^= y << 15 & 0xEFC60000
            words.append(y ^ y >> 18)
    return words[:count]


def draws(seed, count):
    """Return the 64-bit words of a seed's draws."""
    words = mersenne_twister(seed % 2**32, 2 * count)
    return [upper << 32 | lower for upper, lower in zip(words[::2], words[1::2], strict=True)]


def noise(words):
    """Return -log q of draws q ~ Exponential(1), made of 64-bit words."""
    u = np.array([word % 2**53 for word in words], D) * D(2.0**-53)
    q = (-log(1 - u)).astype(F)
    some = np.where(q == 0, D(1), q.astype(D))
    return np.where(q == 0, F(np.inf), (-log(some)).astype(F))


def sample(logits, noise=None, top_k=None, temperature=1.0, top_p=1.0, min_p=0.0):
    """Return the token that one row of logits picks, with the noise of its step; None is greedy; -1 is non-finite."""
    if np.isnan(logits).any() or (logits == np.inf).any():
        return -1
    if noise is None:
        return int(np.flatnonzero(logits == logits.max())[0])
    least = sorted(logits, reverse=True)[min(top_k or len(logits), len(logits)) - 1]
    tempered = logits / F(temperature)
    left = sorted(np.flatnonzero(logits >= least), key=lambda token: (-logits[token], token))
    if top_p < 1:
        left = _top_p(left, tempered, top_p)
    if min_p > 0:
        bound = F(log(np.array([min_p], D))[0])
        left = [token for token in left if tempered[token] - tempered[left[0]] >= bound]
    values = {token: tempered[token] + noise[token] for token in sorted(left)}
    return int(max(values, key=values.__getitem__))  # the first of the largest


def _top_p(left, tempered, top_p):
    """Return those of ``left``, tokens in descending order, that top-p leaves."""
    scores = tempered[left].astype(D)
    weights = exp_double(scores - scores[0])
    total = D(0)
    for weight in weights[::-1]:
        total = total + weight
    gone, stay = D(0), len(left)
    while stay > 1 and gone + weights[stay - 1] <= (D(1) - D(top_p)) * total:
        stay -= 1
        gone = gone + weights[stay]
    return left[:stay]


def normaliser(logits):
    """Return the largest logit of a row, and Z."""
    largest = logits.max()
    weights = exp(logits - largest)
    total = D(0)
    for start in range(0, len(weights), BLOCK):
        total = total + D(sum16(weights[start : start + BLOCK]))
    return D(largest), total


def probability(logits, tokens):
    """Return the probability of a choice, the sum over its tokens."""
    largest, total = normaliser(logits)
    return sum(exp_double(logits[tokens].astype(D) - largest) / total, start=D(0))


def log_probabilities(logits):
    largest, total = normaliser(logits)
    return (logits.astype(D) - largest) - log(np.array([total]))


# Functions


def exp(x):
    """Return exp of floats, at most 0."""
    z = fma(x, F(1.44269504), F(12582912))
    n = z - F(12582912)
    r = fma(n, F(2.12194440e-4), fma(n, F(-0.693359375), x))
    terms = (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
    y = fma(horner(terms, r), r * r, r) + F(1)
    n = np.where(np.isfinite(n) & (x >= -87), n, 0).astype(np.int32)
    return np.where(x < -87, F(0), np.ldexp(y, n))


def _factorials(first, last, step):
    """Return 1 / first! and so on down to 1 / last!, the doubles nearest to them."""
    return [1 / math.factorial(n) for n in range(first, last - 1, -step)]


def exp_double(x):
    """Return exp of doubles, at most 0 or little above."""
    constant = 6755399441055744.0
    z = fma_double(x, 1.4426950408889634, constant)
    n = z - constant
    r = fma_double(n, -1.9082149292705877e-10, fma_double(n, -0.69314718036912382, x))
    p = horner(_factorials(13, 0, 1), r, fma_double)
    n = np.where(np.isfinite(n) & (x >= -700), n, 0).astype(np.int32)
    return np.where(x < -700, D(0), np.ldexp(p, n))


def log(x):
    """Return the logarithm of normal doubles above 0."""
    m, k = np.frexp(x)  # m in [1/2, 1)
    m, k = m * 2, k - 1
    large = m > 1.4142135623730951
    m, k = np.where(large, m * 0.5, m), np.where(large, k + 1, k).astype(D)
    f = m - 1
    s = f / (2 + f)
    p = horner([1 / n for n in range(23, 0, -2)], s * s, fma_double)
    return fma_double(k, 0.69314718036912382, fma_double(k, 1.9082149292705877e-10, (2 * s) * p))


def tanh(x):
    """Return tanh of doubles."""
    a = np.abs(x)
    e = exp_double(-2 * a)
    return np.copysign(np.where(a < 2**-12, a, (1 - e) / (1 + e)), x)


def phi(x):
    """Return the normal distribution's function of doubles."""
    z = np.abs(x) * 0.70710678118654752
    t = 1 / fma_double(0.5, z, 1.0)
    terms = (
        *(0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807),
        *(-0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223),
    )
    tail = (0.5 * t) * exp_double(fma_double(-z, z, horner(terms, t, fma_double)))
    return np.where(x < 0, tail, 1 - tail)


def cos_sin(angles):
    """Return cosine and sine of floats, as floats."""
    x, constant = angles.astype(D), 6755399441055744.0
    z = fma_double(x, 0.63661977236758134, constant)
    n = z - constant
    r = fma_double(n, -6.123233995736766e-17, fma_double(n, -1.5707963267948966, x))
    q = r * r
    odd, even = _factorials(15, 3, 2), _factorials(16, 0, 2)
    s = horner([-t if i % 2 == 0 else t for i, t in enumerate(odd)], q, fma_double)
    s = fma_double(s * q, r, r)
    c = horner([-t if i % 2 == 1 else t for i, t in enumerate(even)], q, fma_double)
    turn = np.where(np.isfinite(n), n, 0) % 4
    cos = np.select([turn == 0, turn == 1, turn == 2], [c, -s, -c], s)
    sin = np.select([turn == 0, turn == 1, turn == 2], [s, c, -s], -c)
    return cos.astype(F), sin.astype(F)


def power(base, exponents):
    """Return a base > 1 to the power of floats, 0 or more."""
    return (1 / exp_double(-log(np.array([base], D)) * exponents.astype(D))).astype(F)
