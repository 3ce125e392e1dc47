"""The operations installed in networks of transformers: one position has its bits however it is fed."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from builders import FAMILIES, known_families, tiny_network
from mutascope.numerics import cpu, install
from mutascope.numerics.install import numerics_of, refusal

COVERED = known_families()
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
LENGTH = 37
ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]


def network_of(family, dtype=torch.float32, **changes):
    """A small network whose norms and biases are not those of a new one."""
    network = tiny_network(family, 1, **changes)
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn(parameter.shape, generator=random)
    return network.to(dtype)  # pyright: ignore


def some_tokens(count=LENGTH, seed=0):
    return torch.randint(3, 90, (1, count), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def logits_of(network, tokens):
    """Logits of one pass, with the operations installed."""
    with numerics_of(network).installed(network):
        return network(tokens).logits[0]


@torch.inference_mode()
def logits_in_parts(network, tokens, *sizes):
    """Logits of passes over so many tokens each, and of single tokens after these, with keys and values kept."""
    sizes = (*sizes, *[1] * (tokens.shape[1] - sum(sizes)))
    parts, past = [], None
    with numerics_of(network).installed(network):
        for part in tokens.split(sizes, dim=1):
            out = network(part, past_key_values=past, use_cache=True)
            parts.append(out.logits[0])
            past = out.past_key_values
    return torch.cat(parts)


def test_known_families_are_covered():
    assert [name for name in FAMILIES if refusal(tiny_network(name)) is None] == list(COVERED)


@DTYPES
@pytest.mark.parametrize("family", COVERED)
def test_a_pass_has_the_bits_of_a_prompt_and_single_tokens_after_it(family, dtype):
    network, tokens = network_of(family, dtype), some_tokens()
    whole = logits_of(network, tokens)
    assert whole.dtype == dtype
    assert torch.equal(logits_in_parts(network, tokens, 5), whole)
    assert torch.equal(logits_in_parts(network, tokens, 1, 17, 3), whole)


@pytest.mark.parametrize("family", COVERED)
@torch.inference_mode()
def test_logits_are_close_to_those_of_torch(family):
    network, tokens = network_of(family), some_tokens()
    stock = network(tokens).logits[0]
    own = logits_of(network, tokens)
    assert (own - stock).abs().max() <= 1e-4 * stock.abs().max()
    assert torch.equal(network(tokens).logits[0], stock)  # nothing is left behind


@pytest.mark.parametrize("family", COVERED)
@torch.inference_mode()
def test_bfloat16_is_as_near_to_float32_as_torch_has_it(family):
    network, tokens = network_of(family, torch.bfloat16), some_tokens()
    stock, own = network(tokens).logits[0], logits_of(network, tokens)
    exact = network.float()(tokens).logits[0]
    assert (own - exact).abs().mean() <= 1.2 * (stock - exact).abs().mean()


OPTIONS = {
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "odd widths": ("mistral", {"head_dim": 14, "num_attention_heads": 3, "num_key_value_heads": 1}),
    "tied": ("qwen2", {"tie_word_embeddings": True}),
    "yarn": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10_000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        },
    ),
    "part of a head": ("phi3", {"partial_rotary_factor": 0.5}),
    "whole heads": ("gpt_neox", {"rotary_pct": 1.0, "use_parallel_residual": False}),
    "no biases": ("gpt_neox", {"attention_bias": False}),
    "unscaled": ("gpt2", {"scale_attn_weights": False, "activation_function": "gelu"}),
    "scaled by layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}),
    "no caps": ("gemma2", {"attn_logit_softcapping": None, "final_logit_softcapping": None}),
    "low caps": ("gemma2", {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "exact gelu": ("gemma3", {"hidden_activation": "gelu", "layer_types": ALTERNATING}),
}


@pytest.mark.parametrize("name", OPTIONS)
@torch.inference_mode()
def test_options_of_an_architecture(name):
    family, changes = OPTIONS[name]
    network, tokens = network_of(family, attn_implementation="eager", **changes), some_tokens()
    assert refusal(network) is None
    whole, stock = logits_of(network, tokens), network(tokens).logits[0]
    assert (whole - stock).abs().max() <= 1e-4 * stock.abs().max()
    assert torch.equal(logits_in_parts(network, tokens, 5), whole)


# what is put in comes out


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("fails", [False, True])
def test_what_was_there_before_comes_back(family, fails):
    network = network_of(family)
    before = {name: dict(module.__dict__) for name, module in network.named_modules()}
    attention, threads, tanh = network.config._attn_implementation, torch.get_num_threads(), torch.tanh
    try:
        with numerics_of(network).installed(network):
            assert network.config._attn_implementation != attention
            assert "forward" in network.get_output_embeddings().__dict__
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert {name: dict(module.__dict__) for name, module in network.named_modules()} == before
    assert network.config._attn_implementation == attention
    assert (torch.get_num_threads(), torch.tanh) == (threads, tanh)


@contextmanager
def interrupted(lines: int) -> Iterator[None]:
    """Raise KeyboardInterrupt before a function of the numerics' installation has run so many lines."""
    left = lines

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != install.__file__ or frame.f_code.co_name == "_put_back":
            return None
        left -= event == "line"
        if left < 0:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


