"""What ``load_model`` refuses before it reads any weights, each in one sentence."""

import pytest

from mutascope import MutascopeError, load_model


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
