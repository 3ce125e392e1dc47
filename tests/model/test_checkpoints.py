"""Folders as people have them, most of them from public fault reports (docs/log/2026-11-inputs.md): loaded, or refused
in a sentence that names the file and the cause."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from builders import copy_model
from mutascope import MutascopeError, load_genome, load_model

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9900000000\n"
WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"
DOWN = "model.layers.1.mlp.down_proj.weight"


def edit_json(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def save(folder, tensors):
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def renamed(folder, prefix):
    save(folder, {prefix + name: tensor for name, tensor in load_file(folder / WEIGHTS).items()})


def without(folder, *names):
    save(folder, {name: tensor for name, tensor in load_file(folder / WEIGHTS).items() if name not in names})


def sharded(folder):
    """Two files and their index in place of one."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    placed = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        placed |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return placed


def stale_index(folder):
    placed = sharded(folder)
    (folder / INDEX).write_text(
        json.dumps({"weight_map": {**placed, "lm_head.weight": "model-00003-of-00003.safetensors"}})
    )


def moved_in_index(folder):
    placed = sharded(folder)
    first = placed[DOWN]
    other = next(name for name in placed.values() if name != first)
    (folder / INDEX).write_text(json.dumps({"weight_map": {**placed, DOWN: other}}))


def stray_whole_file(folder):
    """What somebody's quantisation left beside the shards; transformers would load it alone."""
    shutil.copy(folder / WEIGHTS, folder / "kept")
    sharded(folder)
    (folder / "kept").rename(folder / WEIGHTS)


def lost_shard(folder):
    sharded(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def pointer_shard(folder):
    sharded(folder)
    (folder / "model-00002-of-00002.safetensors").write_bytes(LFS)


def dangling(folder):
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("../../blobs/4d7a")


def adapter(folder, *, config=False):
    for path in folder.glob("*"):
        if path.name != CONFIG or not config:
            path.unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
    save_file({"base_model.model.q.lora_A.weight": torch.zeros(2, 2)}, folder / "adapter_model.safetensors")


def training_run(folder):
    (folder / "checkpoint-500").mkdir()
    for path in [*folder.glob("*.*")]:
        path.rename(folder / "checkpoint-500" / path.name)
    (folder / "training_args.bin").write_bytes(b"PK")


def only_training_args(folder):
    (folder / WEIGHTS).unlink()
    (folder / "training_args.bin").write_bytes(b"PK")


def gguf(folder):
    (folder / WEIGHTS).unlink()
    (folder / "model-Q4_K_M.gguf").write_bytes(b"GGUF")


def meta_format(folder):
    for path in folder.glob("*"):
        path.unlink()
    (folder / "params.json").write_text("{}")
    (folder / "consolidated.00.pth").write_bytes(b"PK")


def resized(folder):
    tensors = load_file(folder / WEIGHTS)
    name = "model.embed_tokens.weight"
    save(folder, {**tensors, name: torch.cat((tensors[name], tensors[name][:8]))})


def coded(dtype):
    """A matrix stored in a dtype whose numbers mean nothing without scales."""

    def change(folder):
        tensors = load_file(folder / WEIGHTS)
        save(folder, {**tensors, DOWN: torch.zeros(tensors[DOWN].shape).to(dtype)})

    return change


def gptq_tensors(folder):
    tensors = load_file(folder / WEIGHTS)
    del tensors[DOWN]
    save(folder, {**tensors, DOWN.replace("weight", "qweight"): torch.zeros(10, 48, dtype=torch.int32)})


def headed(header):
    """A safetensors file with a header, and four bytes behind it."""
    content = header.encode()
    return write(WEIGHTS, len(content).to_bytes(8, "little") + content + b"0000")


def index(**fields):
    def change(folder):
        sharded(folder)
        (folder / INDEX).write_text(json.dumps(fields))

    return change


def without_metadata(folder):
    placed = sharded(folder)
    (folder / INDEX).write_text(json.dumps({"weight_map": placed}))


def pickled(content=None, name="pytorch_model.bin"):
    def change(folder):
        (folder / WEIGHTS).unlink()
        (folder / name).write_bytes(content)

    return change


def write(name, content):
    def change(folder):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def edited(name, **fields):
    return lambda folder: edit_json(folder / name, **fields)


def config(**fields):
    return edited(CONFIG, **fields)


def lacking(*names):
    def change(folder):
        held = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({k: v for k, v in held.items() if k not in names}))

    return change


def nameless_template(folder):
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "tokenizer_config.json", chat_template=[{"name": "default"}])


