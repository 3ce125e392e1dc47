"""Linear maps against spec.py, bit for bit."""

import spec
from arrays import ACTS, KINDS, SEEDS, SIZES, SMALL, assert_same, draw, few, packed, tensor, tensors
from hypothesis import given
from hypothesis import strategies as st

from mutascope.numerics import cpu


@given(seed=SEEDS, rows=SMALL, ins=SIZES, outs=SMALL, kind=KINDS, half=st.booleans(), biased=st.booleans())
@few()
def test_linear(seed, rows, ins, outs, kind, half, biased):
    x, weight = draw(seed, rows, ins, kind=kind, half=half), draw(seed + 1, outs, ins, kind=kind, half=half)
    bias = draw(seed + 2, outs, kind=kind, half=half) if biased else None
    assert_same(cpu.linear(tensor(x), packed(weight, bias), half=half), spec.linear(x, weight, bias, half))


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
    more = draw(seed + 2, rows, outs, kind=kind, half=half)
    expected = spec.linear(x, weight, None, half)
    if act:
        expected = ACTS[act](expected, half)
    if added:
        expected = spec.bf(expected + more, half)
    result = cpu.linear(
        tensor(x), packed(weight), act=act, residual=tensor(more) if added else None, half=half
    )
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
    together = cpu.pack_pair(tensor(gate), tensor(up), tuple(tensors(*biases)))
    assert_same(cpu.linear(tensor(x), together, act=act, half=half), pair(x, gate, up, biases, act, half))


def test_leading_axes_are_rows():
    x, weight = draw(0, 2, 3, 17), draw(1, 5, 17)
    assert_same(cpu.linear(tensor(x), packed(weight)).reshape(6, 5), spec.linear(x.reshape(6, 17), weight))


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
    added = draw(seed + 3, rows * steps, outs, half=half)
    residual = None if paired else tensor(added)
    tiles = [draw(seed + 9 + row, 2, height, ins, kind=kind, half=half) for row, _, height in members]
    pack = (lambda both: cpu.pack_pair(*map(tensor, both))) if paired else (lambda both: packed(both[0]))
    strips = cpu.Strips([(row, top, pack(tile)) for (row, top, _), tile in zip(members, tiles, strict=True)])
    if paired:
        whole = cpu.pack_pair(tensor(weights[0]), tensor(weights[1]), tuple(tensors(*biases)))
    else:
        whole = packed(weights[0], biases[0])
    act = "silu" if paired else None
    result = cpu.linear(tensor(x), whole, act=act, residual=residual, strips=strips, steps=steps, half=half)
    edited = {row: weights.copy() for row in range(rows)}
    for (row, top, height), tile in zip(members, tiles, strict=True):
        edited[row][:, top : top + height] = tile
    for row in range(rows):
        own = slice(row * steps, (row + 1) * steps)
        if paired:
            gate, up = edited[row]
            expected = pair(x[own], gate, up, biases, act, half)
        else:
            expected = spec.linear(x[own], edited[row][0], biases[0], half)
            expected = spec.bf(expected + added[own], half)
        assert_same(result[own], expected)
