"""Calls from the changes of margins: the predicted chance of silence against the exact one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mutascope.numerics.sampling import Sampler
from mutascope.numerics.silence import Coupling
from mutascope.predict.calls import Calls, make_calls
from mutascope.predict.targets import make_targets

VOCABULARY, STEPS = 6, 10
FIELDS = {"do_sample": True, "temperature": 0.7, "top_k": 0, "max_new_tokens": STEPS}


def silences(seed: int, size: float, rivals: float, **fields) -> tuple[Calls, float]:
    """What is predicted of a mutant that moves logits, which are their own final states, and its chance of silence."""
    sampler = Sampler(FIELDS | fields, seed, VOCABULARY)
    random = torch.Generator().manual_seed(seed)
    logits, change = (scale * torch.randn(STEPS, VOCABULARY, generator=random) for scale in (1.0, size))
    steps = torch.arange(STEPS)
    targets = make_targets(sampler, logits, steps, steps, lambda grad, _: grad, rivals)
    moved = (targets.directions.seeds * change[targets.directions.places]).sum(-1)[None, None, :, None]
    coupling = Coupling(sampler, logits, sampler.sample(logits, steps).tolist())
    terms = [coupling.terms((logits + change)[step, None], step) for step in steps.tolist()]
    return make_calls(targets.changes(moved), targets), float(torch.cat(terms).prod())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.sampled_from([0.0, 0.01, 0.3, 2.0]))
def test_silence_is_exact_where_every_token_is_a_target(seed, size):
    calls, exact = silences(seed, size, VOCABULARY - 1)
    assert calls.silence is not None
    assert abs(float(calls.silence) - exact) < 2e-4


def test_the_nearest_tokens_stand_for_the_others():
    pairs = []
    for seed in range(60):
        calls, exact = silences(seed, 0.1 + seed / 40, 1.5)
        assert calls.silence is not None
        pairs.append((float(calls.silence), exact))
    assert torch.corrcoef(torch.tensor(pairs).T)[0, 1] > 0.8


def test_a_pick_that_is_filtered_out_is_never_silent():
    lost, agree = 0, 0
    for seed in range(100):
        calls, exact = silences(seed, 0.15, VOCABULARY, top_k=3)
        assert calls.silence is not None
        lost += exact == 0
        agree += (float(calls.silence) == 0) == (exact == 0)
    assert lost > 10
    assert agree > 90


def test_a_greedy_choice_has_no_chance_of_silence():
    sampler = Sampler({"max_new_tokens": STEPS}, 0, VOCABULARY)
    logits, steps = torch.randn(STEPS, VOCABULARY), torch.arange(STEPS)
    targets = make_targets(sampler, logits, steps, steps, lambda grad, _: grad, 1)
    assert make_calls(torch.zeros(1, 1, len(targets), 1), targets).silence is None
