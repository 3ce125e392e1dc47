"""Silence as a probability: against drawn noise, and its limits."""

import pytest
import torch

from mutascope.numerics.sampling import Sampler, draw_noise
from mutascope.numerics.silence import Coupling, keep

SEEDS = 2000
SETTINGS = [
    {"temperature": 0.7},
    {"temperature": 1.3, "top_k": 6},
    {"top_p": 0.8},
    {"min_p": 0.1, "temperature": 2.0},
    {"top_k": 12, "top_p": 0.9, "min_p": 0.05},
]


def sampler_with(noise: torch.Tensor | None = None, vocabulary: int = 16, **fields: float) -> Sampler:
    resolved = {"max_new_tokens": 1, "do_sample": True, "top_k": 0, **fields}
    sampler = Sampler(resolved, 0, vocabulary)
    sampler.noise = sampler.noise if noise is None else noise
    return sampler


@pytest.mark.parametrize("fields", SETTINGS)
@pytest.mark.parametrize("change", [0.1, 0.7, 3.0])
def test_it_is_the_share_of_seeds_that_keep_the_token(fields, change):
    generator = torch.Generator().manual_seed(4)
    wild = 2 * torch.randn(1, 16, generator=generator)
    mutant = wild + change * torch.randn(1, 16, generator=generator)
    noise = torch.cat([draw_noise(seed, 4, 16) for seed in range(SEEDS)])
    sampler, rows = sampler_with(noise, **fields), torch.arange(len(noise))
    picks = sampler.sample(wild.expand(len(noise), -1), rows)
    others = sampler.sample(mutant.expand(len(noise), -1), rows)
    tokens, counts = picks.unique(return_counts=True)
    assert len(tokens) > 1
    for token, count in zip(tokens.tolist(), counts.tolist(), strict=True):
        chance = float(Coupling(sampler, wild, [token]).terms(mutant, 0))
        error = (chance * (1 - chance) / count) ** 0.5
        assert float((others[picks == token] == token).double().mean()) == pytest.approx(
            chance, abs=4 * error + 2 / count
        )


@pytest.mark.parametrize("fields", SETTINGS)
def test_what_is_kept_is_what_the_sampler_can_pick(fields):
    generator = torch.Generator().manual_seed(9)
    logits = (2 * torch.randn(20, 16, generator=generator)).round() / 2  # many are equal
    noise = draw_noise(1, 3000, 16)
    sampler = sampler_with(noise, **fields)
    found = keep(sampler, logits).probabilities(logits, torch.arange(16))
    assert found.sum(-1).tolist() == pytest.approx([1.0] * 20)
    for row, own in zip(logits, found, strict=True):
        picked = sampler.sample(row.expand(3000, -1), torch.arange(3000)).bincount(minlength=16) / 3000
        assert set(picked.nonzero()[:, 0].tolist()) <= set(own.nonzero()[:, 0].tolist())
        assert picked.tolist() == pytest.approx(own.tolist(), abs=0.05)
        assert not own[picked == 0].gt(0.01).any()


@pytest.mark.parametrize("fields", SETTINGS)
def test_a_row_has_the_same_bits_in_any_batch(fields):
    generator = torch.Generator().manual_seed(2)
    wild = torch.randn(1, 300, generator=generator)
    mutants = wild + torch.randn(17, 300, generator=generator).round(decimals=1)
    coupling = Coupling(sampler_with(vocabulary=300, **fields), wild, [int(wild.argmax())])
    alone = torch.cat([coupling.terms(row[None], 0) for row in mutants])
    assert torch.equal(coupling.terms(mutants, 0), alone)
    assert coupling.terms(wild, 0).tolist() == [1.0]


def test_what_the_mutant_cannot_pick_is_never_silent():
    wild = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    coupling = Coupling(sampler_with(vocabulary=4, top_k=2), wild, [1])
    dropped = torch.tensor([[3.0, -9.0, 1.0, 0.0], [torch.nan, 0, 0, 0], [torch.inf, 2, 0, 0], [3, 2, 1, 0]])
    assert coupling.terms(dropped, 0).tolist() == [0.0, 0.0, 0.0, 1.0]
