"""Picks against what ``generate`` draws, and margins: what changes less than its margin changes no pick."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mutascope.numerics.sampling import Sampler, draw_noise

RESOLVED = {"max_new_tokens": 1, "do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 0.8}
STEP = torch.zeros(1, dtype=torch.long)


@pytest.mark.parametrize("seed", [0, 10, 2**31, 2**32 + 5])
def test_the_noise_is_of_the_draws_that_multinomial_makes(seed):
    """To within a rounding: torch's logarithm is another one on other processors."""
    generator = torch.Generator().manual_seed(seed)
    for step, own in enumerate(draw_noise(seed, 4, 501)):
        drawn = torch.empty(1, 501).exponential_(1, generator=generator)[0]
        torch.testing.assert_close(own, -drawn.log(), rtol=3e-7, atol=1e-6, msg=f"step {step}")


def test_fewer_steps_have_the_same_noise():
    some = draw_noise(3, 2, 7).clone()
    assert torch.equal(draw_noise(3, 9, 7)[:2], some)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    temperature=st.sampled_from([0.3, 0.7, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 7, 50, 60]),
    top_p=st.sampled_from([0.2, 0.9, 1.0]),
    min_p=st.sampled_from([None, 0.05]),
)
def test_the_sampler_draws_what_multinomial_draws(seed, temperature, top_k, top_p, min_p):
    """Where nothing is so near that the rounding of torch's softmax could decide."""
    from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(12, 61, generator=generator)
    fields = {"do_sample": True, "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    sampler = Sampler({**fields, "max_new_tokens": 12}, seed, 61)
    picks = sampler.sample(logits, torch.arange(12))
    margins = sampler.threats(logits, torch.arange(12)).amin(-1)
    ignored: Any = None  # the tokens so far
    torch.manual_seed(seed)
    for step in range(12):
        scores = TemperatureLogitsWarper(temperature)(ignored, logits[step, None].clone())
        scores = TopKLogitsWarper(top_k)(ignored, scores) if top_k else scores
        scores = TopPLogitsWarper(top_p)(ignored, scores) if top_p < 1 else scores
        scores = MinPLogitsWarper(min_p)(ignored, scores) if min_p else scores
        drawn = torch.multinomial(scores.softmax(-1), 1).item()
        assert drawn == picks[step] or margins[step] < 1e-4


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    fields=st.sampled_from(
        [{}, {"top_k": 1}, {"top_k": 3, "top_p": 0.7}, {"top_k": 20}, {"min_p": 0.2}, {"do_sample": False}]
    ),
    ties=st.booleans(),
    strange=st.sampled_from([None, torch.nan, torch.inf, -torch.inf]),
)
def test_the_largest_logits_are_all_that_a_card_must_tell(seed, fields, ties, strange):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(6, 61, generator=generator)
    if ties:
        logits = logits.round()
    if strange is not None:
        logits[1, seed % 61] = strange
    sampler = Sampler({**RESOLVED, "top_p": 1.0, **fields, "max_new_tokens": 6}, seed, 61)
    steps = torch.tensor([0, 1, 2, 3, 4, 5])
    assert torch.equal(sampler.sample_largest(logits, steps), sampler.sample(logits, steps))


def test_equal_logits_are_settled_by_the_lowest_token():
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.0]])
    assert Sampler({"max_new_tokens": 1}, 0, 4).sample(logits, STEP).tolist() == [1]
    sampled = Sampler({**RESOLVED, "top_p": 1.0, "top_k": 1}, 0, 4)
    sampled.noise = torch.tensor([[0.0, 0.0, 5.0, 9.0]])
    assert sampled.sample(logits, STEP).tolist() == [2]  # both are the first: the noise decides


@pytest.mark.parametrize("filters", [{}, {"top_k": 12}, {"top_k": 9, "min_p": 0.02}])
def test_changes_below_the_margin_change_no_pick(filters):
    generator = torch.Generator().manual_seed(5)
    sampler = Sampler(RESOLVED | {"top_p": 1.0} | filters, 3, 40)
    for _ in range(300):
        logits = torch.randn(1, 40, generator=generator) * 3
        logits[0, 7] = logits[0, 30] + 1e-4  # near ties, as in real vocabularies
        token, margin = sampler.sample(logits, STEP), sampler.threats(logits, STEP).amin()
        for _ in range(20):
            change = (torch.rand(1, 40, generator=generator) - 0.5) * 0.9 * margin
            assert sampler.sample(logits + change, STEP) == token


def test_a_margin_is_the_smallest_change_that_changes_the_pick():
    logits = torch.tensor([[5.0, 4.0, 3.0, 2.99, -1.0] + [-9.0] * 20])
    greedy = Sampler({"max_new_tokens": 1}, 0, 25)
    assert greedy.sample(logits, STEP).tolist() == [0]
    assert float(greedy.threats(logits, STEP).amin()) == pytest.approx(1.0)
    sampled = Sampler({"do_sample": True, "temperature": 0.5, "top_k": 3, "max_new_tokens": 1}, 0, 25)
    noise = torch.zeros(1, 25)
    noise[0, 3] = 100.0  # outside the filter by 0.02 in units of logit / temperature, and it would win
    sampled.noise = noise
    assert sampled.sample(logits, STEP).tolist() == [0]
    assert float(sampled.threats(logits, STEP).amin()) == pytest.approx(0.02, abs=1e-5)
