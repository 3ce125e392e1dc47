"""Noise, picks and probabilities against spec.py, bit for bit."""

import numpy as np
import pytest
import spec
import torch
from arrays import SEEDS, assert_same, draw, few, tensors
from hypothesis import given
from hypothesis import strategies as st

from mutascope.numerics import cpu


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**32 + 5])
def test_noise_is_that_of_the_seed(seed):
    """Draws of torch's generator, seeded with all of the seed, against the Mersenne Twister of the page."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.empty(400, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    expected = spec.draws(seed, 400)
    assert [word % 2**64 for word in words.tolist()] == expected
    assert_same(cpu.gumbel(words), spec.noise(expected))


def test_noise_of_extreme_draws():
    words = [0, 1, 2, 2**52, 2**53 - 1, 2**53 - 2, 2**53, 2**64 - 1, 2**63, 7 << 53]
    signed = torch.tensor([word - 2**64 if word >= 2**63 else word for word in words])
    result = cpu.gumbel(signed)
    assert_same(result, spec.noise(words))
    assert result[0] == result[6] == np.inf


def test_noise_is_that_of_multinomial():
    """Of torch's own draws: nearly the same numbers, which torch rounds as its processor does."""
    generator = torch.Generator().manual_seed(3)
    q = torch.empty(1000).exponential_(generator=generator)
    np.testing.assert_allclose(spec.noise(spec.draws(3, 1000)), -q.log().numpy(), rtol=1e-4, atol=1e-6)


@given(
    seed=SEEDS,
    columns=st.sampled_from([1, 2, 7, 17, 33, 191, 577]),
    top_k=st.sampled_from([1, 2, 5, 30, 2000]),
    temperature=st.sampled_from([1.0, 0.7, 0.1, 3.0]),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.01, 0.999999]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    grid=st.sampled_from([0, 1, 8]),
    strange=st.sampled_from([None, None, np.nan, np.inf, -np.inf]),
    shortlisted=st.booleans(),
)
@few(max_examples=100)
def test_picks(seed, columns, top_k, temperature, top_p, min_p, grid, strange, shortlisted):
    """With ties, where logits lie on a grid, and with a few strange logits."""
    rng = np.random.default_rng(seed)
    vocabulary, rows = (2 * columns, 5)
    logits = rng.standard_normal((rows, columns)).astype(np.float32) * np.float32(4)
    if grid:
        logits = np.round(logits * grid) / np.float32(grid)
    if strange is not None and columns > 2:
        logits[rng.integers(rows), rng.integers(columns, size=2)] = strange
    ids = np.sort(rng.permutation(vocabulary)[:columns])
    if not shortlisted:
        ids, vocabulary = np.arange(columns), columns
    noise = spec.noise(rng.integers(0, 2**63, (3, vocabulary)).ravel().tolist()).reshape(3, vocabulary)
    steps = rng.integers(0, 3, rows)
    common = {"ids": tensors(ids)[0] if shortlisted else None, "vocabulary": vocabulary}
    common["steps"] = torch.from_numpy(steps)
    fields = {"top_k": min(top_k, vocabulary), "temperature": temperature, "top_p": top_p, "min_p": min_p}
    facts = torch.empty(2, rows)
    sampled = cpu.sample(*tensors(logits), noise=torch.from_numpy(noise), facts=facts, **common, **fields)
    fields_off = {"top_k": vocabulary, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0}
    greedy = cpu.sample(*tensors(logits), noise=None, **common, **fields_off)
    for row, own in enumerate(logits):
        place = spec.sample(own, noise[steps[row], ids], **fields)
        assert sampled[row] == (ids[place] if place >= 0 else -1)
        if place >= 0:
            assert facts[0, row] == own[place]
            assert top_k >= columns or facts[1, row] == np.sort(own)[-top_k]
        place = spec.sample(own)
        assert greedy[row] == (ids[place] if place >= 0 else -1)


