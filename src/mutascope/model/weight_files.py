"""Files of weights, looked at before they are loaded: safetensors by their headers, and the indices of shards."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from mutascope.core.errors import MutascopeError
from mutascope.model.files import check_start, read_object

WHOLE = "model.safetensors"
_INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_PICKLED = "pytorch_model.bin"
NOT_WEIGHTS = ("training_args.bin", "optimizer.", "scheduler.", "rng_state", "scaler.", "adapter_model.")
"""How files that a training run leaves beside the weights are called."""
_FLOATS = ("F64", "F32", "F16", "BF16")
"""Dtypes of matrices that are numbers, and not codes or bytes."""
_AGAIN = "download it again"


class Stored(NamedTuple):
    """A tensor as a header tells of it: ``stop`` is the place behind its last byte, from the end of the header."""

    dtype: str
    dimensions: int
    stop: int


def check_weights(folder: Path, *, allow_pickle: bool) -> bool:
    """Return whether a folder has weights that transformers finds.

    Raises:
        MutascopeError: when a file is damaged or missing, two sets of weights are there, or the weights are codes.
    """
    names = [WHOLE, _INDICES[0], *([_PICKLED, _INDICES[1]] if allow_pickle else [])]
    first = next((path for name in names if _is_there(path := folder / name)), None)
    if first is None:
        return False
    if first.name in _INDICES:
        _check_index(folder, first)
    else:
        _check_file(first)
    if first.name == WHOLE:
        _refuse_both(folder)
    return True


def misnamed(folder: Path) -> Path | None:
    """Return a file of weights that transformers does not look for, as of a variant or of shards without an index."""
    found = (path for path in sorted(folder.glob("*.safetensors")) if not path.name.startswith(NOT_WEIGHTS))
    return next(found, None)


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _refuse_both(folder: Path) -> None:
    """Raise MutascopeError for an index of other files beside a whole one, which would be loaded alone."""
    index = folder / _INDICES[0]
    others = {*_weight_map(index).values()} - {WHOLE} if index.exists() else set()
    if others:
        raise MutascopeError(
            f"{folder} holds both {WHOLE} and an index of other files ({min(others)}, ...): move away what does not"
            " belong to the model"
        )


def _check_index(folder: Path, index: Path) -> None:
    """Raise MutascopeError when an index names a file that is not there or not whole, or puts a tensor elsewhere."""
    placed = _weight_map(index)
    held = {name: _check_file(folder / name) for name in sorted({*placed.values()})}
    for tensor, name in placed.items():
        inside = held[name]
        if inside is not None and tensor not in inside:
            raise MutascopeError(
                f"{index} says that {tensor} is in {name}, and it is not: the index is of other files"
            )
    if "metadata" not in read_object(index):
        raise MutascopeError(
            f'{index} has no metadata, without which transformers does not read it: write "metadata": {{}}'
            " beside its weight_map"
        )


def _check_file(path: Path) -> dict[str, Stored] | None:
    """Return the tensors of a file of weights by name; None of one whose names cannot be read without loading it."""
    if path.suffix != ".bin":
        return _check_tensors(path)
    check_start(path)
    return None


def _weight_map(index: Path) -> dict[str, str]:
    """Return the names of files by tensor."""
    found = read_object(index).get("weight_map")
    if not (isinstance(found, dict) and found and all(isinstance(name, str) for name in found.values())):
        raise MutascopeError(f"{index} has no weight_map of tensors and files: {_AGAIN}")
    return found


def _check_tensors(path: Path) -> dict[str, Stored]:
    """Return the tensors of a safetensors file by name.

    Raises:
        MutascopeError: when it is not whole, or holds a matrix of codes.
    """
    size, start = check_start(path)
    if size < 8 or start.lstrip().startswith((b"<", b"{")):
        raise MutascopeError(
            f"{path} is no safetensors file ({size} bytes, begins with {start[:12]!r}): {_AGAIN}"
        )
    header_size = _header_size(path)
    held = _read_header(path, header_size)
    expected = 8 + header_size + max((tensor.stop for tensor in held.values()), default=0)
    if size != expected:
        raise MutascopeError(f"{path} has {size:,} bytes, and its header tells of {expected:,}: {_AGAIN}")
    try:
        safe_open(path, framework="pt")
    except SafetensorError as error:
        raise MutascopeError(f"{path} is damaged ({error}): {_AGAIN}") from error
    for name, tensor in held.items():
        if name.endswith("weight") and tensor.dimensions > 1 and tensor.dtype not in _FLOATS:
            raise MutascopeError(
                f"{path} holds {name} in {tensor.dtype}: quantised weights cannot be mutated, take the checkpoint that"
                " they were made from"
            )
    return held


def _read_header(path: Path, size: int) -> dict[str, Stored]:
    with path.open("rb") as file:
        file.seek(8)
        content = file.read(size)
    try:
        return {
            name: Stored(str(entry["dtype"]), len(entry["shape"]), int(entry["data_offsets"][1]))
            for name, entry in json.loads(content).items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise MutascopeError(f"{path} has a damaged header: {_AGAIN}") from error


def _header_size(path: Path) -> int:
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
    if size > path.stat().st_size:
        raise MutascopeError(f"{path} is cut off within its header: {_AGAIN}")
    return size
