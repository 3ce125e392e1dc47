"""A row's bits are its own, whatever else is in the batch."""

import numpy as np
import pytest
import torch
from arrays import assert_same, draw, tensors

from mutascope.numerics import cpu


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
        out = cpu.attend(x.flatten(0, 1).clone(), heads, cache, None, places, len(x))
        assert out is not None
        return out.view(len(x), steps, -1)

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
        return cpu.sample(logits, noise=noise, steps=steps, ids=None, **fields).double()

    def weigh(logits):
        return torch.stack(cpu.weigh(logits, noise[0]), -1)

    threads(1)
    expected = choose(logits, steps), weigh(logits)
    threads(count)
    assert_same(choose(logits, steps), expected[0])
    assert_same(weigh(logits), expected[1])
    check_alone(choose, logits, steps)
    check_alone(weigh, logits)
