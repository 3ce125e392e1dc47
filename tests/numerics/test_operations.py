"""The kernels against spec.py, bit for bit; and that a row's bits are its own, whatever else is in the batch."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import spec
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mutascope.numerics import cpu

SIZES = st.sampled_from([1, 2, 7, 15, 16, 17, 33, 191, 192, 193, 577])
SMALL = st.sampled_from([1, 2, 3, 7, 17, 33, 65])
SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(["plain", "spiced", "tiny", "wild"])
SPICES = [0.0, -0.0, 1e-45, -1e-40, 1.1754944e-38, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 1.0, -1.0]
ACTS = {"silu": spec.silu, "gelu": spec.gelu, "gelu_tanh": spec.gelu_tanh}
few = partial(settings, max_examples=60)


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """Overflow and NaN are part of what is tested."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture
def threads():
    """Sets the number of threads, until the test is over."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def draw(seed, *shape, kind="plain", half=False):
    """Return random floats; those of a network in bfloat16 are rounded to it."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    if kind == "spiced":
        x = np.where(rng.random(shape) < 0.02, rng.choice(SPICES, shape), x).astype(np.float32)
    if kind == "tiny":
        x = x * np.float32(2.0**-70) * np.float32(2.0 ** -int(rng.integers(80)))
    if kind == "wild":
        x = rng.integers(0, 2**32, shape, np.uint32).view(np.float32)
    return spec.bf(x, half)


def bits(x):
    """Return the bits of floats as integers, the same ones for every NaN."""
    x = np.ascontiguousarray(x.numpy() if isinstance(x, torch.Tensor) else x)
    whole = x.view(np.int32 if x.dtype == np.float32 else np.int64)
    return np.where(np.isnan(x), -1, whole)


def assert_same(result, expected):
    assert result.shape == expected.shape
    np.testing.assert_array_equal(bits(result), bits(expected))


def tensors(*arrays):
    return [None if array is None else torch.from_numpy(array) for array in arrays]


def packed(weight, bias=None):
    return cpu.pack(*tensors(weight, bias))


# What the specification itself stands on


@given(SEEDS)
@few()
def test_the_specification_rounds_to_bfloat16_as_torch_does(seed):
    x = draw(seed, 500, kind="wild")
    x.view(np.uint32)[::2] = (x.view(np.uint32)[::2] & 0xFFFF0000) | 0x8000  # ties
    assert_same(spec.bf(x), torch.from_numpy(x).bfloat16().float())


@given(SEEDS)
@few()
def test_the_specification_rounds_fma_once(seed):
    """No float is nearer to the exact number, where the sum nearly cancels or is nearly a tie."""
    a, b = draw(seed, 2, 50, kind="wild")
    nearly = 1 + np.random.default_rng(seed).integers(-2, 3, 50) * 2.0**-24
    c = (-a.astype(np.float64) * b * nearly).astype(np.float32)
    for x, y, z, fused in zip(a, b, c, spec.fma(a, b, c), strict=True):
        if np.isfinite([x, y, z, fused]).all():
            exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
            near = np.nextafter(fused, np.array([-np.inf, np.inf], np.float32))
            distances = [abs(Fraction(float(some)) - exact) for some in near if np.isfinite(some)]
            distance = abs(Fraction(float(fused)) - exact)
            assert distance < min(distances) or (distance == min(distances) and fused.view(np.int32) % 2 == 0)


@given(SEEDS)
@few()
def test_the_specification_rounds_fma_of_doubles_once(seed):
    rng = np.random.default_rng(seed)
    for _ in range(50):
        a, b = rng.standard_normal(2).tolist()
        c = -a * b * (1 + int(rng.integers(-2, 3)) * 2.0**-53)
        assert spec.fma_double(a, b, c) == float(Fraction(a) * Fraction(b) + Fraction(c))


# Linear


