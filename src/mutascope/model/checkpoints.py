"""What a folder of a model holds, looked at before it is loaded: errors name the file, the cause and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from mutascope.core.errors import MutascopeError
from mutascope.model.files import check_start, read_object, read_text
from mutascope.model.weight_files import NOT_WEIGHTS, check_weights, misnamed

_OTHER_FORMATS = {
    "*.gguf": "GGUF; convert it to safetensors (transformers: from_pretrained with gguf_file, then save_pretrained)",
    "consolidated.*": "Meta's or Mistral's own format; convert it with the script in transformers, or take the -hf one",
    "*.onnx": "ONNX; take the checkpoint that it was made from",
    "*.h5": "TensorFlow's format; convert it with an earlier transformers",
    "*.msgpack": "Flax's format; convert it with an earlier transformers",
}
_TOKENIZERS = ("*token*", "vocab*", "merges*", "*.model", "*.tiktoken", "tekken.json", "spiece*")
"""What files of tokenizers are called."""
_SETTINGS = ("generation_config", "tokenizer", "tokenizer_config", "special_tokens_map", "added_tokens")
"""JSON files beside the config: transformers leaves out what it cannot read, or names another cause."""
_QUANTISED = ("quantization_config", "quantization", "compression_config")
"""Fields of a config that say how weights were made codes of."""
_DEQUANTISED = ("mxfp4",)
"""Quantisations that transformers undoes while it loads."""
_COUNTED = re.compile(r"(layers?|experts?|blocks?)$")
"""Names of fields that say how many modules are built."""
_MOST = 5_000
"""Of such modules; the largest models have hundreds."""


def check_folder(folder: Path, *, allow_pickle: bool) -> None:
    """Raise MutascopeError for a folder that holds no model that can be loaded and mutated."""
    check_config(folder)
    if not check_weights(folder, allow_pickle=allow_pickle):
        _check_formats(folder, allow_pickle=allow_pickle)
    vocabulary = sorted({path for pattern in _TOKENIZERS for path in folder.glob(pattern)})
    if not vocabulary:
        raise MutascopeError(
            f"{folder} has no tokenizer (tokenizer.json, or tokenizer.model): copy it from the model that it was made"
            " from"
        )
    for path in (folder / f"{name}.json" for name in _SETTINGS):
        if path.exists():
            read_object(path)
    for path in folder.glob("*.jinja"):
        read_text(path)
    if not (folder / "tokenizer.json").exists():
        for path in vocabulary:
            check_start(path)


def lacks_vocabulary(folder: Path) -> bool:
    """Whether a folder has settings of a tokenizer, and nothing that says what its tokens are."""
    settings = {folder / f"{name}.json" for name in _SETTINGS if name != "tokenizer"}
    return not any({*folder.glob(pattern)} - settings for pattern in _TOKENIZERS)


def check_config(folder: Path) -> None:
    """Raise MutascopeError when the config.json of a folder is missing, damaged, absurd, or of quantised weights."""
    path = folder / "config.json"
    if not path.exists():
        raise MutascopeError(f"{folder} is not a model: {_without_config(folder)}")
    config = read_object(path)
    _check_counts(path, config)
    if not isinstance(config.get("model_type", ""), str):
        raise MutascopeError(f"{path} has model_type {config['model_type']!r}, which must be a text")
    for name in _QUANTISED:
        _refuse_quantised(str(folder), config.get(name))


def _check_counts(path: Path, config: Any) -> None:
    """Raise MutascopeError for more layers or experts than can be built."""
    for name, value in config.items() if isinstance(config, dict) else ():
        if isinstance(value, int) and value > _MOST and _COUNTED.search(name):
            raise MutascopeError(
                f"{path} asks for {value:,} {name}, and {_MOST:,} is the most that can be built"
            )
        _check_counts(path, value)


def refuse_quantised(name: str, config: PreTrainedConfig) -> None:
    """Refuse a checkpoint whose weights are stored as codes: a tile of these cannot be written.

    Raises:
        MutascopeError: for bitsandbytes, GPTQ, AWQ, FP8 and the like.
    """
    for part in (config, config.get_text_config(decoder=True)):
        told: Any = getattr(part, "quantization_config", None)
        _refuse_quantised(name, told.to_dict() if hasattr(told, "to_dict") else told)


def _refuse_quantised(name: str, told: Any) -> None:
    if not told:
        return
    method = told.get("quant_method") if isinstance(told, dict) else told
    method = getattr(method, "value", method)
    if method not in _DEQUANTISED:
        how = f"{method}, says config.json" if method else "says config.json"
        raise MutascopeError(
            f"{name} holds quantised weights ({how}), which cannot be mutated: take the checkpoint that they were made"
            " from, with --dtype bfloat16 or float32"
        )


def _without_config(folder: Path) -> str:
    """Return what a folder without a config.json is instead."""
    missing = "the folder has no config.json"
    if (folder / "adapter_config.json").exists():
        base = read_object(folder / "adapter_config.json").get("base_model_name_or_path")
        return f"{missing}, it is an adapter of {base}: merge the two (peft: merge_and_unload) and give the result"
    if (folder / "model_index.json").exists():
        return f"{missing}, it is a pipeline of diffusers"
    below = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if below:
        return f"{missing}, but {below[-1]} in it has: give {folder / below[-1]}"
    for pattern, told in _OTHER_FORMATS.items():
        if any(folder.glob(pattern)):
            return f"{missing}, its weights are in {told}"
    return missing


def _check_formats(folder: Path, *, allow_pickle: bool) -> None:
    """Raise MutascopeError for a folder without weights that are found, saying what it holds in their place."""
    if found := misnamed(folder):
        raise MutascopeError(
            f"{folder} has {found.name}, and transformers looks for model.safetensors, or for the index of several"
            " (model.safetensors.index.json): rename it, or bring the index"
        )
    pickled = sorted(
        path.name
        for pattern in ("*.bin", "*.pt", "*.pth")
        for path in folder.glob(pattern)
        if not path.name.startswith(NOT_WEIGHTS)
    )
    if pickled and allow_pickle:
        raise MutascopeError(
            f"{folder} has {pickled[0]}, and transformers looks for pytorch_model.bin, or for the index of several"
            " (pytorch_model.bin.index.json): rename it, or bring the index"
        )
    if pickled:
        raise MutascopeError(
            f"{folder} has no safetensors weights, only {pickled[0]}, which can run code when it is loaded;"
            " convert it, or pass --allow-pickle if you trust its source"
        )
    what = f"{folder} is not a complete model: it has a config.json but no *.safetensors weights"
    if any(folder.glob("adapter_model.*")):
        raise MutascopeError(f"{what}, only those of an adapter: merge it into its base model first")
    told = next((told for pattern, told in _OTHER_FORMATS.items() if any(folder.glob(pattern))), None)
    raise MutascopeError(f"{what}{f', they are in {told}' if told else ''}")


def stray_prefix(missing: Iterable[str], unexpected: Iterable[str]) -> str | None:
    """Return what stands before the names of a checkpoint's tensors that the network has without it, if that is it."""
    wanted = set(missing)
    return next(_prefixes(wanted, unexpected), None)


def _prefixes(wanted: set[str], unexpected: Iterable[str]) -> Iterator[str]:
    for name in unexpected:
        parts = name.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in wanted:
                yield ".".join(parts[:cut]) + "."
