"""Why a model cannot be loaded, in one sentence each."""

from __future__ import annotations

import errno

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

from mutascope.model.loading_errors import explain

REASONS = {
    "memory of a GPU": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        "does not fit into memory",
    ),
    "memory": (MemoryError(), "does not fit into memory"),
    "memory as torch says it": (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        "does not fit into memory",
    ),
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
    "another's file": (
        PermissionError(errno.EACCES, "Permission denied", "/cache/x"),
        "/cache/x cannot be read",
    ),
    "a package": (ImportError("X requires the timm library but it was not found"), "pip install timm"),
    "a module": (ModuleNotFoundError("No module named 'mamba_ssm'"), "needs the package mamba_ssm"),
    "a tokenizer's package": (
        ValueError("You need to have sentencepiece installed"),
        "needs the package sentencepiece",
    ),
    "a package by its repository": (
        ValueError("Unrecognized model. pip install git+https://github.com/huggingface/transformers"),
        "Unrecognized model",
    ),
    "code": (ValueError("contains custom code; pass trust_remote_code=True"), "--trust-remote-code"),
    "a key": (KeyError("full_attention"), "does not know 'full_attention'"),
    "nothing": (AssertionError(), "AssertionError"),
    "a page of words": (ValueError("word " * 900), "..."),
}


@pytest.mark.parametrize("error, says", REASONS.values(), ids=REASONS)
def test_reasons(error, says):
    sentence = explain("owner/model", error)
    assert says in sentence
    assert "/cache/x" in sentence or "owner/model" in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400


def test_the_cause_of_an_error_is_seen():
    error = OSError("Can't load the model")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied", "/cache/x")
    assert "/cache/x cannot be read" in explain("owner/model", error)


@pytest.mark.parametrize(
    "kind, says",
    [
        (GatedRepoError, "owner/model is gated: ask for access on https://huggingface.co/owner/model"),
        (RepositoryNotFoundError, "there is no owner/model on the Hub, or it is private"),
        (OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
    ],
)
def test_what_the_hub_answered(kind, says):
    """Said whatever transformers makes of the files that it does not find."""
    answer = kind.__new__(kind)
    assert says in explain("owner/model", OSError("Can't load the config"), answer)
    error = OSError("Can't load the config")
    error.__cause__ = answer
    assert says in explain("owner/model", error)
