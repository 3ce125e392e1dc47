"""What ``load_model`` refuses before it reads any weights, each in one sentence."""

import json

import pytest
import torch

from builders import copy_model
from mutascope import MutascopeError, load_model
from mutascope.model.loading import load_genome


@pytest.mark.parametrize("device", ["cudda", "meta", "cpu:cpu"])
def test_a_device_that_holds_no_weights(llama_folder, device):
    with pytest.raises(MutascopeError, match=f"device '{device}' cannot be used here") as refused:
        load_model(str(llama_folder), device=device)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_the_dtype_is_that_of_every_weight(llama_folder, dtype):
    model = load_model(str(llama_folder), dtype=dtype, device="cpu")
    assert model.dtype == dtype
    assert {str(p.dtype) for p in model.network.parameters()} == {f"torch.{dtype}"}


def test_arguments_are_checked_before_anything_is_fetched():
    with pytest.raises(MutascopeError, match="unknown dtype 'int8'"):
        load_model("nobody/nothing", dtype="int8")
    with pytest.raises(MutascopeError, match="device 'nowhere'"):
        load_model("nobody/nothing", device="nowhere")


@pytest.mark.parametrize(
    "method, fields",
    [
        ("bitsandbytes", {"load_in_4bit": True}),
        ("gptq", {"bits": 4, "group_size": 128}),
        ("awq", {"bits": 4, "group_size": 128}),
        ("fp8", {"weight_block_size": [128, 128]}),
    ],
)
def test_quantised_checkpoints_are_refused_before_they_are_read(llama_folder, tmp_path, method, fields):
    folder = copy_model(llama_folder, tmp_path / "coded")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, **fields}
    (folder / "config.json").write_text(json.dumps(config))
    for load in (load_model, load_genome):
        with pytest.raises(MutascopeError, match=rf"quantised weights \({method}, .* --dtype bfloat16"):
            load(str(folder))


def test_a_card_that_there_is_not_is_named():
    if torch.cuda.device_count() > 7:
        pytest.skip("there is one")
    with pytest.raises(MutascopeError, match="device 'cuda:7' cannot be used here"):
        load_model("smollm2-135m", device="cuda:7")