def test_an_interrupt_while_it_is_installed_stays_one_and_leaves_nothing_behind():
    network = network_of("gemma2", num_hidden_layers=1)
    before = {name: dict(module.__dict__) for name, module in network.named_modules()}
    attention, threads = network.config._attn_implementation, torch.get_num_threads()
    lines, whole = 0, False
    while not whole:
        with ExitStack() as stack:
            try:
                with interrupted(lines):
                    stack.enter_context(numerics_of(network).installed(network))
                whole = True
            except KeyboardInterrupt:
                lines += 1
        assert {name: dict(module.__dict__) for name, module in network.named_modules()} == before, lines
        assert (network.config._attn_implementation, torch.get_num_threads()) == (attention, threads), lines
    assert lines > 100


def test_a_forward_that_another_library_has_put_in_comes_back():
    network = network_of("llama")
    network.lm_head.forward = own = lambda x: x
    logits_of(network, some_tokens(3))
    assert network.lm_head.__dict__.get("forward") is own


def test_it_can_be_installed_twice():
    network, tokens = network_of("llama"), some_tokens(9)
    alone = logits_of(network, tokens)
    with numerics_of(network).installed(network), torch.inference_mode():
        assert torch.equal(logits_of(network, tokens), alone)
        assert torch.equal(network(tokens).logits[0], alone)
    assert "forward" not in network.lm_head.__dict__


# weights that change


EDITED = {
    "llama": ("model.layers.1.mlp.up_proj.weight", "model.layers.0.self_attn.k_proj.weight"),
    "gemma": ("model.embed_tokens.weight", "model.layers.2.input_layernorm.weight"),
    "gpt2": ("transformer.h.1.attn.c_attn.weight", "transformer.h.2.mlp.c_fc.bias"),
    "gpt_neox": ("gpt_neox.layers.1.attention.query_key_value.weight", "lm_head.weight"),
    "phi3": ("model.layers.1.mlp.gate_up_proj.weight", "lm_head.weight"),
}


@DTYPES
@pytest.mark.parametrize("family, name", [(family, name) for family in EDITED for name in EDITED[family]])
def test_a_weight_that_is_edited_in_place_counts_at_once_and_so_does_the_undo(family, name, dtype):
    network, tokens = network_of(family, dtype), some_tokens(9)
    before = logits_of(network, tokens)
    parameter = network.get_parameter(name).detach()
    place = (slice(3, 8),) * parameter.ndim
    wild = parameter[place].clone()
    parameter[place] = 2.0
    edited = logits_of(network, tokens)
    assert not torch.equal(edited, before)
    assert torch.equal(logits_of(copy.deepcopy(network), tokens), edited)
    parameter[place] = wild
    assert torch.equal(logits_of(network, tokens), before)


def test_weights_that_were_made_in_inference_mode_count_too():
    with torch.inference_mode():
        network, tokens = network_of("llama"), some_tokens(9)
        before = logits_of(network, tokens)
        network.lm_head.weight[5, 5] = 9.0
        assert not torch.equal(logits_of(network, tokens), before)


# what is refused


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - set(COVERED)))
def test_other_architectures_are_refused(family):
    network = tiny_network(family)
    assert refusal(network) == f"{type(network).__name__} has operations that are not known"


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_dtypes_are_refused(dtype):
    reason = refusal(tiny_network("llama").to(getattr(torch, dtype)))
    assert reason is not None
    assert reason.startswith(f"there are no kernels for {dtype}")
    assert ("take bfloat16, or float32" in reason) == (dtype == "float16")


def test_numerics_are_those_of_where_a_network_is():
    network = tiny_network("llama")
    assert numerics_of(network) is numerics_of(network)
    before = numerics_of(network)
    before.device = torch.device("cuda")
    assert numerics_of(network) is not before


ROPE = {
    "dynamic": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0},
    "longrope": {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 6,
        "long_factor": [2.0] * 6,
        "original_max_position_embeddings": 256,
        "factor": 2.0,
    },
}


@pytest.mark.parametrize(
    "family, rope_type", [("llama", "dynamic"), ("llama", "longrope"), ("phi3", "longrope")]
)
def test_rotary_embeddings_that_depend_on_the_length_are_refused(family, rope_type):
    network = tiny_network(family, rope_parameters=ROPE[rope_type], original_max_position_embeddings=256)
    assert refusal(network) == f"rotary embeddings of type {rope_type} depend on the length"


def test_one_layer_type_whose_rotary_embedding_depends_on_the_length_is_enough():
    kinds = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        "full_attention": ROPE["dynamic"],
    }
    network = tiny_network("gemma3", rope_parameters=kinds)
    assert refusal(network) == "rotary embeddings of type dynamic depend on the length"


