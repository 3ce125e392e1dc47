"""Models that cannot be had or loaded, told as all bad input is (test_errors.py)."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from refusals import ASSAY, check_refused, tree
from transformers import AutoModelForCausalLM

from builders import config_only, copy_model

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


# model


def test_unknown_model_names_the_nearest_alias(refused):
    refused("unknown model 'smolm2-135m'", "did you mean 'smollm2-135m'", model="smolm2-135m")


def test_a_missing_folder_is_an_unknown_model(refused):
    refused("unknown model './nowhere'", "no folder", model="./nowhere")


def test_a_folder_that_is_not_a_model(refused, tmp_path):
    refused("is not a model: the folder has no config.json", model=tmp_path)


def test_a_folder_with_a_config_alone(refused, tmp_path):
    refused("it has a config.json but no *.safetensors", model=config_only(tmp_path / "empty", "llama"))


def test_a_config_that_is_not_json(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "bad")
    (folder / "config.json").write_text("{not json")
    refused(str(folder / "config.json"), "is not JSON", model=folder)


def test_a_config_of_an_unknown_architecture(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "bad")
    (folder / "config.json").write_text('{"model_type": "novel"}')
    refused("cannot be loaded", "novel", model=folder)


def test_a_model_that_is_no_causal_language_model(refused, tmp_path, llama_folder):
    from transformers import ViTConfig

    folder = copy_model(llama_folder, tmp_path / "vit")
    ViTConfig().save_pretrained(folder)
    refused("cannot be loaded as a causal language model", model=folder)


def test_truncated_weights(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    refused(str(weights), "its header tells of", model=folder)


def test_weights_that_lack_a_matrix(refused, tmp_path, llama_folder):
    """transformers fills in random numbers for what is missing: no basis for a screen."""
    from safetensors.torch import load_file, save_file

    folder = copy_model(llama_folder, tmp_path / "holes")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused("model.layers.1.mlp.down_proj.weight", model=folder)


def test_a_model_without_a_tokenizer(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "mute")
    for path in folder.glob("*token*"):
        path.unlink()
    refused("has no tokenizer", model=folder)


@pytest.fixture
def pickled_folder(tmp_path, llama_folder) -> Path:
    folder = copy_model(llama_folder, tmp_path / "pickled")
    network = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    return folder


def test_pickled_weights_are_refused_unless_asked_for(refused, pickled_folder, cli):
    refused("no safetensors weights, only pytorch_model.bin", "--allow-pickle", model=pickled_folder)
    Path("assay.yaml").write_text(ASSAY)
    options = ["--assay", "assay.yaml", "--sample", 1, "--out", "out"]
    result = cli("screen", "--model", pickled_folder, "--allow-pickle", *options)
    assert result.code == 0, result.err


def test_code_that_comes_with_a_model_is_not_run(refused, tmp_path, llama_folder, cli):
    folder = copy_model(llama_folder, tmp_path / "code")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "novel.NovelConfig", "AutoModelForCausalLM": "novel.NovelModel"}
    config["model_type"] = "novel"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "novel.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    refused("brings code of its own", "--trust-remote-code", model=folder)
    check_refused(cli("genome", folder), "brings code of its own")
    assert not (tmp_path / "ran").exists()


def test_an_unknown_dtype(refused):
    refused("unknown dtype 'float31'", dtype="float31")
    refused("unknown dtype 'int8'", dtype="int8")
    refused("unknown dtype 'float8_e4m3fn'", dtype="float8_e4m3fn")


def test_a_folder_without_a_config_has_no_genome(cli, tmp_path):
    check_refused(cli("genome", tmp_path), "is not a model")
    check_refused(cli("genome", "nobody"), "unknown model 'nobody'")


# the Hub, in processes of their own: huggingface_hub reads its environment when it is imported


OFFLINE = {"HF_HUB_OFFLINE": "1"}  # the same sentence, for another error of huggingface_hub


@pytest.mark.parametrize(
    "environment",
    [{"HF_ENDPOINT": "http://127.0.0.1:9"}, pytest.param(OFFLINE, marks=pytest.mark.slow)],
    ids=["unreachable", "told to be offline"],
)
def test_a_hub_id_without_a_network_says_what_to_do(tmp_path, environment):
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "mutascope.cli.main", "screen", "--model", "nobody/nothing", "--out", "out"],
        env={**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert time.monotonic() - started < 60
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(
        "mutascope: nobody/nothing is neither in the local Hugging Face cache nor reachable"
    )
    assert "hf download nobody/nothing" in line
    assert "smollm2-135m" in line
    assert not Path("out").exists()


# the default model, where no source has it


@pytest.fixture
def nothing_there(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("MUTASCOPE_CACHE", str(tmp_path / "cache"))


def test_a_model_that_cannot_be_fetched_says_what_failed(nothing_there, cli, tmp_path):
    check_refused(
        cli("genome", "smollm2-135m"),
        *("smollm2-135m cannot be fetched (the Hub: ", "; pip: ", "; uv: ", "mutascope models --fetch"),
    )
    assert tree(tmp_path / "cache") == {}


def test_a_cache_that_cannot_be_made_is_named(nothing_there, cli, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MUTASCOPE_CACHE", str(tmp_path / "file" / "cache"))
    check_refused(cli("genome", "smollm2-135m"), "is not writable", "MUTASCOPE_CACHE")