def test_top_p_lets_go_of_what_adds_up_to_exactly_the_rest():
    """Of four tokens as probable as each other, p = 1/2 leaves the first two."""
    logits, noise = torch.zeros(1, 4), torch.tensor([[0.0, 1, 2, 3]])
    fields = {"top_k": 4, "temperature": 1.0, "top_p": 0.5, "min_p": 0.0}
    steps = torch.tensor([0])
    assert cpu.sample(logits, noise=noise, steps=steps, ids=None, vocabulary=4, **fields).tolist() == [1]
    assert spec.sample(logits[0].numpy(), noise[0].numpy(), **fields) == 1


@pytest.mark.parametrize("greedy", [False, True])
def test_ties_are_won_by_the_lowest_token(greedy):
    logits = torch.tensor([[0.0, 1, 1, -0.0, 1], [0.0, -0.0, 0, 0, 0], [-0.0, 0, 0, 0, 0]])
    noise = None if greedy else torch.zeros(1, 5)
    steps = torch.zeros(3, dtype=torch.int64)
    result = cpu.sample(
        *(logits,),
        noise=noise,
        steps=steps,
        ids=None,
        vocabulary=5,
        top_k=5,
        temperature=1,
        top_p=0.5,
        min_p=0.1,
    )
    assert result.tolist() == [1, 0, 0]


def test_an_infinite_noise_wins_and_the_filters_come_first():
    logits, noise = torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, np.inf, np.inf]])
    common = {"noise": noise, "steps": torch.tensor([0]), "ids": None, "vocabulary": 4}
    fields = {"temperature": 1.0, "min_p": 0.0}
    assert cpu.sample(logits, top_k=4, top_p=1.0, **fields, **common).tolist() == [2]
    assert cpu.sample(logits, top_k=2, top_p=1.0, **fields, **common).tolist() == [0]
    assert cpu.sample(logits, top_k=4, top_p=0.7, **fields, **common).tolist() == [0]


@given(seed=SEEDS, columns=st.sampled_from([1, 7, 33, 577, 4095, 4096, 4097, 9001]), low=st.booleans())
@few()
def test_what_probabilities_are_made_of(seed, columns, low):
    logits = draw(seed, 3, columns) * np.float32(6)
    if low:
        logits[:, draw(seed + 1, columns) > 1.2] = -np.inf
        logits[:, 0] = 0
    largest, sums, changes = cpu.weigh(*tensors(logits))
    expected = [spec.normaliser(row) for row in logits]
    assert_same(largest, np.array([some for some, _ in expected]))
    assert_same(sums, np.array([some for _, some in expected]))
    assert not changes.any()


@given(seed=SEEDS, columns=st.sampled_from([1, 7, 33, 577, 4097]))
@few()
def test_the_divergence_from_the_wild_type(seed, columns):
    """The page does not say how this sum is rounded."""
    wild, *logits = draw(seed, 4, columns) * np.float32(6)
    logits = np.stack(logits)
    given_logits, given_wild = tensors(logits, wild)
    largest, sums, changes = cpu.weigh(given_logits, given_wild)
    assert_same(torch.stack((largest, sums)), torch.stack(cpu.weigh(given_logits)[:2]))
    terms = np.exp(wild.astype(float) - wild.max()) * (logits.astype(float) - wild)
    np.testing.assert_allclose(changes, terms.sum(-1), rtol=1e-4, atol=1e-4 * np.abs(terms).sum())


def test_log_probabilities_of_the_page_are_those_of_torch():
    logits = draw(3, 5000) * np.float32(4)
    expected = torch.from_numpy(logits).double().log_softmax(-1).numpy()
    np.testing.assert_allclose(spec.log_probabilities(logits), expected, rtol=0, atol=1e-6)
    choice = np.array([3, 77, 4999])
    np.testing.assert_allclose(spec.probability(logits, choice), np.exp(expected)[choice].sum(), rtol=1e-6)
