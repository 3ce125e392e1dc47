"""Random floats of every sort, and how results are compared: bit for bit."""

from functools import partial
from typing import Any

import numpy as np
import spec
import torch
from hypothesis import settings
from hypothesis import strategies as st

from mutascope.numerics import cpu

SIZES = st.sampled_from([1, 2, 7, 15, 16, 17, 33, 191, 192, 193, 577])
SMALL = st.sampled_from([1, 2, 3, 7, 17, 33, 65])
SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(["plain", "spiced", "tiny", "wild"])
SPICES = [0.0, -0.0, 1e-45, -1e-40, 1.1754944e-38, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 1.0, -1.0]
ACTS = {"silu": spec.silu, "gelu": spec.gelu, "gelu_tanh": spec.gelu_tanh}
few = partial(settings, max_examples=60)


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


def tensor(array: np.ndarray | None) -> Any:
    return None if array is None else torch.from_numpy(array)


def tensors(*arrays: np.ndarray | None) -> list[Any]:
    return [*map(tensor, arrays)]


def packed(weight, bias=None, words=False):
    """Pack weights as floats, or as words where they are in bfloat16."""
    return cpu.pack(as_words(weight) if words else tensor(weight), tensor(bias))


def as_words(weight):
    """Return weights that are in bfloat16 as a tensor of this dtype."""
    return tensor(weight).bfloat16()
