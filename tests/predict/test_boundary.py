"""Margins at the boundary of top k, against the sampler itself on moved logits."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mutascope.numerics.sampling import Sampler
from mutascope.predict.boundary import NEAR
from mutascope.predict.targets import Targets, make_targets

VOCABULARY, TOP_K, STEPS = 80, 12, 24
FIELDS = {"do_sample": True, "temperature": 0.7, "top_k": TOP_K, "max_new_tokens": STEPS}


def case(seed: int, **fields) -> tuple[Sampler, torch.Tensor, Targets]:
    """Logits that are their own final states, and the targets of what is sampled from them."""
    sampler = Sampler(FIELDS | fields, seed, VOCABULARY)
    logits = torch.randn(STEPS, VOCABULARY, generator=torch.Generator().manual_seed(seed)) / 4
    steps = torch.arange(STEPS)
    return sampler, logits, make_targets(sampler, logits, steps, steps, lambda grad, _: grad, 2)


def moved(targets: Targets, change: torch.Tensor) -> torch.Tensor:
    """The directions of one mutant that changes logits [steps, vocabulary]."""
    at = targets.directions
    return (at.seeds * change[at.places]).sum(-1)[None, None, :, None]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_a_contested_margin_says_whether_the_sampler_picks_the_target(seed):
    sampler, logits, targets = case(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    change = 0.02 * torch.randn(STEPS, VOCABULARY, generator=generator)
    margins = targets.margins + targets.changes(moved(targets, change))[0, 0, :, 0]
    before, after = (sampler.sample(x, torch.arange(STEPS)) for x in (logits, logits + change))
    scores = (logits + change).sort(descending=True).indices
    for contest in targets.contests:
        step = int(targets.steps[contest.target])
        same = set(scores[step, TOP_K - 1 - NEAR : TOP_K + NEAR + 1].tolist())
        was = set(logits[step].argsort(descending=True)[TOP_K - 1 - NEAR : TOP_K + NEAR + 1].tolist())
        if margins[contest.target] < -1e-5:
            assert before[step] != after[step]
        elif same == was and (margins[targets.steps == step] > 1e-5).all():
            assert before[step] == after[step]


def test_the_last_of_the_top_is_looked_for_among_the_moved_tokens():
    entering, turned = 0, 0
    for seed in range(30):
        sampler, logits, targets = case(seed)
        for contest in targets.contests:
            step = int(targets.steps[contest.target])
            own, pick, *_ = targets.directions.seeds[contest.at].argmax(-1).tolist()
            ranked = logits[step].argsort(descending=True).tolist()
            others = [token for token in ranked if token != own]
            change = torch.zeros(STEPS, VOCABULARY)
            change[step, others[TOP_K - 1]] = -1.0  # the k-th is so no more; the next one takes its place
            scores = (logits + change)[step] / sampler.temperature
            margin = scores[own] - scores[others[TOP_K]]
            if own != pick:
                assert sampler.noise is not None
                lead = sampler.noise[step, pick] - sampler.noise[step, own]
                margin, entering = max(-margin, scores[pick] - scores[own] + lead), entering + 1
            found = targets.margins + targets.changes(moved(targets, change))[0, 0, :, 0]
            assert abs(found[contest.target] - margin) < 1e-4
            linear = targets.margins + moved(targets, change)[0, 0, targets.linear, 0]
            turned += bool(linear[contest.target] < 0 < margin)
    assert entering > 5
    assert turned > 5


def test_no_change_leaves_the_margins_and_other_filters_have_no_contests():
    _, _, targets = case(3)
    assert len(targets.contests) > 0
    assert not targets.changes(moved(targets, torch.zeros(STEPS, VOCABULARY))).any()
    assert (targets.directions.places.diff() >= 0).all()
    for fields in ({"top_p": 0.9}, {"min_p": 0.01}, {"top_k": 0}, {"top_k": NEAR}):
        assert case(3, **fields)[2].contests == ()
