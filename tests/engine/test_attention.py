import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mutascope.engine.attention import attend


def plainly(queries, keys, values, begin, end):
    scores = torch.einsum("rhqw,rhpw->rhqp", queries, keys[:, :, begin:end])
    return torch.einsum("rhqp,rhpw->rhqw", scores.softmax(-1), values[:, :, begin:end])


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.sampled_from([4, 6, 64])),
    ends=st.tuples(st.integers(0, 19), st.integers(1, 20)).filter(lambda ends: ends[0] < ends[1]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_it_is_softmax_attention_over_the_positions_seen(shape, ends, dtype, seed):
    rows, heads, count, width = shape
    draw = torch.Generator().manual_seed(seed)
    queries = torch.randn(rows, heads, count, width, generator=draw, dtype=dtype)
    cache = torch.randn(2, rows + 2, heads, 20, width, generator=draw, dtype=dtype)
    keys, values = cache[0, :rows], cache[1, :rows]
    found = attend(queries, keys, values, *ends)
    assert torch.allclose(found, plainly(queries, keys, values, *ends), atol=1e-5)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["queries", "keys", "values"])
def test_what_is_not_finite_comes_through(broken, where):
    draw = torch.Generator().manual_seed(0)
    parts = {
        "queries": torch.rand(2, 1, 1, 8, generator=draw),
        "keys": torch.rand(2, 1, 5, 8, generator=draw),
        "values": torch.rand(2, 1, 5, 8, generator=draw),
    }
    parts[where][1, 0, 0, 3] = broken
    found, wanted = attend(**parts, begin=0, end=5), plainly(**parts, begin=0, end=5)
    assert torch.allclose(found, wanted, atol=1e-5, equal_nan=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_processor_gives():
    parts = [torch.randn(3, 2, 3, 16), torch.randn(3, 2, 9, 16), torch.randn(3, 2, 9, 16)]
    there = attend(*(part.cuda() for part in parts), 2, 9).cpu()
    assert torch.allclose(there, attend(*parts, 2, 9), atol=1e-5)