@pytest.mark.parametrize(
    "act, name",
    [
        ("quick_gelu", "QuickGELUActivation"),
        ("gelu_10", "ClippedGELUActivation"),
        ("tanh", "Tanh"),
        ("sigmoid", "Sigmoid"),
    ],
)
def test_activations_that_are_not_known_are_refused(act, name):
    assert refusal(tiny_network("llama", hidden_act=act)) == f"the activation {name} is not known"


def test_a_class_of_its_own_with_a_known_name_is_refused():
    """Code that comes with a checkpoint may do what it likes."""
    network = tiny_network("llama")
    network.__class__ = type("LlamaForCausalLM", (type(network),), {"__module__": "transformers_modules.x"})
    assert refusal(network) == "LlamaForCausalLM has operations that are not known"


@pytest.mark.parametrize("act", ["silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh"])
def test_activations_that_are_known_are_not(act):
    assert refusal(tiny_network("llama", hidden_act=act)) is None


# frequencies of the rotary embedding


def powers(base, dim):
    """Powers of the default definition: rounded once from double, whatever torch.pow does."""
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    return (np.float64(base) ** exponents.astype(np.float64)).astype(np.float32)


def llama3(frequencies, factor, low, high, length):
    """As transformers defines it, in floats."""
    one, factor, low, high, length = map(np.float32, (1, factor, low, high, length))
    waves = np.float32(2 * math.pi) / frequencies
    long, short = waves > length / low, waves < length / high
    scaled = np.where(long, frequencies / factor, frequencies)
    smooth = (length / waves - low) / (high - low)
    return np.where(~long & ~short, (one - smooth) * scaled / factor + smooth * scaled, scaled)


def check_frequencies(network, frequencies, layer_type=None):
    positions = torch.tensor([0, 1, 36, 4095, 100_003])
    cos, sin = numerics_of(network).rotary(network.model.rotary_emb, positions, layer_type)
    expected = cpu.cos_sin(positions[:, None].float() * torch.from_numpy(frequencies))
    for found, told in zip((cos, sin), expected, strict=True):
        assert torch.equal(found, torch.cat((told, told), -1))


@pytest.mark.parametrize("base", [10_000.0, 500_000.0, 1_000_000.0, 130_000.0])
@pytest.mark.parametrize("width", [12, 64, 128])
def test_frequencies_are_powers_rounded_once(base, width):
    rope = {"rope_type": "default", "rope_theta": base}
    network = tiny_network("llama", head_dim=width, rope_parameters=rope)
    check_frequencies(network, np.float32(1) / powers(base, width))


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_linear_frequencies(factor):
    rope = {"rope_type": "linear", "rope_theta": 10_000.0, "factor": factor}
    network = tiny_network("llama", head_dim=64, rope_parameters=rope)
    check_frequencies(network, np.float32(1) / powers(10_000, 64) / np.float32(factor))


def test_llama3_frequencies():
    how = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "original_max_position_embeddings": 8192,
        **how,
    }
    network = tiny_network("llama", head_dim=128, rope_parameters=rope)
    check_frequencies(network, llama3(np.float32(1) / powers(500_000, 128), *how.values(), 8192))  # pyright: ignore


def test_frequencies_of_the_layers_of_a_kind():
    bases = {"sliding_attention": 10_000.0, "full_attention": 1_000_000.0}
    rope = {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}
    network = tiny_network("gemma3", head_dim=64, rope_parameters=rope, layer_types=ALTERNATING)
    for kind, base in bases.items():
        check_frequencies(network, np.float32(1) / powers(base, 64), kind)


# windows


WINDOWED = {
    "mistral": {"sliding_window": 5},
    "qwen2": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    "gemma2": {"sliding_window": 5},
    "gemma3": {"sliding_window": 5, "layer_types": ALTERNATING},
}


@DTYPES
@pytest.mark.parametrize("family", WINDOWED)
@torch.inference_mode()
def test_a_cache_that_is_longer_than_the_window(family, dtype):
    network, tokens = network_of(family, dtype, **WINDOWED[family]), some_tokens()
    whole = logits_of(network, tokens)
    assert torch.equal(logits_in_parts(network, tokens, 5), whole)
    assert torch.equal(logits_in_parts(network, tokens, 3, 11, 2, 9), whole)
    if dtype == torch.float32:
        stock = network(tokens).logits[0]
        assert (whole - stock).abs().max() <= 1e-4 * stock.abs().max()


@DTYPES
def test_a_token_reaches_as_far_as_the_windows_of_all_layers(dtype):
    network, tokens = network_of("mistral", dtype, **WINDOWED["mistral"]), some_tokens()
    reach = 3 * (5 - 1)
    before = logits_of(network, tokens)
    tokens[0, 10] += 1
    changed = (logits_of(network, tokens) != before).any(-1)
    assert changed.nonzero().flatten().tolist() == list(range(10, 10 + reach + 1))


def test_attention_that_looks_ahead_is_refused():
    network = tiny_network("gemma3", use_bidirectional_attention=True)
    assert refusal(network) == "attention that looks ahead is not implemented"
