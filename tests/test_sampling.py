"""Margins of picks: what changes less than its margin changes no pick."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mutascope.sampling import Picker, largest

RESOLVED = {"max_new_tokens": 1, "do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.8}


def test_a_tie_at_the_edge_of_top_p_is_a_near_tie():
    """Of tokens 2 and 3 only the first sorted passes the filter, and the noise would pick either."""
    logits = torch.tensor([0.5, 0.3, 0.1, 0.1 - 1e-7]).log()[None]
    picker = Picker(RESOLVED | {"top_p": 0.85}, 0, 4, torch.device("cpu"))
    picker.noise = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    picks = picker.pick(logits, torch.zeros(1, dtype=torch.long))
    assert picks.tokens.tolist() == [2]
    assert float(picks.margins) < 1e-5


@pytest.mark.parametrize("filters", [{}, {"top_k": 12}, {"top_k": 9, "min_p": 0.02}])
def test_changes_below_the_margin_change_no_pick(filters):
    generator = torch.Generator().manual_seed(5)
    picker = Picker(RESOLVED | filters, 3, 40, torch.device("cpu"))
    for _ in range(300):
        logits = torch.randn(1, 40, generator=generator) * 3
        logits[0, 7] = logits[0, 30] + 1e-4  # near ties, as in real vocabularies
        step = torch.zeros(1, dtype=torch.long)
        token, margin, _ = picker.pick(logits, step)
        for _ in range(20):
            change = (torch.rand(1, 40, generator=generator) - 0.5) * 0.9 * margin[0]
            assert picker.pick(logits + change, step).tokens == token


@given(
    seed=st.integers(0, 1000),
    rows=st.integers(1, 5),
    columns=st.sampled_from([10, 64, 640, 1008, 1009, 4096]),
    count=st.integers(1, 10),
    strange=st.sampled_from([None, float("nan"), float("inf")]),
)
def test_the_largest_are_those_of_topk(seed, rows, columns, count, strange):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, columns, generator=generator)
    if strange is not None:
        values[0, seed % columns] = strange
    if seed % 2:  # all of them in one block
        values[:, :: columns // 16 or 1] += 5
    best, places = largest(values, count)
    torch.testing.assert_close(best, values.topk(count).values, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(values.gather(-1, places), best, rtol=0, atol=0, equal_nan=True)
    assert all(len(set(row)) == count for row in places.tolist())
