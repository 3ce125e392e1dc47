import json
import re
import shutil
import socket
from importlib.resources import files

import pytest

pytest.importorskip("starlette", reason="the server takes the extra explorer")

from starlette.testclient import TestClient

from mutascope.explorer import Atlas
from mutascope.explorer.server import HOST, application, free_socket


@pytest.fixture(scope="module")
def client(atlas):
    return TestClient(application(atlas), base_url=f"http://{HOST}")


def test_pages_come_with_their_types_and_a_policy(client):
    for path, kind in (
        ("/", "text/html"),
        ("/main.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/data/atlas.json", "application/json"),
        ("/data/0/overview.bin", "application/octet-stream"),
    ):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_bytes_are_those_of_the_atlas(client, atlas):
    for path in ("data/0/loci/0.v.bin", "data/2/texts/0.bin", "model.js"):
        assert client.get(f"/{path}").content == atlas.read(path)


@pytest.mark.parametrize(
    "path",
    [
        "/manifest.json",
        "/../manifest.json",
        "/%2e%2e/manifest.json",
        "/data/%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
        "/data/0/loci/%2e%2e%2f%2e%2e%2fx.bin",
    ],
)
def test_other_paths_are_not_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_foreign_name_is_refused(client):
    assert client.get("/data/atlas.json", headers={"host": "evil.example"}).status_code == 400


def test_only_reading_is_allowed(client):
    assert client.post("/data/atlas.json").status_code == 405


def test_the_next_port_is_taken_where_one_is_in_use():
    with free_socket(0) as free:
        port = free.getsockname()[1]
        free.listen()
        with free_socket(port) as other:
            assert other.getsockname()[0] == "127.0.0.1"
            assert other.getsockname()[1] > port


def test_the_socket_is_on_loopback_alone():
    with free_socket(0) as listening:
        assert listening.family == socket.AF_INET
        assert listening.getsockname()[0] == HOST


def test_the_page_asks_nobody_else_and_writes_no_markup():
    web = files("mutascope.explorer") / "web"
    for part in web.iterdir():
        text = part.read_text()
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text), part.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text), (
            part.name
        )


def test_every_page_has_an_address_that_is_served(client, atlas):
    for path in atlas.paths():
        if path.count("/") < 2:
            assert client.get(f"/{path}").status_code == 200, path
    assert json.loads(client.get("/data/atlas.json").content)["served"]


def test_a_folder_that_is_gone_is_told(folders, tmp_path):
    shutil.copytree(folders["drosophila"], tmp_path / "flies")
    client = TestClient(application(Atlas([str(tmp_path / "flies")])), base_url=f"http://{HOST}")
    assert client.get("/data/atlas.json").status_code == 200
    shutil.rmtree(tmp_path / "flies")
    answer = client.get("/data/atlas.json")
    assert (answer.status_code, answer.text.count("\n")) == (503, 0)
    assert "gone" in answer.text or "flies" in answer.text