@given(seed=SEEDS, rows=SMALL, ins=SIZES, outs=SMALL, kind=KINDS, half=st.booleans(), biased=st.booleans())
@few()
def test_linear(seed, rows, ins, outs, kind, half, biased):
    x, weight = draw(seed, rows, ins, kind=kind, half=half), draw(seed + 1, outs, ins, kind=kind, half=half)
    bias = draw(seed + 2, outs, kind=kind, half=half) if biased else None
    assert_same(cpu.linear(*tensors(x), packed(weight, bias), half=half), spec.linear(x, weight, bias, half))


@given(
    seed=SEEDS,
    rows=SMALL,
    ins=SMALL,
    outs=SIZES,
    kind=KINDS,
    half=st.booleans(),
    act=st.sampled_from([None, *ACTS]),
    added=st.booleans(),
)
@few()
def test_linear_is_followed_by_activation_and_residual(seed, rows, ins, outs, kind, half, act, added):
    x, weight = draw(seed, rows, ins, half=half), draw(seed + 1, outs, ins, half=half)
    residual = draw(seed + 2, rows, outs, kind=kind, half=half) if added else None
    expected = spec.linear(x, weight, None, half)
    if act:
        expected = ACTS[act](expected, half)
    if added:
        expected = spec.bf(expected + residual, half)
    result = cpu.linear(*tensors(x), packed(weight), act=act, residual=tensors(residual)[0], half=half)
    assert_same(result, expected)


def pair(x, gate, up, biases, act, half):
    """Return what a gated pair of weights gives."""
    first, second = (spec.linear(x, w, b, half) for w, b in zip((gate, up), biases, strict=True))
    return spec.bf(ACTS[act](first, half) * second, half)


@given(
    seed=SEEDS,
    rows=SMALL,
    ins=SIZES,
    outs=SMALL,
    kind=KINDS,
    half=st.booleans(),
    act=st.sampled_from([*ACTS]),
    biased=st.booleans(),
)
@few()
def test_paired_weights(seed, rows, ins, outs, kind, half, act, biased):
    x = draw(seed, rows, ins, kind=kind, half=half)
    gate, up = draw(seed + 1, 2, outs, ins, half=half)
    biases = tuple(draw(seed + 2, 2, outs, half=half)) if biased else (None, None)
    together = cpu.pack_pair(*tensors(gate, up), tuple(tensors(*biases)))
    assert_same(cpu.linear(*tensors(x), together, act=act, half=half), pair(x, gate, up, biases, act, half))


def test_leading_axes_are_rows():
    x, weight = draw(0, 2, 3, 17), draw(1, 5, 17)
    assert_same(cpu.linear(*tensors(x), packed(weight)).reshape(6, 5), spec.linear(x.reshape(6, 17), weight))


@given(
    seed=SEEDS,
    members=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 60), st.integers(1, 64)), max_size=6),
    steps=st.sampled_from([1, 1, 2, 5]),
    ins=SIZES,
    kind=st.sampled_from(["plain", "spiced"]),
    half=st.booleans(),
    paired=st.booleans(),
)
@few(max_examples=100)
def test_a_mutated_strip_has_the_bits_of_an_edited_weight(seed, members, steps, ins, kind, half, paired):
    """Rows with a tile of their own, inside the sum, against each row with a weight of its own."""
    outs, rows = 65, 9
    members = list({row: (row, top, min(height, outs - top)) for row, top, height in members}.values())
    x = draw(seed, rows * steps, ins, kind=kind, half=half)
    weights, biases = draw(seed + 1, 2, outs, ins, half=half), draw(seed + 2, 2, outs, half=half)
    residual = None if paired else draw(seed + 3, rows * steps, outs, half=half)
    tiles = [draw(seed + 9 + row, 2, height, ins, kind=kind, half=half) for row, _, height in members]
    pack = (lambda both: cpu.pack_pair(*tensors(*both))) if paired else (lambda both: packed(both[0]))
    strips = cpu.Strips([(row, top, pack(tile)) for (row, top, _), tile in zip(members, tiles, strict=True)])
    if paired:
        whole = cpu.pack_pair(*tensors(*weights), tuple(tensors(*biases)))
    else:
        whole = packed(weights[0], biases[0])
    act = "silu" if paired else None
    result = cpu.linear(
        *tensors(x), whole, act=act, residual=tensors(residual)[0], strips=strips, steps=steps, half=half
    )
    edited = {row: weights.copy() for row in range(rows)}
    for (row, top, height), tile in zip(members, tiles, strict=True):
        edited[row][:, top : top + height] = tile
    for row in range(rows):
        own = slice(row * steps, (row + 1) * steps)
        if paired:
            expected = pair(x[own], *edited[row], biases, act, half)
        else:
            expected = spec.linear(x[own], edited[row][0], biases[0], half)
            expected = spec.bf(expected + residual[own], half)
        assert_same(result[own], expected)


