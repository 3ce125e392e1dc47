"""Read YAML files into pydantic models, with errors that name the nearest right key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mutascope.core.errors import MutascopeError, nearest

Fields = TypeVar("Fields", bound=BaseModel)


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises:
        MutascopeError: when the file cannot be read or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MutascopeError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MutascopeError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise MutascopeError(f"{path} must hold a mapping of keys to values")
    return content


def validate(kind: type[Fields], content: dict[str, Any], *, where: str) -> Fields:
    """Return ``content`` as an instance of ``kind``.

    Raises:
        MutascopeError: naming the first bad key, and the nearest right one for a misspelt key.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise MutascopeError(
                f"{where}: unknown key {key!r}; {nearest(key, list(kind.model_fields))}"
            ) from error
        message = first["msg"].removeprefix("Value error, ")
        raise MutascopeError(f"{where}: {key + ': ' if key else ''}{message}") from error
