"""Names of libraries that mutascope uses and that no documentation promises: a failure here says what an upgrade broke.

Each test looks at the library alone, so that it fails for the library's change and not for one of mutascope's.
"""

import inspect
from importlib import import_module

import huggingface_hub.errors
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import (
    AttentionInterface,
    AutoModelForCausalLM,
    GenerationMixin,
    LlamaConfig,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

SIZES = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 8}
CONFIG = {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 2}


@pytest.fixture
def network() -> PreTrainedModel:
    return AutoModelForCausalLM.from_config(LlamaConfig.from_dict(CONFIG))


def test_generation_config_is_resolved_as_generate_does(network):
    """assays/text.py: ``_prepare_generation_config(None, **arguments)`` returns the config and what it did not use."""
    name = "_prepare_generation_config"
    assert hasattr(GenerationMixin, name), f"transformers has no GenerationMixin.{name} any more"
    first, *_, last = list(inspect.signature(getattr(GenerationMixin, name)).parameters.values())[1:]
    assert (first.name, last.kind) == ("generation_config", inspect.Parameter.VAR_KEYWORD), (
        f"GenerationMixin.{name} takes other arguments"
    )
    config, rest = network._prepare_generation_config(None, temperature=0.5, attention_mask=1)
    assert (config.temperature, rest) == (0.5, {"attention_mask": 1}), f"{name} returns something else"


def test_attention_is_chosen_by_name_for_every_pass(network):
    """numerics/install.py: ``config._attn_implementation`` is read at every pass, and layers share the config."""
    called = []

    def attention(module, query, key, value, attention_mask, **_):
        called.append(module)
        return query.transpose(1, 2), None

    AttentionInterface.register("canary", attention)
    assert isinstance(network.config._attn_implementation, str), (
        "config._attn_implementation is no name any more"
    )
    network.config._attn_implementation = "canary"
    network(torch.tensor([[1, 2]]))
    assert len(called) == 1, (
        "setting config._attn_implementation no longer changes the attention of a network"
    )


def test_a_converted_gguf_model_forgets_its_quantisation(network):
    """model/aliases.py: what it deletes of a network before saving are plain attributes."""
    network.hf_quantizer = network.config.quantization_config = object()
    assert "hf_quantizer" in network.__dict__, "a network no longer keeps hf_quantizer as a plain attribute"
    assert "quantization_config" in network.config.__dict__, (
        "a config no longer keeps quantization_config as one"
    )
    network.config._name_or_path = "canary"
    assert network.config.name_or_path == "canary", "config._name_or_path is no longer the name of a network"


def test_a_parameter_counts_its_changes():
    """numerics/install.py: ``Tensor._version`` tells whether packed weights are of today."""
    weight = nn.Parameter(torch.zeros(2))
    before = weight._version
    with torch.no_grad():
        weight[0] = 1.0
    assert weight._version != before, "Tensor._version no longer counts changes in place"


@pytest.mark.parametrize(
    "model, norm, epsilon",
    [
        ("llama", "LlamaRMSNorm", "variance_epsilon"),
        ("mistral", "MistralRMSNorm", "variance_epsilon"),
        ("qwen2", "Qwen2RMSNorm", "variance_epsilon"),
        ("qwen3", "Qwen3RMSNorm", "variance_epsilon"),
        ("phi3", "Phi3RMSNorm", "variance_epsilon"),
        ("gemma", "GemmaRMSNorm", "eps"),
        ("gemma2", "Gemma2RMSNorm", "eps"),
        ("gemma3", "Gemma3RMSNorm", "eps"),
    ],
)
def test_norms_have_their_names(model, norm, epsilon):
    """numerics: norms are told apart by the names of their classes."""
    module = import_module(f"transformers.models.{model}.modeling_{model}")
    assert hasattr(module, norm), f"transformers calls the norm of {model} something else than {norm}"
    made = getattr(module, norm)(8)
    assert hasattr(made, epsilon), f"{norm} calls its epsilon something else than {epsilon}"
    assert made.weight.shape == (8,)


@pytest.mark.parametrize(
    "name, kind",
    [
        ("silu", "SiLUActivation"),
        ("gelu", "GELUActivation"),
        ("gelu_new", "NewGELUActivation"),
        ("gelu_pytorch_tanh", "GELUTanh"),
        ("relu", "ReLU"),
    ],
)
def test_activations_have_their_names(name, kind):
    """numerics/install.py: activations are told apart by the names of their classes, and of their modules."""
    found = type(import_module("transformers.activations").ACT2FN[name])
    assert found.__name__ == kind, f"transformers computes {name} with {found.__name__} instead of {kind}"
    assert found.__module__.startswith(("transformers.activations", "torch.nn.modules.activation"))


def test_a_rotary_embedding_is_made_of_a_config_by_one_power(network):
    """numerics/install.py: its frequencies are the only power, taken where a mode of torch sees it."""
    powers = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            powers.extend([func] if func in (Tensor.__rpow__, torch.pow) else [])
            return func(*args, **(kwargs or {}))

    rotary = network.model.rotary_emb
    with Watch():
        made = type(rotary)(rotary.config)
    assert len(powers) == 1, "the frequencies of a rotary embedding are computed in another way"
    assert made.inv_freq.shape == (2,), (
        "a rotary embedding calls its frequencies something else than inv_freq"
    )
    assert made.attention_scaling == 1.0


def test_a_conv1d_is_a_linear_map_with_its_weight_turned():
    """model/discovery.py, numerics: ``Conv1D`` holds [inputs, outputs]."""
    made = Conv1D(3, 2)
    assert made.weight.shape == (2, 3), "Conv1D no longer holds [inputs, outputs]"
    assert not isinstance(made, nn.Linear), "Conv1D has become a Linear"


def test_errors_of_the_hub_have_a_base_that_is_exported():
    """model/aliases.py: OSError and the HTTP library's own error cover what the Hub raises."""
    errors = huggingface_hub.errors
    assert issubclass(errors.HfHubHTTPError, errors.HTTPError), (
        "huggingface_hub.errors has no HTTPError any more"
    )
    assert issubclass(errors.OfflineModeIsEnabled, OSError)
    assert issubclass(errors.LocalEntryNotFoundError, OSError)


def test_progress_bars_can_be_switched_off():
    """cli/demo.py"""
    logging = import_module("transformers.utils.logging")
    assert callable(logging.disable_progress_bar), (
        "transformers.utils.logging has no disable_progress_bar any more"
    )