# Norms and activations


@given(
    seed=SEEDS,
    rows=SMALL,
    width=SIZES,
    kind=KINDS,
    half=st.booleans(),
    epsilon=st.sampled_from([1e-5, 1e-6, 1e-12]),
)
@few()
def test_norms(seed, rows, width, kind, half, epsilon):
    x = draw(seed, rows, width, kind=kind, half=half)
    weight, bias = draw(seed + 1, 2, width, half=half)
    given_x, g, b = tensors(x, weight, bias)
    assert_same(cpu.norm(given_x, g, None, epsilon, half=half), spec.rms_norm(x, weight, epsilon, half))
    assert_same(
        cpu.norm(given_x, 1 + g, None, epsilon, early=False, half=half),
        spec.rms_norm_plus_one(x, weight, epsilon, half),
    )
    for some, array in ((b, bias), (torch.zeros(width), None)):
        assert_same(
            cpu.norm(given_x, g, some, epsilon, centred=True, half=half),
            spec.layer_norm(x, weight, array, epsilon, half),
        )


@given(seed=SEEDS, rows=SMALL, heads=st.integers(1, 4), width=SMALL, half=st.booleans(), early=st.booleans())
@few()
def test_norms_of_heads_change_those_heads_alone(seed, rows, heads, width, half, early):
    x, first = draw(seed, rows, (heads + 2) * width, kind="spiced", half=half), width
    weight = draw(seed + 1, width, half=half)
    expected = x.copy()
    own = slice(first, first + heads * width)
    norm, g = (spec.rms_norm, weight) if early else (spec.rms_norm_plus_one, 1 + weight)
    normed = norm(x[:, own].reshape(rows, heads, width), weight, 1e-6, half)
    expected[:, own] = normed.reshape(rows, heads * width)
    given_x, g = tensors(x, g)
    cpu.norm_heads(given_x, first, heads, g, 1e-6, early=early, half=half)
    assert_same(given_x, expected)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", ["plain", "wild", "spiced", "tiny"])
def test_activations(act, kind, half):
    x = draw(5, 1500, kind=kind, half=half) * np.float32(3 if kind == "plain" else 1)
    assert_same(cpu.activate(*tensors(x), act, half=half), ACTS[act](x, half))


@given(SEEDS)
@few()
def test_a_result_is_rounded_to_bfloat16_with_ties_to_even(seed):
    x = draw(seed, 500, 1, kind="wild")
    x.view(np.uint32)[::2] = (x.view(np.uint32)[::2] & 0xFFFF0000) | 0x8000
    one = np.ones((1, 1), np.float32)
    assert_same(cpu.linear(*tensors(x), packed(one), half=True), spec.bf(x + np.float32(0)))


# Functions


@pytest.mark.parametrize("scale", [1e-3, 1, 30, 1e4, 2e9])
def test_cosine_and_sine(scale):
    angles = np.concatenate((draw(1, 400) * np.float32(scale), np.array(SPICES[:5], np.float32)))
    for result, expected in zip(cpu.cos_sin(*tensors(angles)), spec.cos_sin(angles), strict=True):
        assert_same(result, expected)


def test_cosine_and_sine_of_what_has_none_are_nan():
    angles = torch.tensor([np.inf, -np.inf, np.nan])
    for result in cpu.cos_sin(angles):
        assert result.isnan().all()


