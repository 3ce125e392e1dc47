"""Several arrays with a few facts in one small binary file, which a browser reads without copying."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

_ALIGNMENT = 8
_TYPES = ("uint8", "int16", "uint16", "int32", "uint32", "float32")


def pack(arrays: dict[str, np.ndarray], **facts: Any) -> bytes:
    """Return the arrays as bytes.

    The length of a header as uint32, the header as JSON, and the arrays, each from a multiple of 8 bytes on, all
    little-endian. The header has the facts and under ``arrays``, by name, type, shape and the offset behind the header.

    Args:
        arrays: by name; of 8- to 32-bit integers or float32.
        facts: JSON values.
    """
    described, parts, offset = {}, [], 0
    for name, array in arrays.items():
        kind = array.dtype.name
        if kind not in _TYPES:
            raise TypeError(f"{name} is {kind}; an array is one of {', '.join(_TYPES)}")
        data = array.astype(array.dtype.newbyteorder("<")).tobytes()
        described[name] = {"type": kind, "shape": list(array.shape), "offset": offset}
        parts.append(data + b"\0" * (-len(data) % _ALIGNMENT))
        offset += len(parts[-1])
    header = json.dumps({**facts, "arrays": described}, allow_nan=False).encode()
    header += b" " * (-(len(header) + 4) % _ALIGNMENT)
    return len(header).to_bytes(4, "little") + header + b"".join(parts)


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return facts and arrays of what :func:`pack` returned."""
    start = 4 + int.from_bytes(data[:4], "little")
    facts = json.loads(data[4:start])
    arrays = {}
    for name, told in facts.pop("arrays").items():
        kind = np.dtype(told["type"]).newbyteorder("<")
        size = int(np.prod(told["shape"]))
        arrays[name] = np.frombuffer(data, kind, size, start + told["offset"]).reshape(told["shape"])
    return facts, arrays
