"""What the specification itself stands on."""

from fractions import Fraction

import numpy as np
import spec
import torch
from arrays import SEEDS, assert_same, draw, few
from hypothesis import given


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