@pytest.mark.parametrize("base", [10000.0, 500000.0, 1e6, 2.0, 1.0000001])
def test_power(base):
    exponents = np.concatenate((np.arange(0, 1, 1 / 64), np.abs(draw(3, 50)), [1e-45, 20, 90])).astype(
        np.float32
    )
    assert_same(cpu.power(base, *tensors(exponents)), spec.power(base, exponents))


def test_logarithm():
    rng = np.random.default_rng(0)
    wide = np.exp2(rng.uniform(-1022, 1024, 300))
    near = 1 + rng.standard_normal(300) * np.exp2(-rng.uniform(0, 53, 300))
    edges = np.sqrt(2) * (1 + np.arange(-4, 5) * 2.0**-52)
    x = np.concatenate((wide, near[near > 0], edges, [2.0**-1022, 1, 2, 0.5]))
    result = cpu.log(*tensors(x)).numpy()
    assert_same(result, spec.log(x))
    np.testing.assert_allclose(result, np.log(x), rtol=1e-15, atol=1e-16)


def test_exponential():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        (-rng.uniform(0, 720, 400), -np.exp(rng.uniform(-40, 0, 200)), [0, -0.0, -700, -np.inf, np.nan])
    )
    x = np.concatenate((x, np.nextafter(-700, [-np.inf, 0]), (np.arange(-5, 0) + 0.5) * np.log(2)))
    result = cpu.exp(*tensors(x)).numpy()
    assert_same(result, spec.exp_double(x))
    some = x >= -700
    np.testing.assert_allclose(result[some], np.exp(x[some]), rtol=1e-15)


@pytest.mark.parametrize("kind", ["plain", "wild", "spiced", "tiny"])
def test_tanh(kind):
    x = np.concatenate(
        (draw(4, 500, kind=kind), (2**-12 * (1 + np.arange(-3, 4) * 2**-23)).astype(np.float32))
    )
    assert_same(cpu.tanh(*tensors(x)), spec.tanh(x.astype(np.float64)).astype(np.float32))


# Attention


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


