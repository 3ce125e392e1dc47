"""Functions of single elements against spec.py, bit for bit."""

import numpy as np
import pytest
import spec
import torch
from arrays import SPICES, assert_same, draw, tensors

from mutascope.numerics import cpu


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
