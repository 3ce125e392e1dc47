"""The compiled kernels against torch in float64."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from builders import tiny_network
from mutascope.engine.decoder import Decoder
from mutascope.engine.deltas import Delta, Deltas
from mutascope.engine.kernels import Kernels, _runtimes, kernels
from mutascope.engine.operations import Operations
from mutascope.engine.places import Places

SIZE = st.integers(1, 120)


@pytest.fixture(scope="module")
def compiled() -> Kernels:
    found = kernels()
    if found is None:
        pytest.skip("no compiler, or one with an OpenMP other than torch's")
    return found


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(found: torch.Tensor, true: torch.Tensor) -> bool:
    return torch.allclose(found.double(), true, rtol=1e-5, atol=1e-5)


def test_gcc_compiles_them():
    runtimes = {Path(each).name for each in _runtimes()}
    if not shutil.which("gcc") or "CC" in os.environ or runtimes != {"libgomp.so.1"}:
        pytest.skip("needs gcc, and torch with the OpenMP of gcc under its own name")
    assert kernels() is not None


@given(
    rows=SIZE, ins=st.one_of(SIZE, st.sampled_from([192, 576, 577, 1537])), outs=SIZE, biased=st.booleans()
)
def test_products_are_linear_maps(compiled, rows, ins, outs, biased):
    x, weight, bias = drawn(0, rows, ins), drawn(1, outs, ins), drawn(2, outs) if biased else None
    true = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    found = compiled.product(x, compiled.pack(weight), bias, outs)
    assert torch.allclose(found.double(), true, atol=2e-6 * ins)
    alone = compiled.product(x[-1], compiled.pack(weight), bias, outs)
    assert torch.equal(alone, found[-1])  # whatever the batch


def test_products_round_no_worse_than_torch(compiled):
    x, weight = drawn(0, 128, 1536), drawn(1, 96, 1536)
    true = x.double() @ weight.double().T
    error = (compiled.product(x, compiled.pack(weight), None, 96) - true).square().mean().sqrt()
    assert error < 1.5 * (F.linear(x, weight) - true).square().mean().sqrt()


@given(same=st.booleans(), rows=st.integers(1, 4), steps=st.integers(1, 3), width=st.sampled_from([2, 8, 64]))
def test_tokens_are_rotated_and_placed_as_by_torch(compiled, same, rows, steps, width):
    positions = torch.arange(steps) + torch.arange(5, 6 if same else 5 + rows)[:, None]
    rotary = (drawn(4, *positions.shape, 1, width), drawn(5, *positions.shape, 1, width))
    places = Places(positions, int(positions.max()) + 1, *rotary)
    keys, values = drawn(0, rows, steps, 3, width), drawn(1, rows, steps, 3, width)
    caches = [torch.zeros(2, rows + 1, 3, 20, width) for _ in range(2)]
    torch_has = Operations()
    torch_has.place(keys, values, caches[0], places)
    compiled.place(keys, values, caches[1], places)
    assert close(caches[1], caches[0].double())
    assert close(compiled.rotate(keys.clone(), places), torch_has.rotate(keys, places).double())


@given(steps=st.integers(1, 9), high=st.integers(1, 20), wide=st.integers(1, 20), members=st.integers(1, 6))
def test_mutations_are_those_of_torch(compiled, steps, high, wide, members):
    generator = torch.Generator().manual_seed(steps)
    deltas = [
        (
            int(torch.randint(4, (), generator=generator)),  # rows with several of them, too
            Delta(0, "q", 3 * at % (30 - high), 5 * at % (40 - wide), drawn(at, high, wide)),
        )
        for at in range(members)
    ]
    group = Deltas(deltas, torch.device("cpu")).of(0, "q")
    x, out = drawn(9, 4, steps, 40), drawn(10, 4, steps, 30)
    expected = out.double()
    for row, delta in deltas:
        expected[row, :, delta.top :][:, :high] += (
            x[row, :, delta.left :][:, :wide].double() @ delta.change.T.double()
        )
    assert close(compiled.mutate(group, x, out.clone()), expected)
    assert close(Operations().mutate(group, x, out.clone()), expected)


@given(
    rows=st.integers(1, 5),
    steps=st.sampled_from([1, 1, 1, 4]),
    groups=st.integers(1, 3),
    queries=st.integers(1, 5),
    width=st.sampled_from([16, 32, 64, 80, 12]),
    window=st.sampled_from([1, 3, 100]),
    same=st.booleans(),
    seed=st.integers(0, 99),
)
def test_attention_is_that_of_torch(compiled, rows, steps, groups, queries, width, window, same, seed):
    last = torch.randint(
        steps - 1, 40, (1 if same else rows, 1), generator=torch.Generator().manual_seed(seed)
    )
    positions = last - torch.arange(steps).flip(0)
    stop = int(positions.max()) + 1
    q, cache = (
        drawn(seed, rows, steps, groups * queries, width),
        drawn(seed + 1, 2, rows + 2, groups, 41, width),
    )
    places = Places(positions, stop, q, q)
    true = Operations().attend(
        q.double(), cache.double(), Places(positions, stop, q.double(), q.double()), window, 0.3
    )
    assert close(compiled.attend(q, cache, places, window, 0.3), true)


@given(rows=SIZE, width=SIZE, scale=st.sampled_from([1e-4, 1.0, 1e4]))
def test_norms_and_gates_are_those_of_torch(compiled, rows, width, scale):
    x, up, weight = scale * drawn(0, rows, 3, width), drawn(1, rows, 3, width), drawn(2, width)
    torch_has = Operations()
    assert close(compiled.norm(x, weight, 1e-5), torch_has.norm(x.double(), weight.double(), 1e-5))
    true = torch_has.gate(x.double(), up.double())
    assert torch.allclose(compiled.gate(x.clone(), up).double(), true, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_so(compiled, wrong):
    x, weight = drawn(0, 7, 40), drawn(1, 24, 40)
    x[3, 5] = wrong
    assert torch.equal(
        compiled.product(x, compiled.pack(weight), None, 24).isfinite(), (x @ weight.T).isfinite()
    )
    assert not compiled.norm(x, weight[0], 1e-5)[3, 5].isfinite()
    assert not compiled.gate(x.clone(), torch.ones_like(x))[3, 5].isfinite()
    places = Places(torch.tensor([[9]]), 10, x, x)
    for place in range(3):
        q, cache = drawn(2, 3, 1, 4, 16), drawn(3, 2, 3, 2, 10, 16)
        (q[1, 0, 3], cache[0, 1, 1, 4], cache[1, 1, 1, 4])[place][2] = wrong
        seen = Operations().attend(q.clone(), cache, places, 100, 0.3)
        found = compiled.attend(q, cache, places, 100, 0.3)
        assert torch.equal(found.isfinite(), seen.isfinite())


def test_without_a_compiler_there_are_none():
    code = "from mutascope.engine.kernels import kernels; print(kernels())"
    for changed in ({"CC": "/nowhere/cc"}, {"CC": "false"}, {"CC": 'cc "'}):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **changed}, capture_output=True, text=True
        )
        assert done.stdout.strip() == "None", done.stderr


def test_a_decoder_in_float64_leaves_them_out():
    decoder = Decoder(tiny_network("llama", 1).double(), 8)
    assert type(decoder._operations) is Operations