def room(rows, heads, positions):
    """Return a cache full of NaN, which no result may show."""
    return cpu.new_cache(2, rows, heads.n_kv_heads, positions=positions, head_dim=heads.head_dim).fill_(
        np.nan
    )


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
    half=st.booleans(),
)
@few(max_examples=100)
def test_attention(seed, rows, groups, each, width, turned, chunks, before, apart, window, cap, kind, half):
    """Rows of different lengths, fed in chunks, after some positions that only leave keys and values."""
    heads = cpu.Heads(groups * each, groups, width, width**-0.5, window, cap)
    starts = before + (np.arange(rows)[:, None] * 3 if apart else np.zeros((1, 1), int))
    total = int(starts.max()) + sum(chunks)
    turned = int(width * turned) // 2 * 2
    rotary = circle(total, turned, half) if turned else None
    given_rotary = tuple(tensors(*rotary)) if rotary else None
    cache, known = room(rows, heads, total), [{} for _ in range(rows)]
    everything = heads.n_heads + 2 * groups

    def feed(steps, positions, read):
        x = draw((seed, *positions[:, 0]), rows * steps, everything * width, kind=kind, half=half)
        expected = attend(x, heads, rotary, positions, known, half)
        own = x if read else x[:, heads.n_heads * width :].copy()
        out = cpu.attend(
            *(*tensors(own), heads, cache, given_rotary, *tensors(positions), rows), read=read, half=half
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
        return torch.cat(
            [
                cpu.attend(*tensors(part.copy()), heads, cache, None, places[start : start + chunk][None], 1)
                for start in range(0, steps, chunk)
                for part in [x[start : start + chunk]]
            ]
        )

    assert_same(run(chunk), run(steps))


def test_attention_without_queries_leaves_the_same_keys_and_values():
    heads = cpu.Heads(4, 2, 16, 0.25, 1000, 0.0)
    rotary = tuple(tensors(*circle(9, 16, False)))
    x = draw(0, 9, 8 * 16)
    caches = [room(1, heads, 9) for _ in range(2)]
    for cache, own, read in zip(caches, (x.copy(), x[:, 64:].copy()), (True, False), strict=True):
        cpu.attend(*tensors(own), heads, cache, rotary, torch.arange(9)[None], 1, read=read)
    last = [
        cpu.attend(*tensors(x[-1:].copy()), heads, cache, rotary, torch.tensor([[8]]), 1) for cache in caches
    ]
    assert_same(*last)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_attention_to_a_strange_key_or_value(strange):
    """A NaN score makes everything NaN, a score of -inf counts for nothing, and a strange value is in its feature."""
    heads = cpu.Heads(1, 1, 2, 1.0, 1000, 0.0)
    for feature in range(2, 6):
        x = np.abs(draw(1, 20, 6))
        x[7, feature] = strange
        out = cpu.attend(*tensors(x.copy()), heads, room(1, heads, 20), None, torch.arange(20)[None], 1)
        assert_same(out, attend(x, heads, None, np.arange(20)[None], [{}], False))


# A row's bits are its own


def check_alone(run, *batch, sizes=(1, 2, 7, 64)):
    """Check that ``run`` gives rows the bits that they have in the whole batch, in batches of other sizes."""
    whole = run(*batch)
    for size in sizes:
        for start in range(0, len(batch[0]) - size + 1, max(size, 9)):
            rows = slice(start, start + size)
            assert_same(run(*(some[rows].clone() for some in batch)), whole[rows])


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("half", [False, True])
def test_a_row_alone_has_the_bits_that_it_has_in_a_batch(threads, count, half):
    x, residual = tensors(draw(0, 71, 193, half=half), draw(1, 71, 130, half=half))
    gate, up, bias = tensors(
        draw(2, 130, 193, half=half), draw(3, 130, 193, half=half), draw(4, 130, half=half)
    )
    one, both = cpu.pack(gate, bias), cpu.pack_pair(gate, up)
    threads(1)
    expected = cpu.linear(x, one, residual=residual, half=half), cpu.linear(x, both, act="silu", half=half)
    threads(count)
    assert_same(cpu.linear(x, one, residual=residual, half=half), expected[0])
    assert_same(cpu.linear(x, both, act="silu", half=half), expected[1])
    check_alone(lambda x, y: cpu.linear(x, one, residual=y, half=half), x, residual)
    check_alone(lambda x: cpu.linear(x, both, act="silu", half=half), x)
    check_alone(lambda x: cpu.norm(x, gate[0], up[0], 1e-5, centred=True, half=half), x)
    check_alone(lambda x: cpu.activate(x, "gelu", half=half), x)


@pytest.mark.parametrize("count", [1, 2])
def test_a_row_alone_attends_as_in_a_batch(threads, count):
    heads, steps = cpu.Heads(6, 2, 20, 0.3, 11, 0.0), 19
    x, starts = tensors(draw(0, 71, steps, 10 * 20), np.arange(71))

    def run(x, starts):
        cache = cpu.new_cache(2, len(x), 2, positions=100, head_dim=20).zero_()
        places = starts[:, None] + torch.arange(steps)
        return cpu.attend(x.flatten(0, 1).clone(), heads, cache, None, places, len(x)).view(len(x), steps, -1)

    threads(1)
    expected = run(x, starts)
    threads(count)
    assert_same(run(x, starts), expected)
    check_alone(run, x, starts)


@pytest.mark.parametrize("count", [1, 2])
def test_a_row_alone_picks_and_weighs_as_in_a_batch(threads, count):
    logits, noise = tensors(draw(0, 71, 4001, kind="plain") * np.float32(3), draw(1, 4, 4001))
    steps = torch.arange(71) % 4
    fields = {"vocabulary": 4001, "top_k": 50, "temperature": 0.7, "top_p": 0.9, "min_p": 0.01}

    def choose(logits, steps):
        return cpu.pick(logits, noise=noise, steps=steps, ids=None, **fields).double()

    def weigh(logits):
        return torch.stack(cpu.weigh(logits, noise[0]), -1)

    threads(1)
    expected = choose(logits, steps), weigh(logits)
    threads(count)
    assert_same(choose(logits, steps), expected[0])
    assert_same(weigh(logits), expected[1])
    check_alone(choose, logits, steps)
    check_alone(weigh, logits)


# Sampling


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**32 + 5])
def test_noise_is_that_of_the_seed(seed):
    """Draws of torch's generator, seeded with all of the seed, against the Mersenne Twister of the page."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.empty(400, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    expected = spec.draws(seed, 400)
    assert [word % 2**64 for word in words.tolist()] == expected
    assert_same(cpu.gumbel(words), spec.noise(expected))


def test_noise_of_extreme_draws():
    words = [0, 1, 2, 2**52, 2**53 - 1, 2**53 - 2, 2**53, 2**64 - 1, 2**63, 7 << 53]
    signed = torch.tensor([word - 2**64 if word >= 2**63 else word for word in words])
    result = cpu.gumbel(signed)
    assert_same(result, spec.noise(words))
    assert result[0] == result[6] == np.inf


def test_noise_is_that_of_multinomial():
    """Of torch's own draws: nearly the same numbers, which torch rounds as its processor does."""
    generator = torch.Generator().manual_seed(3)
    q = torch.empty(1000).exponential_(generator=generator)
    np.testing.assert_allclose(spec.noise(spec.draws(3, 1000)), -q.log().numpy(), rtol=1e-4, atol=1e-6)


