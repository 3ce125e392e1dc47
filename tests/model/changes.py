"""Changes to the folder of a checkpoint: what is found in folders as people have them (docs/log/2026-11-inputs.md)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from builders import copy_model
from mutascope import MutascopeError, load_model

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


def refusal_of(folder: Path, change: Callable[[Path], object], **options: Any) -> str:
    """What is said of a folder with a change."""
    change(folder)
    with pytest.raises(MutascopeError) as told:
        load_model(str(folder), **options)
    return str(told.value)


def check_refusal(model: Path, folder: Path, change: Callable[[Path], object], *words: str) -> None:
    """Assert that a copy of a model with a change is refused in a sentence that has these words and its folder."""
    copy_model(model, folder)
    sentence = refusal_of(folder, change)
    for word in (*words, str(folder)):
        assert word in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600
