"""Calls of a store at a URL, which are made again where it fails for a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from mutascope.core.errors import MutascopeError

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
"""Seconds before each new try."""
PATIENCE = 120.0
"""Seconds after which there is no new try: a client may wait long for each answer."""
_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""What a store that works says."""
_FOREIGN = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
    "gcsfs.retry": ("HttpError",),
    "azure.core.exceptions": ("AzureError",),
}
"""Failures, by module, of clients that do not make them OSErrors."""
_FINAL = ("NoCredentialsError", "PartialCredentialsError", "PermissionError", "UnknownServiceError")
"""Failures that another try does not mend."""
ResultT = TypeVar("ResultT")


def persistently(path: str, call: Callable[[], ResultT]) -> ResultT:
    """Return what a call of a store returns, tried again for some 25 seconds where the store fails.

    Args:
        path: of the folder, for the sentence of an error.
        call: harmless when it is made twice.

    Raises:
        FileNotFoundError, FileExistsError: as the store says.
        MutascopeError: when it goes on failing, or lets nobody in.
    """
    started = time.monotonic()
    for pause in (*PAUSES, None):
        try:
            return call()
        except _ANSWERS:
            raise
        except failures() as error:
            late = pause is None or time.monotonic() - started > PATIENCE
            if late or type(error).__name__ in _FINAL:
                raise MutascopeError(_told(path, error)) from error
        time.sleep(pause or 0.0)
    raise AssertionError("the last try returns or raises")


def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions by which the clients that are loaded say that a store fails."""
    known = [
        getattr(sys.modules[module], name)
        for module, names in _FOREIGN.items()
        for name in names
        if hasattr(sys.modules.get(module), name)
    ]
    return (OSError, *known)


def _told(path: str, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return (
        f"{path} is out of reach ({reason}): check its address and the credentials in the environment; the same"
        " command goes on with what is missing"
    )
