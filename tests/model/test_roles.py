"""Kinds that names or classes tell, against what the network does when their weights change."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from model.small_configs import small_config
from mutascope.model.discovery import find_genome
from mutascope.model.matrices import module_of, parameter_of

LAYER = 1


def network_of(model_type):
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(small_config(model_type), dtype=torch.float32).eval()
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.1)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    return network


def read_by(network, genome, kind):
    """What the module of a locus reads."""
    seen = []
    module = module_of(network, genome.locus(LAYER, kind))
    hook = module.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    with torch.inference_mode():
        network(torch.tensor([[5, 6, 7, 8]]), use_cache=False)
    hook.remove()
    return seen[0]


def scale(network, genome, kind, factor):
    locus = genome.locus(LAYER, kind)
    with torch.no_grad():
        parameter_of(network, locus)[locus.features(0, locus.rows)] *= factor


@pytest.mark.parametrize(
    "model_type",
    [
        "persimmon",
        "gpt_neox_japanese",
        "dbrx",
        "phi4_multimodal",
        "bert",
        "ctrl",
        "prophetnet",
        "modernbert-decoder",
    ],
)
def test_without_values_attention_puts_out_nothing(model_type):
    """Were q, k and v in another order, or another layout, something would be left."""
    network = network_of(model_type)
    genome = find_genome(network)
    assert read_by(network, genome, "o").abs().max() > 1e-3
    for kind in ("q", "k"):
        scale(network, genome, kind, 0.5)
    assert read_by(network, genome, "o").abs().max() > 1e-3
    scale(network, genome, "v", 0)
    assert read_by(network, genome, "o").abs().max() < 1e-6


@pytest.mark.parametrize(
    "model_type, suffix",
    [
        *(
            (name, "")
            for name in ("modernbert-decoder", "lfm2", "cpmant", "phi4_multimodal", "glm4", "moshi")
        ),
        *((name, ".shared") for name in ("granitemoeshared", "deepseek_v2", "llama4_text")),
    ],
)
def test_the_gate_is_what_is_activated(model_type, suffix):
    """The sign of what is gated comes through, and that of the gate does not."""
    network = network_of(model_type)
    genome = find_genome(network)
    before = read_by(network, genome, f"down{suffix}")
    assert before.abs().max() > 1e-4
    scale(network, genome, f"up{suffix}", -1)
    torch.testing.assert_close(read_by(network, genome, f"down{suffix}"), -before)
    scale(network, genome, f"up{suffix}", -1)
    scale(network, genome, f"gate{suffix}", -1)
    assert not torch.allclose(read_by(network, genome, f"down{suffix}"), -before, atol=1e-5)


def test_a_module_of_another_layout_stays_uncovered():
    """CodeGen has blocks of q, v and k, and Falcon has three layouts: no name tells which."""
    for model_type in ("codegen", "falcon"):
        genome = find_genome(network_of(model_type))
        assert not {"q", "k", "v"} & {*genome.kinds}
        assert genome.uncovered
