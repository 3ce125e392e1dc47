"""What is said of models that the Hub does not hand out, by a server on loopback that answers as it does."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from mutascope import MutascopeError, load_genome, load_model


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
