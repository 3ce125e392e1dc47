"""The Triton kernels: near what float64 gives, and the same for a row whatever else is in its batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cards import DEVICE
from mutascope.numerics import cpu, cuda, operations
from mutascope.numerics.cuda.elementwise import halves
from mutascope.numerics.cuda.picks import pick
from mutascope.numerics.cuda.truth import truth_of
from mutascope.numerics.sampling import UNKNOWN, Sampler
from strips import strips_of

DTYPES = [torch.float32, torch.bfloat16]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers on the device."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


def near(found: Tensor, exact: Tensor, *, of: float = 4e-6) -> bool:
    """Whether all numbers are those in float64, but for the rounding of the dtype."""
    relative = 2**-8 if found.dtype == torch.bfloat16 else 0.0
    return bool(((found.double() - exact).abs() <= relative * exact.abs() + of).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outs, ins", [(150, 70), (16, 64)])
def test_linear_is_near_float64(dtype, outs, ins):
    x, weight, bias = (
        normal(130, ins, dtype=dtype),
        normal(outs, ins, seed=1, dtype=dtype),
        normal(outs, seed=2, dtype=dtype),
    )
    found = cuda.linear(x, cuda.pack(weight, bias), half=dtype == torch.bfloat16)
    assert found.dtype == dtype
    assert near(found, x.double() @ weight.double().T + bias.double(), of=2e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_is_the_same_in_every_batch(dtype):
    x, packed = normal(130, 70, dtype=dtype), cuda.pack(normal(150, 70, seed=1, dtype=dtype))
    whole = cuda.linear(x, packed, half=dtype == torch.bfloat16)
    for first, last in [(0, 1), (5, 6), (63, 66), (129, 130), (1, 130)]:
        assert torch.equal(
            cuda.linear(x[first:last], packed, half=dtype == torch.bfloat16), whole[first:last]
        )


def test_floats_are_sums_of_two_with_11_bits():
    x = torch.cat(
        [normal(2000) * 2.0 ** normal(2000, seed=1).mul(20).round(), torch.tensor([0.0, -0.0, 1.0, 3.4e38])]
    )
    upper, lower = halves(x.to(DEVICE))
    assert bool(
        ((upper.double() + lower.double() - x.to(DEVICE).double()).abs() <= 2**-22 * x.abs().to(DEVICE)).all()
    )
    assert not (upper.view(torch.int32) & 0x1FFF).any()
    assert not (lower.view(torch.int32) & 0x1FFF).any()
    assert bool((lower.abs()[:-1] <= 2**-11 * x[:-1].abs().to(DEVICE)).all())
    strange = torch.tensor([torch.inf, -torch.inf, torch.nan], device=DEVICE)
    assert torch.equal(halves(strange)[0].nan_to_num(7.0), strange.nan_to_num(7.0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_stays_in_its_row_and_its_output(dtype):
    x, weight, half = normal(4, 40, dtype=dtype), normal(9, 40, seed=1, dtype=dtype), dtype == torch.bfloat16
    clean = cuda.linear(x, cuda.pack(weight), half=half)
    x[1, 3], x[2, 5], weight[7, 2] = torch.inf, torch.nan, -torch.inf
    found = cuda.linear(x, cuda.pack(weight), half=half)
    exact = x.double() @ weight.double().T
    assert torch.equal(found.isnan(), exact.isnan())
    assert torch.equal(found[exact.isinf()].double(), exact[exact.isinf()])
    assert torch.equal(found[exact.isfinite()], clean[exact.isfinite()])
    x[0] = 2.0**127 * torch.eye(40, dtype=dtype)[4]
    assert near(
        cuda.linear(x[:1], cuda.pack(weight[:7] / 8), half=half)[0] / 2.0**127, weight[:7, 4].double() / 8
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_that_no_engine_copies_give_the_same_bits(dtype):
    x, half = normal(70, 40, dtype=dtype), dtype == torch.bfloat16
    wide = normal(90, 41, seed=1, dtype=dtype)
    odd = cuda.pack(wide[:, :40])
    even = cuda.pack(wide[:, :40].contiguous())
    assert even.in_bulk
    assert not odd.in_bulk
    assert torch.equal(cuda.linear(x, odd, half=half), cuda.linear(x, even, half=half))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
def test_maps_of_one_input_stand_side_by_side(dtype, transposed):
    x, half = normal(3, 2, 40, dtype=dtype), dtype == torch.bfloat16
    weights = [normal(*shape, seed=n, dtype=dtype) for n, shape in enumerate([(24, 40), (8, 40), (9, 40)])]
    if transposed:
        weights = list(torch.cat(weights).T.contiguous().T.split([24, 8, 9]))
    biases = [normal(24, seed=5, dtype=dtype), None, normal(9, seed=6, dtype=dtype)]
    together = cuda.linear(x, cuda.stack(weights, biases), half=half)
    alone = [
        cuda.linear(x, cuda.pack(weight, bias), half=half)
        for weight, bias in zip(weights, biases, strict=True)
    ]
    assert torch.equal(together, torch.cat(alone, -1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pair_is_a_gate_times_what_it_gates(dtype):
    x, half = normal(5, 40, dtype=dtype), dtype == torch.bfloat16
    gate, up, residual = (
        normal(24, 40, seed=1, dtype=dtype),
        normal(24, 40, seed=2, dtype=dtype),
        normal(5, 24, seed=3, dtype=dtype),
    )
    found = cuda.linear(x, cuda.pack_pair(gate, up), act="silu", residual=residual, half=half)
    first = cuda.activate(cuda.linear(x, cuda.pack(gate), half=half), "silu")
    assert torch.equal(found, first * cuda.linear(x, cuda.pack(up), half=half) + residual)


TILES = [
    *((0, 0, 8, 0, 8), (3, 16, 24, 8, 16), (2, 3, 4, 69, 70), (127, 144, 150, 64, 70)),
    *((128, 0, 150, 0, 70), (129, 60, 70, 0, 9)),
]
"""Row of the batch; tile, those at the edges, a whole matrix, and one in two blocks of outputs."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps, rows", [(1, 131), (3, 6)])
def test_a_tile_within_the_sum_has_the_bits_of_the_edited_weight(dtype, steps, rows):
    half = dtype == torch.bfloat16
    x, weight, bias, residual = (
        normal(rows * steps, 70, dtype=dtype),
        normal(150, 70, seed=1, dtype=dtype),
        normal(150, seed=2, dtype=dtype),
        normal(rows * steps, 150, seed=3, dtype=dtype),
    )
    after = {"act": "silu", "residual": residual, "half": half}
    members, wanted = [], cuda.linear(x, cuda.pack(weight, bias), **after).clone()
    for row, top, bottom, left, right in TILES:
        if row < rows:
            edited = weight.clone()
            edited[top:bottom, left:right] = 3.25
            members.append((row, top, cuda.pack(edited[top:bottom])))
            own = slice(row * steps, row * steps + steps)
            wanted[own, top:bottom] = cuda.linear(x, cuda.pack(edited, bias), **after)[own, top:bottom]
    table = np.array([(row, *entry) for row, top, own in members for entry in own.entries(top)])
    strips = cuda.strips(table, [1, len(table) - 1], DEVICE)
    some, others = (
        cuda.linear(x, cuda.pack(weight, bias), strips=own, steps=steps, **after) for own in strips
    )
    assert torch.equal(some[:steps], wanted[:steps])
    assert torch.equal(others[steps:], wanted[steps:])
    assert not torch.equal(some[:steps], others[:steps])