@given(
    seed=SEEDS,
    columns=st.sampled_from([1, 2, 7, 17, 33, 191, 577]),
    top_k=st.sampled_from([1, 2, 5, 30, 2000]),
    temperature=st.sampled_from([1.0, 0.7, 0.1, 3.0]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.01, 0.999999]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    grid=st.sampled_from([0, 1, 8]),
    strange=st.sampled_from([None, None, np.nan, np.inf, -np.inf]),
    shortlisted=st.booleans(),
)
@few(max_examples=100)
def test_picks(seed, columns, top_k, temperature, top_p, min_p, grid, strange, shortlisted):
    """With ties, where logits lie on a grid, and with a few strange logits."""
    rng = np.random.default_rng(seed)
    vocabulary, rows = (2 * columns, 5)
    logits = rng.standard_normal((rows, columns)).astype(np.float32) * np.float32(4)
    if grid:
        logits = np.round(logits * grid) / np.float32(grid)
    if strange is not None and columns > 2:
        logits[rng.integers(rows), rng.integers(columns, size=2)] = strange
    ids = np.sort(rng.permutation(vocabulary)[:columns])
    if not shortlisted:
        ids, vocabulary = np.arange(columns), columns
    noise = spec.noise(rng.integers(0, 2**63, (3, vocabulary)).ravel().tolist()).reshape(3, vocabulary)
    steps = rng.integers(0, 3, rows)
    common = {"ids": tensors(ids)[0] if shortlisted else None, "vocabulary": vocabulary}
    common["steps"] = torch.from_numpy(steps)
    fields = {"top_k": min(top_k, vocabulary), "temperature": temperature, "top_p": top_p, "min_p": min_p}
    facts = torch.empty(2, rows)
    sampled = cpu.pick(*tensors(logits), noise=torch.from_numpy(noise), facts=facts, **common, **fields)
    fields_off = {"top_k": vocabulary, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0}
    greedy = cpu.pick(*tensors(logits), noise=None, **common, **fields_off)
    for row, own in enumerate(logits):
        place = spec.pick(own, noise[steps[row], ids], **fields)
        assert sampled[row] == (ids[place] if place >= 0 else -1)
        if place >= 0:
            assert facts[0, row] == own[place]
            assert top_k >= columns or facts[1, row] == np.sort(own)[-top_k]
        place = spec.pick(own)
        assert greedy[row] == (ids[place] if place >= 0 else -1)