def tokenizer_model(folder):
    path = folder / "tokenizer.json"
    edit_json(path, model={"type": "Novel", "vocab": {}})


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
    # configurations
    "a config that is empty": (write(CONFIG, ""), CONFIG, "is not JSON"),
    "a config with a comma too many": (write(CONFIG, '{"a": 1,}'), CONFIG, "is not JSON"),
    "a config nested without end": (write(CONFIG, "[" * 100_000), CONFIG, "nested too deeply"),
    "a type that is a list": (config(model_type=["llama"]), CONFIG, "which must be a text"),
    "a dtype that there is not": (config(dtype="float99"), "'float99'", "torch does not know"),
    "a dtype with its module": (config(dtype="torch.bfloat16"), "'torch.bfloat16'", "torch does not know"),
    "a config that is a list": (write(CONFIG, "[]"), CONFIG, "must hold an object, not list"),
    "a config in UTF-16": (write(CONFIG, '{"a": 1}'.encode("utf-16")), CONFIG, "is not UTF-8"),
    "no type of model": (lacking("model_type", "architectures"), "model_type", "cannot be loaded"),
    "a type of a later version": (config(model_type="llama9"), "llama9", "not known to transformers"),
    "a type that is no language model": (config(model_type="vit"), "it is a ViT", "causal language model"),
    "a text where a number is due": (config(hidden_size="48"), "hidden_size", "cannot be loaded"),
    "a fraction where a number is due": (
        config(num_hidden_layers=2.5),
        "num_hidden_layers",
        "cannot be loaded",
    ),
    "an unknown rope": (
        config(rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}),
        "spiral",
        "cannot be loaded",
    ),
    "an unknown activation": (config(hidden_act="swoosh"), "swoosh", "cannot be loaded"),
    "more layers than there are stars": (
        config(num_hidden_layers=10**24),
        "config.json asks for 1,000,000,000,000,000,000,000,000 num_hidden_layers",
        "5,000 is the most",
    ),
    "experts of a part without end": (
        config(text_config={"num_experts": 10**9}),
        "1,000,000,000 num_experts",
        "5,000 is the most",
    ),
    "heads that do not divide": (
        config(num_attention_heads=5, num_key_value_heads=5, head_dim=None),
        "heads",
        "cannot be loaded",
    ),
    # tokenizers
    "no tokenizer": (
        lambda f: [path.unlink() for path in f.glob("*token*")],
        "has no tokenizer",
        "copy it",
    ),
    "a tokenizer of a later version": (tokenizer_model, "the tokenizer of", "cannot be loaded"),
    "a tokenizer that is a pointer": (write("tokenizer.json", LFS), "tokenizer.json", "git lfs pull"),
    "a tokenizer that is cut off": (
        write("tokenizer.json", '{"version": "1.0"'),
        "tokenizer.json",
        "not JSON",
    ),
    "settings of a tokenizer that are no JSON": (
        write("tokenizer_config.json", "{"),
        "tokenizer_config.json",
        "not JSON",
    ),
    "a tokenizer without its vocabulary": (
        lambda f: (f / "tokenizer.json").unlink(),
        "no vocabulary",
        "copy it",
    ),
    "a vocabulary that is a pointer": (
        lambda f: ((f / "tokenizer.json").unlink(), (f / "tokenizer.model").write_bytes(LFS)),
        "tokenizer.model",
        "git lfs pull",
    ),
    "a chat template that is a pointer": (
        write("chat_template.jinja", LFS),
        "chat_template.jinja",
        "git lfs pull",
    ),
    "a chat template in Latin-1": (write("chat_template.jinja", b"\xe9"), "chat_template.jinja", "not UTF-8"),
    "a list of templates without texts": (
        nameless_template,
        "the tokenizer of",
        "it has no 'template'",
    ),
    # other settings
    "a padding token as a text": (
        edited("generation_config.json", pad_token_id="</s>"),
        "the generation config of",
        "cannot be loaded",
    ),
    "settings of a compiler": (
        edited("generation_config.json", compile_config={"mode": "max-autotune"}),
        "the generation config of",
        "compile_config",
    ),
    "settings of texts that are no JSON": (
        write("generation_config.json", "{"),
        "generation_config.json",
        "not JSON",
    ),
    "settings of texts that are a list": (
        write("generation_config.json", "[]"),
        "generation_config.json",
        "must hold an object",
    ),
    "empty settings of texts": (write("generation_config.json", ""), "generation_config.json", "not JSON"),
    "rotary positions that nobody knows": (
        config(rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}),
        "spiral",
        "does not know",
    ),
}


def refusal_of(folder: Path, change: Callable[[Path], object], **options: Any) -> str:
    """What is said of a folder with a change."""
    change(folder)
    with pytest.raises(MutascopeError) as told:
        load_model(str(folder), **options)
    return str(told.value)


@pytest.mark.parametrize("change, first, second", REFUSED.values(), ids=REFUSED)
def test_folders_that_are_refused(llama_folder, tmp_path, change, first, second):
    folder = copy_model(llama_folder, tmp_path / "model")
    sentence = refusal_of(folder, change)
    assert first in sentence
    assert second in sentence
    assert str(folder) in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600


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


@pytest.mark.parametrize(
    "change",
    [config(model_type="llama9"), config(hidden_size="48"), config(hidden_act="swoosh"), write(CONFIG, "[]")],
    ids=["unknown type", "text for a number", "unknown activation", "list"],
)
def test_a_genome_is_refused_as_the_model_is(llama_folder, tmp_path, change):
    folder = copy_model(llama_folder, tmp_path / "model")
    change(folder)
    with pytest.raises(MutascopeError) as told:
        load_genome(str(folder))
    assert "\n" not in str(told.value)


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


@pytest.mark.skipif(
    Path("/proc/self").exists() and __import__("os").geteuid() == 0, reason="root reads everything"
)
def test_weights_that_are_not_ones_own(llama_folder, tmp_path):
    folder = copy_model(llama_folder, tmp_path / "model")
    (folder / WEIGHTS).chmod(0)
    with pytest.raises(MutascopeError, match="Permission denied"):
        load_model(str(folder))
