"""Folders as people have them, most of them from public fault reports (docs/log/2026-11-inputs.md): loaded, or refused
in a sentence that names the file and the cause."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from changes import (
    CONFIG,
    DOWN,
    INDEX,
    LFS,
    WEIGHTS,
    adapter,
    check_refusal,
    coded,
    config,
    dangling,
    edit_json,
    gguf,
    gptq_tensors,
    headed,
    index,
    lacking,
    lost_shard,
    meta_format,
    moved_in_index,
    only_training_args,
    pickled,
    pointer_shard,
    refusal_of,
    renamed,
    resized,
    sharded,
    stale_index,
    stray_whole_file,
    training_run,
    without,
    without_metadata,
    write,
)
from safetensors.torch import load_file, save_file

from builders import copy_model
from mutascope import MutascopeError, load_model

REFUSED = {
    # weights
    "a Git LFS pointer": (write(WEIGHTS, LFS), WEIGHTS, "git lfs pull"),
    "a pointer among the shards": (pointer_shard, "model-00002-of-00002.safetensors", "git lfs pull"),
    "a web page": (write(WEIGHTS, "<!DOCTYPE html><html>"), WEIGHTS, "is no safetensors file"),
    "a JSON answer": (write(WEIGHTS, '{"error":"Not found"}'), WEIGHTS, "is no safetensors file"),
    "an empty file": (write(WEIGHTS, b""), WEIGHTS, "0 bytes"),
    "cut off in the header": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:200]),
        WEIGHTS,
        "cut off within its header",
    ),
    "cut off": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-1000]),
        WEIGHTS,
        "its header tells of",
    ),
    "a header of something else": (
        write(WEIGHTS, (5).to_bytes(8, "little") + b"abcde"),
        WEIGHTS,
        "damaged header",
    ),
    "a link to nothing": (dangling, WEIGHTS, "a link to a file that is not there"),
    "a shard that is not there": (lost_shard, "model-00002-of-00002.safetensors", "No such file"),
    "an index of other files": (stale_index, "model-00003-of-00003.safetensors", "No such file"),
    "an index that is wrong about a tensor": (moved_in_index, INDEX, DOWN),
    "an index without a map": (index(), INDEX, "no weight_map"),
    "an index of numbers": (index(metadata={}, weight_map={DOWN: 7}), INDEX, "no weight_map"),
    "an index of nothing": (index(metadata={}, weight_map={}), INDEX, "no weight_map"),
    "an index without metadata": (without_metadata, INDEX, "has no metadata"),
    "shards without an index": (
        lambda f: (sharded(f), (f / INDEX).unlink()),
        "model-00001-of-00002.safetensors",
        "transformers looks for model.safetensors",
    ),
    "weights of a variant": (
        lambda f: (f / WEIGHTS).rename(f / "model.fp16.safetensors"),
        "model.fp16.safetensors",
        "rename it",
    ),
    "a header that is a list": (headed("[1, 2]"), WEIGHTS, "damaged header"),
    "a header that is nothing": (headed("null"), WEIGHTS, "damaged header"),
    "a header without places": (headed('{"a": {"dtype": "F32", "shape": [1]}}'), WEIGHTS, "damaged header"),
    "a header of words": (
        headed('{"a": {"dtype": "F32", "shape": [1], "data_offsets": ["x", "y"]}}'),
        WEIGHTS,
        "damaged header",
    ),
    "a header with half a place": (
        headed('{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}'),
        WEIGHTS,
        "damaged header",
    ),
    "tensors in one place": (
        headed(
            '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},'
            ' "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
        ),
        WEIGHTS,
        "is damaged",
    ),
    "a dtype of a later version": (
        headed('{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}'),
        WEIGHTS,
        "is damaged",
    ),
    "a header nested without end": (headed("[" * 50_000), WEIGHTS, "damaged header"),
    "an index that is not JSON": (lambda f: (sharded(f), (f / INDEX).write_text("{")), INDEX, "is not JSON"),
    "a whole file beside shards": (stray_whole_file, WEIGHTS, "holds both"),
    "a matrix that is missing": (lambda f: without(f, DOWN), "lack", DOWN),
    "an output head that is missing": (lambda f: without(f, "lm_head.weight"), "lack", "lm_head.weight"),
    "names of torch.compile": (lambda f: renamed(f, "_orig_mod."), "'_orig_mod.' stands before", "lack"),
    "names of DistributedDataParallel": (lambda f: renamed(f, "module."), "'module.' stands before", "lack"),
    "names of an adapter's base": (lambda f: renamed(f, "base_model.model."), "'base_model.model.'", "lack"),
    "embeddings of more tokens": (resized, "model.embed_tokens.weight", "shape"),
    # other formats
    "an adapter": (adapter, "it is an adapter of owner/base", "merge_and_unload"),
    "an adapter with a config": (lambda f: adapter(f, config=True), "only those of an adapter", "merge it"),
    "a folder above checkpoints": (training_run, "checkpoint-500", "no config.json"),
    "arguments of a training run": (only_training_args, "no *.safetensors weights", "it has a config.json"),
    "a GGUF file": (gguf, "GGUF", "convert it"),
    "Meta's format": (meta_format, "Meta's", "no config.json"),
    "a pipeline of diffusers": (
        lambda f: ((f / CONFIG).unlink(), (f / "model_index.json").write_text("{}")),
        "diffusers",
        "no config.json",
    ),
    "GPTQ": (config(quantization_config={"quant_method": "gptq", "bits": 4}), "gptq", "cannot be mutated"),
    "AWQ": (config(quantization_config={"quant_method": "awq", "bits": 4}), "awq", "cannot be mutated"),
    "bitsandbytes": (
        config(quantization_config={"quant_method": "bitsandbytes"}),
        "bitsandbytes",
        "cannot be mutated",
    ),
    "FP8": (config(quantization_config={"quant_method": "fp8"}), "fp8", "cannot be mutated"),
    "MLX": (config(quantization={"group_size": 64, "bits": 4}), "says config.json", "cannot be mutated"),
    "4 bits without a method": (
        config(quantization_config={"load_in_4bit": True}),
        "(says config.json)",
        "cannot be mutated",
    ),
    "a quantisation as a text": (config(quantization_config="gptq"), "gptq", "cannot be mutated"),
    "compressed tensors by their old name": (
        config(compression_config={"quant_method": "compressed-tensors"}),
        "compressed-tensors",
        "cannot be mutated",
    ),
    "a matrix of whole numbers": (coded(torch.int8), DOWN, "in I8: quantised"),
    "a matrix of 8-bit floats": (coded(torch.float8_e4m3fn), DOWN, "in F8_E4M3: quantised"),
    "matrices of GPTQ, and a config that does not say so": (gptq_tensors, "qweight", "in I32: quantised"),
}


@pytest.mark.parametrize("change, first, second", REFUSED.values(), ids=REFUSED)
def test_folders_that_are_refused(llama_folder, tmp_path, change, first, second):
    check_refusal(llama_folder, tmp_path / "model", change, first, second)


PICKLED = {
    "a pointer": (pickled(LFS), "pytorch_model.bin", "git lfs pull"),
    "an empty file": (pickled(b""), "pytorch_model.bin", "is empty"),
    "what could run": (
        pickled(pickle.dumps(print, protocol=2)),
        "the pickled weights of",
        "more than tensors",
    ),
    "words": (pickled(b"no weights"), "the pickled weights of", "damaged"),
    "another name": (pickled(b"PK", "consolidated.pt"), "consolidated.pt", "looks for pytorch_model.bin"),
    "an index of files that are not there": (
        pickled(b'{"metadata": {}, "weight_map": {"a": "x.bin"}}', "pytorch_model.bin.index.json"),
        "x.bin",
        "No such file",
    ),
}


@pytest.mark.parametrize("change, first, second", PICKLED.values(), ids=PICKLED)
def test_pickled_weights_that_are_refused(llama_folder, tmp_path, change, first, second):
    sentence = refusal_of(copy_model(llama_folder, tmp_path / "model"), change, allow_pickle=True)
    assert first in sentence
    assert second in sentence
    assert "\n" not in sentence


LOADED = {
    "shards with an index": sharded,
    "weights without a format in their header": lambda f: save_file(load_file(f / WEIGHTS), f / WEIGHTS),
    "linear scaling of positions in the old form": config(rope_scaling={"type": "linear", "factor": 2.0}),
    "a dtype by its old name": config(torch_dtype="float16"),
    "fields of another program": config(unsloth_version="2026.1", some_null=None),
    "no name of an architecture": lacking("architectures"),
    "a temperature that is not used": write(
        "generation_config.json", '{"temperature": 0.9, "do_sample": false}'
    ),
    "several ends of a text": write("generation_config.json", '{"eos_token_id": [1, 2]}'),
    "files of a training run beside the weights": write("training_args.bin", b"PK"),
    "an adapter beside the weights": write("adapter_model.safetensors", b""),
}


@pytest.mark.parametrize("change", LOADED.values(), ids=LOADED)
def test_folders_that_are_loaded(llama_folder, tmp_path, change):
    folder = copy_model(llama_folder, tmp_path / "model")
    change(folder)
    model = load_model(str(folder))
    assert len(model.genome) == 21
    assert (
        model.network.get_parameter(DOWN) == load_model(str(llama_folder)).network.get_parameter(DOWN)
    ).all()


def test_a_model_without_layers(llama_folder, tmp_path):
    folder = copy_model(llama_folder, tmp_path / "model")
    edit_json(folder / CONFIG, num_hidden_layers=0)
    with pytest.raises(MutascopeError, match="has no attention or MLP matrix"):
        load_model(str(folder))


def test_tensors_that_the_model_has_no_place_for_are_told(llama_folder, tmp_path, capsys):
    """A config of fewer layers than the checkpoint has: the rest would be dropped without a word."""
    folder = copy_model(llama_folder, tmp_path / "model")
    edit_json(folder / CONFIG, num_hidden_layers=2)
    load_model(str(folder))
    assert "has no place for 9 tensors of its checkpoint, such as model.layers.2." in capsys.readouterr().err


def test_a_head_of_its_own_is_not_tied_away(llama_folder, tmp_path):
    """The config says that head and embeddings are one, and the checkpoint has two different ones."""
    folder = copy_model(llama_folder, tmp_path / "model")
    edit_json(folder / CONFIG, tie_word_embeddings=True)
    tensors = load_file(folder / WEIGHTS)
    assert not torch.equal(tensors["lm_head.weight"], tensors["model.embed_tokens.weight"])
    model = load_model(str(folder))
    assert torch.equal(model.network.get_parameter("lm_head.weight"), tensors["lm_head.weight"])


def test_a_path_with_blanks_and_accents(llama_folder, tmp_path):
    assert load_model(str(copy_model(llama_folder, tmp_path / "mon modèle é"))).genome


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_weights_that_are_not_ones_own(llama_folder, tmp_path):
    folder = copy_model(llama_folder, tmp_path / "model")
    (folder / WEIGHTS).chmod(0)
    with pytest.raises(MutascopeError, match="Permission denied"):
        load_model(str(folder))
