"""Why transformers could not load a model, in one sentence that says what to do."""

from __future__ import annotations

import errno
import pickle
import re
from collections.abc import Iterator

import torch
import transformers
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    StrictDataclassError,
)
from safetensors import SafetensorError

from mutascope.model.aliases import ALIASES, HUB_ERRORS

LOAD_ERRORS = (
    *(OSError, ValueError, ImportError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError),
    *(ArithmeticError, MemoryError, EOFError, SafetensorError, StrictDataclassError, pickle.UnpicklingError),
)
"""What transformers raises for a checkpoint that it cannot load: its code meets configurations that nobody tried."""
_AS = " as a causal language model"
_WORDS = 40
"""Of a foreign message that are passed on."""
_PACKAGE = re.compile(
    r"requires the `?([\w-]+)`? library|need to have `?([\w-]+)|pip install (?!git\+)([A-Za-z][\w-]*)"
    r"|No module named '([\w.]+)'"
)
_DTYPE = re.compile(r"module 'torch' has no attribute '([^']*)'")
_MODEL_TYPE = re.compile(r"model type [`']([^`']+)[`']")


def explain(
    name: str, error: BaseException, unreachable: Exception | None = None, *, part: str | None = None
) -> str:
    """Return why a model cannot be loaded.

    Args:
        name: as the user wrote it.
        error: what transformers raised.
        unreachable: what the Hub answered when it was asked for the model, if it was and did not say yes.
        part: of the model, where it is known which.
    """
    told = [*_chain(error), *([] if unreachable is None else _chain(unreachable))]
    text = " ".join(str(each) for each in told)
    return (
        _of_access(name, told)
        or _of_memory(name, told, text)
        or _of_pickle(name, told)
        or _of_type(name, text)
        or _of_package(name, told)
        or (_of_network(name) if unreachable is not None else None)
        or f"{f'{part} of ' if part else ''}{name} cannot be loaded{'' if part else _AS}: {short(error, part)}"
    )


def _of_access(name: str, told: list[BaseException]) -> str | None:
    """Return what the Hub says of the model."""
    page = f"https://huggingface.co/{name}"
    kinds = {kind for each in told for kind in type(each).__mro__}
    if GatedRepoError in kinds:
        return f"{name} is gated: ask for access on {page}, log in (hf auth login), and run the command again"
    if RepositoryNotFoundError in kinds:
        return (
            f"there is no {name} on the Hub, or it is private: check the spelling, or log in (hf auth login)"
        )
    if HFValidationError in kinds:
        return f"{name!r} cannot be the name of a model: a Hub id has the form owner/model"
    if OfflineModeIsEnabled in kinds:
        return f"{_of_network(name)} (HF_HUB_OFFLINE is set)"
    return None


def _of_network(name: str) -> str:
    return (
        f"{name} is neither in the local Hugging Face cache nor reachable on the Hub; download it where there is a"
        f" network (hf download {name}) and pass the folder, or use an alias: {', '.join(ALIASES)}"
    )


def _of_memory(name: str, told: list[BaseException], text: str) -> str | None:
    """Return which memory, or disk, is too small, or which file is not one's own."""
    if (
        any(isinstance(each, MemoryError | torch.OutOfMemoryError) for each in told)
        or "can't allocate" in text
    ):
        return f"{name} does not fit into memory: use a dtype of half the size (--dtype bfloat16), or a larger machine"
    for each in told:
        if isinstance(each, OSError) and each.errno == errno.ENOSPC:
            return f"the disk is full where {name} is stored: make room, or set HF_HOME to another disk"
        if isinstance(each, PermissionError):
            return f"{each.filename or name} cannot be read: permission denied"
    return None


def _of_pickle(name: str, told: list[BaseException]) -> str | None:
    """Return what is said of pickled weights: torch reads tensors from them, and nothing that could run."""
    if any(isinstance(each, pickle.UnpicklingError | EOFError) for each in told):
        return (
            f"the pickled weights of {name} are damaged, or hold more than tensors: download them again, or take a"
            " checkpoint with safetensors"
        )
    return None


def _of_package(name: str, told: list[BaseException]) -> str | None:
    """Return which package is missing."""
    for each in told:
        match = _PACKAGE.search(str(each)) if isinstance(each, ImportError | ValueError) else None
        if match:
            package = next(found for found in match.groups() if found)
            return f"{name} needs the package {package}: install it (pip install {package})"
    return None


def _of_type(name: str, text: str) -> str | None:
    """Return what is wrong with the type of the model."""
    if "trust_remote_code" in text:
        return f"{name} brings code of its own, which mutascope does not run; pass --trust-remote-code if you trust it"
    dtype = _DTYPE.search(text)
    if dtype:
        return f"{name} cannot be loaded: its config.json has the dtype {dtype.group(1)!r}, which torch does not know"
    match = _MODEL_TYPE.search(text)
    if match and "does not recognize" in text:
        return (
            f"{name} cannot be loaded: its type, {match.group(1)}, is not known to transformers"
            f" {transformers.__version__}; a later version may know it"
        )
    if "Unrecognized configuration class" in text:
        kind = text.partition("<class '")[2].partition("'")[0].rpartition(".")[2]
        return f"{name} cannot be loaded as a causal language model: it is a {kind.removesuffix('Config')}"
    if "safetensors" in text and "does not appear to have a file named" in text:
        return f"{name} has no safetensors weights; pass --allow-pickle if you trust its source"
    return None


def short(error: BaseException, part: str | None = None) -> str:
    """Return the first words of a message, or the kind of an error that has none.

    Args:
        error: what was raised.
        part: of the model, where it is known which.
    """
    if isinstance(error, KeyError) and len(str(error).split()) == 1:
        return (
            f"it has no {error}" if part else f"transformers {transformers.__version__} does not know {error}"
        )
    words = str(error).split()
    more = " ..." if len(words) > _WORDS else ""
    kind = "" if isinstance(error, OSError | ValueError | RuntimeError) else f"{type(error).__name__} "
    return f"{kind}{' '.join(words[:_WORDS])}{more}" if words else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from or while handling."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


HUB_ANSWERS = (*HUB_ERRORS, HFValidationError)
"""What asking the Hub for a model raises, but for a yes."""
