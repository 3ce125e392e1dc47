"""Linear maps against spec.py, bit for bit, with weights in float32 and in bfloat16."""

import spec
import torch
from arrays import ACTS, KINDS, SEEDS, SIZES, SMALL, as_words, assert_same, draw, few, packed, tensor, tensors
from hypothesis import given
from hypothesis import strategies as st

from mutascope.numerics import cpu
from strips import strips_of

HALVES = st.sampled_from([(False, False), (True, False), (True, True)])
"""Whether a network is in bfloat16, and whether its weights are given so."""


@given(seed=SEEDS, rows=SMALL, ins=SIZES, outs=SMALL, kind=KINDS, halves=HALVES, biased=st.booleans())
@few(max_examples=90)
def test_linear(seed, rows, ins, outs, kind, halves, biased):
    half, words = halves
    x, weight = draw(seed, rows, ins, kind=kind, half=half), draw(seed + 1, outs, ins, kind=kind, half=half)
    bias = draw(seed + 2, outs, kind=kind, half=half) if biased else None
    result = cpu.linear(tensor(x), packed(weight, bias, words), half=half)
    assert_same(result, spec.linear(x, weight, bias, half))


@given(
    seed=SEEDS,
    ins=SIZES,
    outs=SMALL,
    kinds=st.tuples(KINDS, KINDS),
    scales=st.tuples(st.integers(-90, 90), st.integers(-60, 60)),
    exact=st.booleans(),
)
@few(max_examples=90)
def test_weights_in_bfloat16_give_the_bits_that_they_give_as_floats(seed, ins, outs, kinds, scales, exact):
    """Whatever the sizes of numbers, row after row, and for inputs that are not in bfloat16."""
    x = draw(seed, 29, ins, kind=kinds[0], half=exact)
    x[::3] = spec.bf(x[::3] * 2.0 ** scales[0], exact)
    weight = draw(seed + 1, outs, ins, half=True)
    weight[::40] = draw(seed + 2, *weight[::40].shape, kind=kinds[1], half=True) * 2.0 ** scales[1]
    weight = spec.bf(weight, True)
    assert_same(cpu.linear(tensor(x), packed(weight, words=True)), cpu.linear(tensor(x), packed(weight)))


def test_a_strip_and_its_weight_may_be_in_different_dtypes():
    x, weight, own = (torch.randn(*shape).bfloat16() for shape in ((6, 70), (50, 70), (9, 70)))
    edited = weight.clone()
    edited[20:29] = own
    for whole, tile in ((weight, own.float()), (weight.float(), own)):
        own = cpu.pack(tile)
        result = cpu.linear(x.float(), cpu.pack(whole), strips=strips_of(cpu, [(2, 20, own)]))
        assert_same(result[2], cpu.linear(x.float(), cpu.pack(edited.float()))[2])
        assert_same(result[3], cpu.linear(x.float(), cpu.pack(weight.float()))[3])


def test_columns_of_a_transposed_weight_are_its_inputs():
    weight = torch.randn(33, 70).bfloat16()
    x = torch.randn(5, 33).bfloat16().float()
    assert_same(cpu.linear(x, cpu.pack(weight.T)), cpu.linear(x, cpu.pack(weight.T.float())))


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
    halves=HALVES,
    act=st.sampled_from([*ACTS]),
    biased=st.booleans(),
)
@few()
def test_paired_weights(seed, rows, ins, outs, kind, halves, act, biased):
    half, words = halves
    as_weight = as_words if words else tensor
    x = draw(seed, rows, ins, kind=kind, half=half)
    gate, up = draw(seed + 1, 2, outs, ins, half=half)
    biases = tuple(draw(seed + 2, 2, outs, half=half)) if biased else (None, None)
    together = cpu.pack_pair(as_weight(gate), as_weight(up), tuple(tensors(*biases)))
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
    halves=HALVES,
    paired=st.booleans(),
)
@few(max_examples=100)
def test_a_mutated_strip_has_the_bits_of_an_edited_weight(seed, members, steps, ins, kind, halves, paired):
    """Rows with a tile of their own, inside the sum, against each row with a weight of its own."""
    outs, rows, (half, words) = 65, 9, halves
    as_weight = as_words if words else tensor
    members = list({row: (row, top, min(height, outs - top)) for row, top, height in members}.values())
    x = draw(seed, rows * steps, ins, kind=kind, half=half)
    weights, biases = draw(seed + 1, 2, outs, ins, half=half), draw(seed + 2, 2, outs, half=half)
    added = draw(seed + 3, rows * steps, outs, half=half)
    residual = None if paired else tensor(added)
    tiles = [draw(seed + 9 + row, 2, height, ins, kind=kind, half=half) for row, _, height in members]
    pack = (
        (lambda both: cpu.pack_pair(*map(as_weight, both)))
        if paired
        else (lambda both: packed(both[0], words=words))
    )
    own = [(row, top, pack(tile)) for (row, top, _), tile in zip(members, tiles, strict=True)]
    strips = strips_of(cpu, own)
    if paired:
        whole = cpu.pack_pair(*map(as_weight, weights), biases=tuple(tensors(*biases)))
    else:
        whole = packed(weights[0], biases[0], words)
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
