"""Load a model and its tokenizer by alias, local folder or Hub id, and identify it by its weights."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from mutascope.core.errors import MutascopeError, nearest
from mutascope.core.genome import Genome
from mutascope.core.manifest import ShuffledInfo
from mutascope.core.words import counted
from mutascope.model import generation
from mutascope.model.aliases import ALIASES, fetch_alias
from mutascope.model.checkpoints import (
    check_config,
    check_folder,
    lacks_vocabulary,
    refuse_quantised,
    stray_prefix,
)
from mutascope.model.discovery import find_genome
from mutascope.model.loading_errors import HUB_ANSWERS, LOAD_ERRORS, explain

DTYPES = ("float32", "bfloat16", "float16", "float64")
"""Names of the dtypes that weights can have."""


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        name: as the user wrote it: alias, folder or Hub id.
        network: in evaluation mode, gradients off.
        tokenizer: the checkpoint's own.
        fingerprint: SHA-256 over names, dtypes, shapes and bytes of all parameters.
        genome: the loci.
        shuffled: of a null model (:mod:`mutascope.model.shuffling`), what was shuffled.
    """

    name: str
    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    genome: Genome
    shuffled: ShuffledInfo | None = None

    @property
    def dtype(self) -> str:
        """Name of the weights' dtype, ``float32``."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def description(self) -> dict[str, Any]:
        """What the manifest of a screen says of the model."""
        null = {} if self.shuffled is None else {"shuffled": self.shuffled.to_dict()}
        return {
            "name": self.name,
            "architecture": type(self.network).__name__,
            "dtype": self.dtype,
            "fingerprint": self.fingerprint,
            "tokenizer": tokenizer_fingerprint(self.tokenizer),
            **null,
        }

    @property
    def context(self) -> int | None:
        """Positions of the language model, where its configuration states them."""
        return getattr(self.network.config.get_text_config(decoder=True), "max_position_embeddings", None)

    @property
    def embeddings(self) -> int:
        """Number of tokens that have an embedding; more than the tokenizer knows where it was padded."""
        return len(self.network.get_input_embeddings().get_parameter("weight"))

    @cached_property
    def known_tokens(self) -> frozenset[int]:
        """Ids of the tokens of the tokenizer."""
        return frozenset(self.tokenizer.get_vocab().values())

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.network.parameters())
        told = "" if self.shuffled is None else f" ({self.shuffled.told})"
        return (
            f"Model {self.name}{told}: {type(self.network).__name__}, {count / 1e6:.1f} million parameters in"
            f" {self.dtype} on {self.network.device},"
            f" {counted(len(self.genome), 'locus', 'loci')}, fingerprint {self.fingerprint[:12]}"
        )


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
        dtype: one of :data:`DTYPES`; in float32 and bfloat16 records are the same on every CPU, and on
            every card of one compute capability.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; CUDA when there is one, by default.
        allow_pickle: accept weights that are not safetensors.
        trust_remote_code: run code that comes with the checkpoint.

    Raises:
        MutascopeError: for a dtype or device that there is not, and when the model is unknown, incomplete, unsafe, or
            cannot be fetched.
    """
    torch_dtype, torch_device = _dtype(dtype), _device(device)
    path = _resolve(name)
    if Path(path).is_dir():
        check_folder(Path(path), allow_pickle=allow_pickle)
    unreachable = _ask_hub(path)
    options = {"trust_remote_code": trust_remote_code, "local_files_only": unreachable is not None}
    try:
        refuse_quantised(name, AutoConfig.from_pretrained(path, **options))
    except LOAD_ERRORS as error:
        raise MutascopeError(explain(name, error, unreachable)) from error
    tokenizer = _load_tokenizer(name, path, options, unreachable)
    _check_generation_config(name, Path(path))
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=torch_dtype,
            use_safetensors=None if allow_pickle else True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused by name
            **options,
        )
        network, report = loaded
        _check_tensors(name, report)
        network.to(torch_device)
    except LOAD_ERRORS as error:
        raise MutascopeError(explain(name, error, unreachable)) from error
    network.eval().requires_grad_(False)
    generation.reset(network)
    return Model(name, network, tokenizer, fingerprint(network), find_genome(network))


def _load_tokenizer(
    name: str, path: str, options: dict[str, bool], unreachable: Exception | None
) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(path, **options)
    except Exception as error:  # its library in Rust raises the base class
        if Path(path).is_dir() and lacks_vocabulary(Path(path)):
            raise MutascopeError(
                f"{name} has settings of a tokenizer and no vocabulary (tokenizer.json, or tokenizer.model): copy it"
                " from the model that it was made from"
            ) from error
        raise MutascopeError(explain(name, error, unreachable, part="the tokenizer")) from error


def _check_generation_config(name: str, folder: Path) -> None:
    """Raise MutascopeError for a generation config that transformers refuses."""
    if (folder / "generation_config.json").exists():
        try:
            GenerationConfig.from_pretrained(folder)
        except LOAD_ERRORS as error:
            raise MutascopeError(explain(name, error, part="the generation config")) from error


def _check_tensors(name: str, report: dict[str, Any]) -> None:
    """Raise MutascopeError for tensors that the checkpoint lacks, or has in another shape, as transformers would fill
    them with random numbers; say on standard error which ones are not used.
    """
    missing, unused = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    for tensor, held, wanted in sorted(report["mismatched_keys"]):
        raise MutascopeError(
            f"{name} cannot be loaded: {tensor} has the shape {[*held]}, and config.json asks for {[*wanted]}"
        )
    if missing:
        before = stray_prefix(missing, unused)
        told = (
            f", as {before!r} stands before the names of its tensors: save it again without" if before else ""
        )
        raise MutascopeError(f"{name} is not a complete model: its weights lack {missing[0]}{told}")
    if unused:
        print(
            f"{name}: the model has no place for {counted(len(unused), 'tensor')} of its checkpoint, such as"
            f" {unused[0]}",
            file=sys.stderr,
        )


def load_genome(name: str, *, trust_remote_code: bool = False) -> tuple[Genome, PreTrainedModel]:
    """Return the genome and the weightless network (meta device) of a model, from its configuration alone.

    Raises:
        MutascopeError: when there is no configuration of that name.
    """
    path = _resolve(name)
    if Path(path).is_dir():
        check_config(Path(path))
    unreachable = _ask_hub(path)
    options = {"trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=unreachable is not None, **options)
        refuse_quantised(name, config)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, **options)
    except LOAD_ERRORS as error:
        raise MutascopeError(explain(name, error, unreachable)) from error
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


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise MutascopeError(f"unknown dtype {name!r}: use one of {', '.join(DTYPES)}")
    return getattr(torch, name)


def _device(name: str | None) -> torch.device:
    """Return a device that can hold a tensor; the default where no name is given."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch without CUDA asserts
        reason = str(error).partition("\n")[0]
        raise MutascopeError(f"device {name!r} cannot be used here: {reason}") from error
    return device


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


def _ask_hub(path: str) -> Exception | None:
    """Return why the Hub does not answer for a model, None where it does or is not needed; asked once, as transformers
    would retry every file for half a minute.
    """
    if Path(path).is_dir():
        return None
    try:
        HfApi().model_info(path, timeout=10)
    except HUB_ANSWERS as error:
        return error
    return None
