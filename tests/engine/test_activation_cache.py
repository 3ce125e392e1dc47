"""What the unmodified network computes on texts that share a beginning."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import tiny_network
from mutascope.engine.activation_cache import ActivationCache
from mutascope.engine.decoder import Decoder

PROMPT, WILD = (5, 6, 7), (1, 2, 3, 4, 5, 6)


@pytest.fixture(scope="module")
def decoder():
    return Decoder(tiny_network("llama", 3), 12)


@pytest.fixture(scope="module")
def wild(decoder):
    with torch.inference_mode():
        return ActivationCache(decoder, PROMPT, WILD).extend_fully()


def in_order(memory: torch.Tensor, stop: int, head_dim: int) -> torch.Tensor:
    """Keys and values by position, [2, heads, stop, head_dim]; keys lie in blocks of 16, feature by feature."""
    keys, values = memory
    heads, positions, padded = keys.shape
    keys = keys.reshape(heads, positions // 16, padded, 16).transpose(2, 3).reshape(heads, positions, padded)
    return torch.stack([keys, values])[:, :, :stop, :head_dim]


@torch.inference_mode()
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck(each) for each in HealthCheck])
@given(
    tokens=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    shared=st.integers(0, 5),
    asked=st.lists(st.sets(st.integers(0, 3), min_size=1), min_size=1, max_size=3),
)
def test_a_branch_is_the_unmodified_network_on_its_text(decoder, wild, tokens, shared, asked):
    text = (*WILD[:shared], *tokens)[:6]
    if text[:-1] == WILD[: len(text) - 1]:  # nothing is fed after the fork
        return
    branch = ActivationCache(decoder, PROMPT, text, wild)
    truth = ActivationCache(decoder, PROMPT, text).extend_fully()
    end = len(PROMPT) + len(text) - 1
    for layers in asked:
        branch.extend(layers)
        for layer in layers:
            for begin in (0, branch.fork):
                assert torch.equal(branch.inputs(layer, begin, end), truth.inputs(layer, begin, end))
    assert branch.depth == max(max(layers) for layers in asked)
    for layer in range(branch.depth):
        for stop in (1, branch.fork, end):
            found, true = (in_order(text.keys_values(layer, stop), stop, 12) for text in (branch, truth))
            assert torch.equal(found, true)


@torch.inference_mode()
def test_prompts_may_share_a_beginning(decoder):
    beginning = ActivationCache(decoder, (5, 6, 7, 8)).extend_fully()
    for prompt in ((5, 6, 7, 8, 9), (5, 6, 7, 8, 3, 3, 3)):
        found = ActivationCache(decoder, prompt, (1,), beginning).extend_fully()
        truth = ActivationCache(decoder, prompt, (1,)).extend_fully()
        assert found.fork == 4
        for layer in range(len(decoder.layers) + 1):
            for span in ((0, len(prompt)), (4, len(prompt)), (1, 3)):
                assert torch.equal(found.inputs(layer, *span), truth.inputs(layer, *span))
