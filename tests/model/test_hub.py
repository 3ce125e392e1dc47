"""What is said of models that the Hub does not hand out, by a server on loopback that answers as it does."""

from __future__ import annotations

import errno
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch

from mutascope import MutascopeError, load_genome, load_model
from mutascope.model.loading_errors import explain


class Hub(BaseHTTPRequestHandler):
    """Knows ``owner/gated``, whose files it keeps, and ``owner/empty``, which has none."""

    def do_GET(self):
        if self.path.startswith(("/api/models/owner/gated", "/api/models/owner/empty")):
            return self.answer(200, {"id": self.path.removeprefix("/api/models/"), "siblings": []})
        if "owner/gated" in self.path:
            return self.answer(403, {}, "GatedRepo")
        if "owner/empty" in self.path:
            return self.answer(404, {}, "EntryNotFound")
        return self.answer(404, {}, "RepoNotFound")

    do_HEAD = do_GET  # noqa: N815

    def answer(self, status, content, error=None):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("load", [load_model, load_genome])
@pytest.mark.parametrize(
    "name, says",
    [
        ("owner/gated", "owner/gated is gated: ask for access on https://huggingface.co/owner/gated"),
        ("owner/gone", "there is no owner/gone on the Hub, or it is private"),
        ("owner/empty", "owner/empty cannot be loaded"),
        ("owner/no good", "cannot be the name of a model"),
    ],
)
def test_what_the_hub_says(hub, load, name, says):
    with pytest.raises(MutascopeError) as told:
        load(name)
    assert says in str(told.value)
    assert "\n" not in str(told.value)


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
    "code": (ValueError("contains custom code; pass trust_remote_code=True"), "--trust-remote-code"),
    "a key": (KeyError("full_attention"), "KeyError 'full_attention'"),
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