@pytest.mark.parametrize("transposed", [False, True])
def test_a_tile_of_maps_of_one_input_within_the_sum(transposed):
    x, edited = (
        normal(70, 40),
        [normal(*shape, seed=n) for n, shape in enumerate([(24, 40), (8, 40), (9, 40)])],
    )
    weights = list(torch.cat(edited).T.contiguous().T.split([24, 8, 9])) if transposed else edited
    plain, wanted = cuda.linear(x, cuda.stack(weights, [None] * 3)), []
    for row, which, first in [(3, 0, 16), (66, 1, 24), (69, 2, 32)]:
        own = [weight.clone() for weight in edited]
        own[which][:8, 8:16] = -2.0
        members = [(row, first if which else 0, cuda.pack(own[which][:8]))]
        wanted = plain.clone()
        wanted[row] = cuda.linear(x[row : row + 1], cuda.stack(own, [None] * 3))
        found = cuda.linear(x, cuda.stack(weights, [None] * 3), strips=strips_of(cuda, members, DEVICE))
        assert torch.equal(found, wanted)
        assert not torch.equal(found, plain)


def test_more_tiles_than_are_looked_at_together():
    x, weight = normal(70, 32), normal(24, 32, seed=1)
    edited = [
        weight.clone().index_fill_(1, torch.tensor([row % 32], device=DEVICE), row) for row in range(70)
    ]
    members = [(row, 8 * (row % 3), cuda.pack(own[8 * (row % 3) :][:8])) for row, own in enumerate(edited)]
    wanted = cuda.linear(x, cuda.pack(weight)).clone()
    for row, top, packed in members:
        wanted[row, top : top + 8] = cuda.linear(x[row : row + 1], packed)[0]
    strips = strips_of(cuda, members[::-1], DEVICE)
    assert torch.equal(cuda.linear(x, cuda.pack(weight), strips=strips), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tile_of_a_pair_within_the_sum(dtype):
    half, weights = (
        dtype == torch.bfloat16,
        [normal(24, 40, seed=1, dtype=dtype), normal(24, 40, seed=2, dtype=dtype)],
    )
    x, edited = normal(2, 40, dtype=dtype), weights[1].clone()
    edited[8:16, 32:] = -2.0
    own = cuda.pack_pair(weights[0][8:16], edited[8:16])
    strips = strips_of(cuda, [(1, 8, own)], DEVICE)
    found = cuda.linear(x, cuda.pack_pair(weights[0], weights[1]), act="gelu", strips=strips, half=half)
    assert torch.equal(
        found[:1], cuda.linear(x[:1], cuda.pack_pair(weights[0], weights[1]), act="gelu", half=half)
    )
    assert torch.equal(
        found[1:], cuda.linear(x[1:], cuda.pack_pair(weights[0], edited), act="gelu", half=half)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("centred", [False, True])
def test_norms_are_near_float64(dtype, centred):
    x, weight, bias = normal(7, 70, dtype=dtype) * 3 + 1, normal(70, seed=1), normal(70, seed=2)
    half = dtype == torch.bfloat16
    found = cuda.norm(x, weight, bias if centred else None, 1e-5, centred=centred, early=False, half=half)
    exact = x.double()
    if centred:
        exact = exact - exact.mean(-1, keepdim=True)
    exact = (
        exact * (exact.square().mean(-1, keepdim=True) + float(torch.tensor(1e-5))).rsqrt() * weight.double()
    )
    assert near(found, exact + bias.double() if centred else exact)
    alone = [
        cuda.norm(row[None], weight, bias if centred else None, 1e-5, centred=centred, early=False, half=half)
        for row in x
    ]
    assert torch.equal(torch.cat(alone), found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_norms_of_heads_are_norms(dtype):
    x, weight, half = normal(5, 100, dtype=dtype), normal(12, seed=1), dtype == torch.bfloat16
    wanted = x.clone()
    wanted[:, 40:76] = cuda.norm(x[:, 40:76].reshape(5, 3, 12), weight, None, 1e-6, half=half).view(5, 36)
    cuda.norm_heads(x, 40, 3, weight, 1e-6, early=True, half=half)
    assert torch.equal(x, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_are_near_float64(dtype):
    x = torch.cat([normal(300, dtype=dtype) * 4, torch.tensor([0.0, -90.0, 90.0], device=DEVICE).to(dtype)])
    functions = {
        "silu": torch.nn.functional.silu,
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda values: torch.nn.functional.gelu(values, approximate="tanh"),
    }
    for name, function in functions.items():
        assert near(cuda.activate(x, name), function(x.double())), name
    assert near(cuda.tanh(x.float()), x.double().tanh(), of=1e-7)


ATTENTION = {
    "grouped": cpu.Heads(4, 2, 12, 12**-0.5, 100),
    "window": cpu.Heads(2, 2, 16, 0.3, 5),
    "soft-cap": cpu.Heads(6, 1, 20, 0.25, 100, 3.0),
}


def cached(heads: cpu.Heads, rows: int, dtype: torch.dtype, fill: float) -> Tensor:
    """Room for 90 positions, with something in it."""
    like = torch.empty(0, dtype=dtype, device=DEVICE)
    shape = (2, rows, heads.n_kv_heads)
    return cuda.new_cache(*shape, positions=90, head_dim=heads.head_dim, like=like).fill_(fill)


def tables(width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines of 90 positions."""
    angles = normal(90, width // 2, seed=9)
    cos, sin = (torch.cat([some, some], -1).to(dtype).float() for some in (angles.cos(), angles.sin()))
    return cos, sin


@pytest.mark.parametrize(
    "name, dtype", [*((name, torch.float32) for name in ATTENTION), ("grouped", torch.bfloat16)]
)
def test_attention_is_near_that_of_a_cpu(name, dtype):
    heads, half, rows, steps = ATTENTION[name], dtype == torch.bfloat16, 2, 9
    qkv = normal(rows * steps, (heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim, dtype=dtype)
    cos, sin = tables(heads.head_dim - 4, dtype)
    places = torch.arange(steps, device=DEVICE)[None]
    found = cuda.attend(
        qkv.clone(), heads, cached(heads, rows, dtype, torch.nan), (cos, sin), places, rows, half=half
    )
    room = cpu.new_cache(2, rows, heads.n_kv_heads, positions=90, head_dim=heads.head_dim)
    wanted = cpu.attend(qkv.float().cpu(), heads, room, (cos.cpu(), sin.cpu()), places.cpu(), rows, half=half)
    assert found is not None
    assert wanted is not None
    off = (found.float().cpu() - wanted).abs()
    assert off.max() < (0.04 if half else 2e-6)


@pytest.mark.parametrize(
    "name, dtype", [*((name, torch.float32) for name in ATTENTION), ("grouped", torch.bfloat16)]
)
def test_a_query_sees_the_same_in_every_pass(name, dtype):
    """All positions at once, and one after the other in a cache that holds NaN where nothing was written."""
    heads, half, steps = ATTENTION[name], dtype == torch.bfloat16, 37
    qkv = normal(2 * steps, (heads.n_heads + 2 * heads.n_kv_heads) * heads.head_dim, dtype=dtype)
    table, places = tables(heads.head_dim, dtype), torch.arange(steps, device=DEVICE)[None]
    whole = cuda.attend(qkv.clone(), heads, cached(heads, 2, dtype, 0.0), table, places, 2, half=half)
    assert whole is not None
    room = cached(heads, 1, dtype, torch.nan)
    for first, last in [(0, 33), (33, 36), (36, 37)]:
        own = qkv[steps + first : steps + last].clone()
        some = cuda.attend(own, heads, room, table, places[:, first:last], 1, half=half)
        assert some is not None
        assert torch.equal(some, whole[steps + first : steps + last])


def test_rows_stand_at_places_of_their_own():
    heads, dtype = ATTENTION["grouped"], torch.float32
    qkv, table = normal(4, 96, dtype=dtype), tables(12, dtype)
    qkv[3] = qkv[2]  # the last of a row is repeated
    places = torch.tensor([[3, 4], [0, 0]], device=DEVICE)
    room = cached(heads, 2, dtype, 0.5)
    found = cuda.attend(qkv.clone(), heads, room.clone(), table, places, 2)
    for row in range(2):
        own, alone = qkv[2 * row : 2 * row + 2].clone(), room[:, row : row + 1].clone()
        some = cuda.attend(own, heads, alone, table, places[row : row + 1], 1)
        assert found is not None
        assert some is not None
        assert torch.equal(found[2 * row : 2 * row + 2], some)


@pytest.mark.parametrize("strange", [torch.inf, torch.nan])
def test_what_is_not_finite_reaches_those_that_see_it(strange):
    heads, steps = ATTENTION["grouped"], 6
    qkv, places = normal(steps, 96), torch.arange(steps, device=DEVICE)[None]
    room = cached(heads, 1, torch.float32, torch.nan)
    clean = cuda.attend(qkv.clone(), heads, cached(heads, 1, torch.float32, 0.0), None, places, 1)
    qkv[4, -1] = strange  # of the last head's value
    found = cuda.attend(qkv.clone(), heads, cached(heads, 1, torch.float32, 0.0), None, places, 1)
    assert clean is not None
    assert found is not None
    assert torch.equal(found[:4], clean[:4])
    assert found[4:, 24:].isnan().all()
    assert found[4:, :24].isfinite().all()
    for step in range(steps):
        alone = cuda.attend(qkv[step : step + 1].clone(), heads, room, None, places[:, step : step + 1], 1)
        assert alone is not None
        assert torch.equal(alone[0].nan_to_num(7.0), found[step].nan_to_num(7.0))


@pytest.mark.parametrize("top_k", [1, 3, 20, 5000])
@pytest.mark.parametrize("greedy", [False, True])
def test_picks_are_those_of_a_cpu(top_k, greedy, monkeypatch):
    """Rows with ties, and some that are not finite; the filter drops what the noise favours here and there."""
    fields = {"max_new_tokens": 6, "do_sample": not greedy, "temperature": 0.8, "top_k": top_k}
    sampler = Sampler(fields, 3, 5000)
    logits = (normal(40, 5000) * 3).round(decimals=1)
    logits[3, 7], logits[4, 8], logits[5, 9], logits[6] = torch.nan, torch.inf, -torch.inf, -torch.inf
    logits[7], logits[8] = 1.0, 3e38
    steps = torch.arange(40) % 6
    wanted, sampled = sampler.sample(logits.cpu(), steps), sampler.sample_there
    monkeypatch.setitem(operations.BY_DEVICE, "cpu", "mutascope.numerics.cuda")
    assert wanted.tolist() == sampled(logits, steps).tolist()
    assert set(wanted[[3, 4, 6]].tolist()) == {-1}
    noise = None if greedy else sampler.noise
    tokens = pick(
        logits,
        noise if noise is None else noise.to(DEVICE),
        steps.to(DEVICE),
        sampler.top_k,
        sampler.temperature,
    )
    known = tokens.cpu() != UNKNOWN
    assert known.all() if greedy or top_k == 5000 else known.any()
    assert torch.equal(tokens.cpu()[known], wanted[known])


def test_a_batch_fills_a_card():
    """Of Llama-2-7b on 132 processors: 128 x 128 outputs each, one at a time."""
    known, maps = (
        truth_of(torch.bfloat16, DEVICE),
        [(12288, 4096), (4096, 4096), (22016, 4096), (4096, 11008)],
    )
    assert known is not None
    full = known.pace(128 * 33, [(4096, 100)], 132)
    assert full == pytest.approx(1.0)
    assert known.pace(513, [(4096, 4096)], 132) == pytest.approx(
        known.pace(640, [(4096, 4096)], 132) * 640 / 513
    )
    assert min((590, *range(576, 295, -64)), key=lambda rows: known.pace(rows, maps, 132)) == 512
    packed = [cuda.pack(normal(300, 40)), cuda.pack(normal(40, 300))]
    for most in (1, 2, 63, 64, 200, 1000):
        assert most / 2 < cuda.fitting_rows(packed, most) <= most
    assert cuda.fitting_rows(packed, 65) == 64
    assert cpu.fitting_rows([], 65) == 65
