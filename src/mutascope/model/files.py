"""Files of a checkpoint: errors name the file, the cause and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mutascope.core.errors import MutascopeError

POINTER = "version https://git-lfs"
"""How a file begins that Git LFS has left in place of a large one."""


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        MutascopeError: when it cannot be read, is a pointer of Git LFS, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MutascopeError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MutascopeError(f"{path} is not UTF-8 text: save it as UTF-8") from error
    if text.startswith(POINTER):
        raise MutascopeError(pointer(path))
    return text


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        MutascopeError: as of :func:`read_text`, and when it holds no object.
    """
    text = read_text(path)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise MutascopeError(f"{path} is not JSON: {error}") from error
    except RecursionError as error:
        raise MutascopeError(f"{path} is damaged: it is nested too deeply") from error
    if not isinstance(found, dict):
        raise MutascopeError(f"{path} must hold an object, not {type(found).__name__}")
    return found


def check_start(path: Path) -> tuple[int, bytes]:
    """Return the size of a file and its first bytes.

    Raises:
        MutascopeError: when it cannot be read, is empty, or is a pointer of Git LFS.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError as error:
        why = "it is a link to a file that is not there" if path.is_symlink() else error.strerror
        raise MutascopeError(f"{path} cannot be read ({why}): download it again") from error
    if not size:
        raise MutascopeError(f"{path} is empty (0 bytes): download it again")
    if start == POINTER.encode():
        raise MutascopeError(pointer(path))
    return size, start


def pointer(path: Path) -> str:
    """Return what is said of a pointer of Git LFS."""
    return f"{path} is not the file itself but a pointer to it: run `git lfs pull` in its folder"
