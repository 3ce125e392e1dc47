"""Norms and activations against spec.py, bit for bit."""

import numpy as np
import pytest
import spec
import torch
from arrays import ACTS, KINDS, SEEDS, SIZES, SMALL, assert_same, draw, few, packed, tensor, tensors
from hypothesis import given
from hypothesis import strategies as st

from mutascope.numerics import cpu


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
    assert_same(cpu.activate(tensor(x), act, half=half), ACTS[act](x, half))


@given(SEEDS)
@few()
def test_a_result_is_rounded_to_bfloat16_with_ties_to_even(seed):
    x = draw(seed, 500, 1, kind="wild")
    x.view(np.uint32)[::2] = (x.view(np.uint32)[::2] & 0xFFFF0000) | 0x8000
    one = np.ones((1, 1), np.float32)
    assert_same(cpu.linear(tensor(x), packed(one), half=True), spec.bf(x + np.float32(0)))
