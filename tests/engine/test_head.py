"""Picks near a known state: the same as from all logits, and most of them proved from a few."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import tiny_network
from mutascope.engine.decoder import Decoder
from mutascope.engine.head import Head, Shortlist
from mutascope.numerics.sampling import Sampler

VOCABULARY, STEPS = 5000, 6


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    network = tiny_network("llama", 1, std=0.3, vocab_size=VOCABULARY).requires_grad_(False)
    return Decoder(network, positions=8)


def new_head(decoder: Decoder, **fields) -> Head:
    return Head(decoder, Sampler({**fields, "max_new_tokens": STEPS}, 7, VOCABULARY))


def states(decoder: Decoder, seed: int, distances: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Final states [STEPS, hidden], and states at given distances from each of them, [distances, STEPS, hidden]."""
    generator = torch.Generator().manual_seed(seed)
    known = 4 * torch.randn(STEPS, decoder.head.shape[1], generator=generator)
    moves = torch.randn(len(distances), *known.shape, generator=generator)
    moves *= torch.tensor(distances)[:, None, None] / moves.norm(dim=-1, keepdim=True)
    return known, known + moves


def truth(head: Head, final: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """What is sampled from all logits."""
    return head.sampler.sample(head.decoder.logits(final), steps)


def shortlists(head: Head, known: torch.Tensor) -> list[Shortlist]:
    """The shortlists of final states [STEPS, hidden], from all their logits."""
    logits = torch.cat([some.clone() for _, some in head.logits(known)])
    return head.known(known, logits, truth(head, known, torch.arange(STEPS)).tolist())


SAMPLING = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "do_sample": st.just(True),
            "temperature": st.sampled_from([0.3, 0.7, 1.0, 3.0]),
            "top_k": st.sampled_from([0, 1, 5, 50]),
        }
    ),
)


@settings(max_examples=25)
@given(sampling=SAMPLING, seed=st.integers(0, 1000))
def test_picks_near_known_states_are_those_from_all_logits(decoder, sampling, seed):
    head = new_head(decoder, **sampling)
    known, near = states(decoder, seed, [0.0, 0.01, 0.3, 1.0, 3.0, 30.0])
    found = head.sample_near(near, shortlists(head, known))
    steps = torch.arange(STEPS).repeat(len(near))
    assert torch.equal(found, truth(head, near.flatten(0, 1), steps).view(len(near), STEPS))


@settings(max_examples=25)
@given(sampling=SAMPLING, seed=st.integers(0, 1000))
def test_what_is_proved_is_so(decoder, sampling, seed):
    head = new_head(decoder, **sampling)
    known, near = states(decoder, seed, [0.01, 0.1, 0.3, 0.5, 1.0, 2.0, 4.0])
    for step, shortlist in enumerate(shortlists(head, known)):
        assert len(shortlist.tokens) < VOCABULARY
        picks, proved = head._sample_near(near[:, step], shortlist)
        picked = truth(head, near[:, step], torch.full((len(near),), step))
        assert torch.equal(picks[proved], picked[proved])


@settings(max_examples=25)
@given(sampling=SAMPLING, seed=st.integers(0, 1000))
def test_a_state_alone_samples_what_all_its_logits_say(decoder, sampling, seed):
    head = new_head(decoder, **sampling)
    known, near = states(decoder, seed, [1e-3, 1.0, 100.0])
    final, steps = torch.cat([known, near.flatten(0, 1)]), torch.arange(STEPS).repeat(4)
    final[7, 2] = torch.inf
    assert torch.equal(head.sample(final, steps), truth(head, final, steps))


def test_small_moves_are_proved_and_large_ones_are_not(decoder):
    head = new_head(decoder, do_sample=True, temperature=0.7, top_k=50)
    known, near = states(decoder, 3, [1e-3, 1e3])
    for step, shortlist in enumerate(shortlists(head, known)):
        assert head._sample_near(near[:, step], shortlist)[1].tolist() == [True, False]


def test_families_pick_what_their_members_would_alone(decoder):
    head = new_head(decoder, do_sample=True, temperature=0.7, top_k=50)
    known, near = states(decoder, 5, [0.01, 0.2, 2.0, 20.0])
    final = torch.cat([known, near.flatten(0, 1)])
    families = [list(range(first, len(final), STEPS)) for first in range(STEPS - 1)]
    families += [[index] for index in range(STEPS - 1, len(final), STEPS)]
    steps = torch.full((len(final),), 2)
    assert torch.equal(head.sample_families(final, steps, families), truth(head, final, steps))


def test_a_state_that_is_not_finite_is_never_proved(decoder):
    head = new_head(decoder)
    known, near = states(decoder, 8, [0.01])
    near[0, 1, 3] = torch.nan
    picks = head.sample_near(near, shortlists(head, known))
    assert (picks[0] >= 0).tolist() == [step != 1 for step in range(STEPS)]


def test_there_are_no_shortlists_under_top_p(decoder):
    head = new_head(decoder, do_sample=True, temperature=0.7, top_p=0.9)
    assert shortlists(head, states(decoder, 1, [1.0])[0]) == []


def test_the_tokens_of_a_list_have_the_logits_that_they_have_among_all(decoder):
    _, near = states(decoder, 4, [0.5, 2.0])
    tokens = torch.tensor([3, 4, 77, 4096, 4999])
    some = decoder.some_logits(near[:, 0], decoder.head[tokens])
    assert torch.equal(some, decoder.logits(near[:, 0])[:, tokens])
