import builtins
import shutil

import pytest

from mutascope import ScreenData

SERVING = "the server takes the extra explorer"


def test_export(cli, folders, tmp_path):
    result = cli("explore", folders["newton"], "--export", tmp_path / "site")
    assert result.code == 0
    assert (tmp_path / "site" / "index.html").exists()
    assert "http.server" in result.out


def test_serving_says_where(cli, folders, monkeypatch):
    pytest.importorskip("uvicorn", reason=SERVING)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: [each.close() for each in sockets])
    result = cli("explore", folders["newton"], "--no-browser", "--port", 0)
    assert result.code == 0
    assert result.out.startswith("http://127.0.0.1:")


def test_a_browser_is_opened_where_there_is_a_display(monkeypatch):
    pytest.importorskip("starlette", reason=SERVING)
    from mutascope.explorer import server

    monkeypatch.setattr(server.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not server.has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert server.has_display()


def test_a_missing_package_is_named(cli, folders, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "mutascope.explorer.server":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    result = cli("explore", folders["newton"])
    assert result.code == 2
    assert 'pip install "mutascope[explorer]"' in result.err


def test_a_static_folder_has_nobody_to_ask(cli, folders, tmp_path):
    result = cli("explore", folders["newton"], "--live", "--export", tmp_path / "site")
    assert result.code == 2
    assert "--live or --export" in result.err


def test_the_model_that_is_asked_is_loaded_as_told(cli, folders, monkeypatch):
    server, told = pytest.importorskip("mutascope.explorer.server", reason=SERVING), {}
    monkeypatch.setattr(ScreenData, "load_model", lambda self, **loading: told.update(loading))
    monkeypatch.setattr("mutascope.run.live.Live", lambda *arguments: None)
    monkeypatch.setattr(server, "serve", lambda *arguments, **how: None)
    result = cli("explore", folders["newton"], "--live", "--device", "cpu", "--allow-pickle")
    assert result.code == 0, result.err
    assert told == {"device": "cpu", "allow_pickle": True, "trust_remote_code": False}


def test_pages_are_written_into_older_screens(cli, folders, tmp_path):
    shutil.copytree(folders["newton"], tmp_path / "old")
    assert "written" in cli("pyramid", tmp_path / "old").out
    assert (tmp_path / "old" / "atlas" / "index.json").exists()
    assert "nothing to do" in cli("pyramid", tmp_path / "old").out
    assert cli("pyramid", folders["panel"]).code == 2


def test_what_is_no_screen_is_refused(cli, tmp_path):
    result = cli("explore", tmp_path)
    assert result.code == 2
    assert "is not a screen folder" in result.err
