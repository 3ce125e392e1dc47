"""What a folder of a model holds, looked at before it is loaded: errors name the file, the cause and what to do."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from mutascope.core.errors import MutascopeError

_INDEX = "model.safetensors.index.json"
_NOT_WEIGHTS = ("training_args.bin", "optimizer.", "scheduler.", "rng_state", "scaler.", "adapter_model.")
"""How files that a training run leaves beside the weights are called."""
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
_DEQUANTISED = ("mxfp4",)
"""Quantisations that transformers undoes while it loads."""
_LFS = b"version https://git-lfs"
_COUNTED = re.compile(r"(layers?|experts?|blocks?)$")
"""Names of fields that say how many modules are built."""
_MOST = 5_000
"""Of such modules; the largest models have hundreds."""


def check_folder(folder: Path, *, allow_pickle: bool) -> None:
    """Raise MutascopeError for a folder that holds no model that can be loaded and mutated."""
    check_config(folder)
    weights = _named_weights(folder)
    if not weights and not allow_pickle:
        _check_formats(folder)
    for path in weights:
        _check_file(path)
    _check_index(folder)
    if not any(path for pattern in _TOKENIZERS for path in folder.glob(pattern)):
        raise MutascopeError(
            f"{folder} has no tokenizer (tokenizer.json, or tokenizer.model): copy it from the model that it was made"
            " from"
        )
    for path in (folder / f"{name}.json" for name in _SETTINGS):
        if path.exists():
            _object(path)


def lacks_vocabulary(folder: Path) -> bool:
    """Whether a folder has settings of a tokenizer, and nothing that says what its tokens are."""
    settings = {folder / f"{name}.json" for name in _SETTINGS if name != "tokenizer"}
    return not any({*folder.glob(pattern)} - settings for pattern in _TOKENIZERS)


def check_config(folder: Path) -> None:
    """Raise MutascopeError when the config.json of a folder is missing, damaged, absurd, or of quantised weights."""
    path = folder / "config.json"
    if not path.exists():
        raise MutascopeError(f"{folder} is not a model: {_without_config(folder)}")
    config = _object(path)
    _check_counts(path, config)
    _refuse_quantised(str(folder), config.get("quantization_config") or config.get("quantization"))


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
        _refuse_quantised(name, told if told is None or isinstance(told, dict) else told.to_dict())


def _refuse_quantised(name: str, told: Any) -> None:
    if not told or not isinstance(told, dict):
        return
    method = told.get("quant_method", "MLX")
    if getattr(method, "value", method) not in _DEQUANTISED:
        raise MutascopeError(
            f"{name} holds quantised weights ({getattr(method, 'value', method)}, says config.json), which cannot be"
            " mutated: take the checkpoint that they were made from, with --dtype bfloat16 or float32"
        )


def _without_config(folder: Path) -> str:
    """Return what a folder without a config.json is instead."""
    missing = "the folder has no config.json"
    if (folder / "adapter_config.json").exists():
        base = _object(folder / "adapter_config.json").get("base_model_name_or_path")
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


def _check_formats(folder: Path) -> None:
    """Raise MutascopeError for a folder without safetensors weights, saying what it holds in their place."""
    pickled = sorted(
        path.name
        for pattern in ("*.bin", "*.pt", "*.pth")
        for path in folder.glob(pattern)
        if not path.name.startswith(_NOT_WEIGHTS)
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


def _named_weights(folder: Path) -> list[Path]:
    """Return the safetensors files that are loaded: one, or those of the index."""
    whole = folder / "model.safetensors"
    if whole.exists() or whole.is_symlink():
        return [whole]
    if (folder / _INDEX).exists():
        return sorted({folder / name for name in _weight_map(folder).values()})
    return [path for path in sorted(folder.glob("*.safetensors")) if not path.name.startswith(_NOT_WEIGHTS)]


def _check_file(path: Path) -> None:
    """Raise MutascopeError when a safetensors file is not whole."""
    again = "download it again"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(_LFS))
    except OSError as error:
        why = "it is a link to a file that is not there" if path.is_symlink() else error.strerror
        raise MutascopeError(f"{path} cannot be read ({why}): {again}") from error
    if start == _LFS:
        raise MutascopeError(_pointer(path))
    if size < 8 or start.lstrip().startswith((b"<", b"{")):
        raise MutascopeError(
            f"{path} is no safetensors file ({size} bytes, begins with {start[:12]!r}): {again}"
        )
    ends = [entry["data_offsets"][1] for _, entry in _tensors(path)]
    expected = 8 + _header_size(path) + max(ends, default=0)
    if size != expected:
        raise MutascopeError(f"{path} has {size:,} bytes, and its header tells of {expected:,}: {again}")


def _check_index(folder: Path) -> None:
    """Raise MutascopeError when the index names a tensor that is not where it says, or stands beside a whole file."""
    if not (folder / _INDEX).exists():
        return
    placed = _weight_map(folder)
    if (folder / "model.safetensors").exists() and {*placed.values()} != {"model.safetensors"}:
        raise MutascopeError(
            f"{folder} holds both model.safetensors and an index of other files ({min(placed.values())}, ...): move"
            " away what does not belong to the model"
        )
    held = {name: {tensor for tensor, _ in _tensors(folder / name)} for name in set(placed.values())}
    for tensor, name in placed.items():
        if tensor not in held[name]:
            raise MutascopeError(
                f"{folder / _INDEX} says that {tensor} is in {name}, and it is not: the index is of other files"
            )


def _weight_map(folder: Path) -> dict[str, str]:
    found = _object(folder / _INDEX).get("weight_map")
    if not isinstance(found, dict):
        raise MutascopeError(f"{folder / _INDEX} has no weight_map: download it again")
    return found


def _tensors(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return names and entries of the tensors in a safetensors file, from its header."""
    size = _header_size(path)
    with path.open("rb") as file:
        file.seek(8)
        content = file.read(size)
    try:
        header = json.loads(content)
    except ValueError as error:
        raise MutascopeError(f"{path} has a damaged header: download it again") from error
    return [(name, entry) for name, entry in header.items() if name != "__metadata__"]


def _header_size(path: Path) -> int:
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
    if size > path.stat().st_size:
        raise MutascopeError(f"{path} is cut off within its header: download it again")
    return size


def _object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file."""
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith(_LFS.decode()):
            raise MutascopeError(_pointer(path))
        found = json.loads(text)
    except OSError as error:
        raise MutascopeError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MutascopeError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except ValueError as error:
        raise MutascopeError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise MutascopeError(f"{path} must hold an object, not {type(found).__name__}")
    return found


def _pointer(path: Path) -> str:
    return f"{path} is not the file itself but a pointer to it: run `git lfs pull` in its folder"


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