def test_top_p_lets_go_of_what_adds_up_to_exactly_the_rest():
    """Of four tokens as probable as each other, p = 1/2 leaves the first two."""
    logits, noise = torch.zeros(1, 4), torch.tensor([[0.0, 1, 2, 3]])
    fields = {"top_k": 4, "temperature": 1.0, "top_p": 0.5, "min_p": 0.0}
    steps = torch.tensor([0])
    assert cpu.pick(logits, noise=noise, steps=steps, ids=None, vocabulary=4, **fields).tolist() == [1]
    assert spec.pick(logits[0].numpy(), noise[0].numpy(), **fields) == 1


@pytest.mark.parametrize("greedy", [False, True])
def test_ties_are_won_by_the_lowest_token(greedy):
    logits = torch.tensor([[0.0, 1, 1, -0.0, 1], [0.0, -0.0, 0, 0, 0], [-0.0, 0, 0, 0, 0]])
    noise = None if greedy else torch.zeros(1, 5)
    steps = torch.zeros(3, dtype=torch.int64)
    result = cpu.pick(
        *(logits,),
        noise=noise,
        steps=steps,
        ids=None,
        vocabulary=5,
        top_k=5,
        temperature=1,
        top_p=0.5,
        min_p=0.1,
    )
    assert result.tolist() == [1, 0, 0]


def test_an_infinite_noise_wins_and_the_filters_come_first():
    logits, noise = torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, np.inf, np.inf]])
    common = {"noise": noise, "steps": torch.tensor([0]), "ids": None, "vocabulary": 4}
    fields = {"temperature": 1.0, "min_p": 0.0}
    assert cpu.pick(logits, top_k=4, top_p=1.0, **fields, **common).tolist() == [2]
    assert cpu.pick(logits, top_k=2, top_p=1.0, **fields, **common).tolist() == [0]
    assert cpu.pick(logits, top_k=4, top_p=0.7, **fields, **common).tolist() == [0]


@given(seed=SEEDS, columns=st.sampled_from([1, 7, 33, 577, 4095, 4096, 4097, 9001]), low=st.booleans())
@few()
def test_what_probabilities_are_made_of(seed, columns, low):
    logits = draw(seed, 3, columns) * np.float32(6)
    if low:
        logits[:, draw(seed + 1, columns) > 1.2] = -np.inf
        logits[:, 0] = 0
    largest, sums, changes = cpu.weigh(*tensors(logits))
    expected = [spec.normaliser(row) for row in logits]
    assert_same(largest, np.array([some for some, _ in expected]))
    assert_same(sums, np.array([some for _, some in expected]))
    assert not changes.any()


@given(seed=SEEDS, columns=st.sampled_from([1, 7, 33, 577, 4097]))
@few()
def test_the_divergence_from_the_wild_type(seed, columns):
    """The page does not say how this sum is rounded."""
    wild, *logits = draw(seed, 4, columns) * np.float32(6)
    logits = np.stack(logits)
    given_logits, given_wild = tensors(logits, wild)
    largest, sums, changes = cpu.weigh(given_logits, given_wild)
    assert_same(torch.stack((largest, sums)), torch.stack(cpu.weigh(given_logits)[:2]))
    terms = np.exp(wild.astype(float) - wild.max()) * (logits.astype(float) - wild)
    np.testing.assert_allclose(changes, terms.sum(-1), rtol=1e-4, atol=1e-4 * np.abs(terms).sum())


def test_log_probabilities_of_the_page_are_those_of_torch():
    logits = draw(3, 5000) * np.float32(4)
    expected = torch.from_numpy(logits).double().log_softmax(-1).numpy()
    np.testing.assert_allclose(spec.log_probabilities(logits), expected, rtol=0, atol=1e-6)
    choice = np.array([3, 77, 4999])
    np.testing.assert_allclose(spec.probability(logits, choice), np.exp(expected)[choice].sum(), rtol=1e-6)
