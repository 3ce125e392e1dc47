"""Rough products of an output head: what they say is sampled is what all logits say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mutascope.numerics import cpu
from mutascope.numerics.cpu.rough import error_of
from mutascope.numerics.sampling import draw_noise

STEPS = 5
GREEDY = {"noise": None, "top_k": 1, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0}


def some_head(vocabulary: int, ins: int, seed: int) -> Tensor:
    """Rows of many lengths, some of them equal, some nearly so, some zero."""
    random = torch.Generator().manual_seed(seed)
    head = torch.randn(vocabulary, ins, generator=random)
    head *= 10 ** torch.empty(vocabulary, 1).uniform_(-2, 1, generator=random)
    head[vocabulary // 2 :] = head[: vocabulary - vocabulary // 2].clone()
    head[-vocabulary // 4 :] *= 1 + 2**-22
    head[3] = 0
    return head


def sampled(states: Tensor, head: Tensor, half: bool, **fields) -> Tensor:
    """What is sampled from all logits."""
    logits = cpu.linear(states, cpu.pack(head), half=half)
    fields = {**fields, "top_k": len(head) if fields["noise"] is None else fields["top_k"]}
    return cpu.sample(logits, ids=None, vocabulary=len(head), **fields)


def found(states: Tensor, head: Tensor, half: bool, longest: int = 512, **fields) -> Tensor:
    rows = cpu.rough(head, len(states))
    assert rows is not None
    return cpu.sample_rough(states, rows, longest=longest, half=half, **fields)[0]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    ins=st.sampled_from([1, 7, 64, 193, 576]),
    vocabulary=st.sampled_from([33, 700, 3000]),
    scale=st.sampled_from([1e-12, 0.1, 1.0, 100.0, 1e12]),
    outlier=st.sampled_from([1.0, 1e4]),
    half=st.booleans(),
    fields=st.one_of(
        st.just({}),
        st.fixed_dictionaries(
            {
                "top_k": st.sampled_from([1, 5, 30]),
                "temperature": st.sampled_from([0.3, 0.7, 2.0]),
                "top_p": st.sampled_from([1.0, 0.8]),
                "min_p": st.sampled_from([0.0, 0.05]),
            }
        ),
    ),
)
def test_what_is_sampled_is_what_all_logits_say(seed, ins, vocabulary, scale, outlier, half, fields):
    head = some_head(vocabulary, ins, seed)
    states = scale * torch.randn(14, ins, generator=torch.Generator().manual_seed(seed + 1))
    states[::2, 0] *= outlier
    if half:
        head, states = head.bfloat16().float(), states.bfloat16().float()
    noise = draw_noise(seed, STEPS, vocabulary) if fields else None
    fields = {**GREEDY, **fields, "noise": noise, "steps": torch.arange(14) % STEPS}
    known = found(states, head, half, **fields)
    truth = sampled(states, head, half, **fields)
    sure = known != -2
    assert torch.equal(known[sure], truth[sure])
    if outlier == 1 and not half and vocabulary == 3000 and fields["top_k"] < 30 and ins > 7:
        assert sure.all()


@pytest.mark.parametrize("ins", [3, 64, 576, 2048])
@pytest.mark.parametrize("half", [False, True])
def test_no_logit_is_off_by_more_than_is_said(ins, half):
    head, random = some_head(200, ins, 1), torch.Generator().manual_seed(2)
    states = torch.randn(9, ins, generator=random) * torch.logspace(-3, 3, 9)[:, None]
    rows = cpu.rough(head, 9)
    assert rows is not None
    cpu.sample_rough(states, rows, longest=1, half=half, steps=torch.zeros(9, dtype=torch.long), **GREEDY)
    sizes = head.double().norm(dim=-1) * states.double().norm(dim=-1)[:, None]
    near = rows.room[:, :200].double() / rows.length**2 * sizes
    off = (cpu.linear(states, cpu.pack(head), half=half).double() - near).abs()
    assert (off <= error_of(ins, rows.length, half=half) * sizes).all()


def test_too_many_candidates_are_left_alone():
    head = torch.ones(100, 8)
    steps = torch.zeros(2, dtype=torch.long)
    assert found(torch.ones(2, 8), head, False, longest=99, steps=steps, **GREEDY).tolist() == [-2, -2]
    assert found(torch.ones(2, 8), head, False, longest=100, steps=steps, **GREEDY).tolist() == [0, 0]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30, 1e-30, 0.0])
def test_extreme_states_are_left_alone(value):
    head, states = some_head(100, 8, 3), torch.full((3, 8), 1.0)
    states[1] = value
    known = found(states, head, False, steps=torch.zeros(3, dtype=torch.long), **GREEDY)
    assert (known == -2).tolist() == [False, True, False]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30, 1e-30])
def test_a_head_with_an_extreme_row_is_refused(value):
    head = some_head(100, 8, 3)
    head[70] = value
    assert cpu.rough(head, 1) is None
