"""Predictions by several processes: the files are those of one, whoever predicted what, and whoever died."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from builders import tiny_model
from mutascope import Design, MutascopeError, Prediction, Screen, TextAssay
from mutascope.core.errors import Terminated
from mutascope.core.manifest import Manifest
from mutascope.predict.predictor import Predictor
from mutascope.run.executors import crew
from mutascope.run.executors.processes import Processes
from mutascope.run.loci import Loci
from mutascope.run.shards import Shard
from mutascope.store import ScreenFolder

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=5, temperature=0.7)
DESIGN = Design(kinds=("v", "down"))


class Mortal(Prediction):
    """A prediction whose first worker is killed when it has stored a locus."""

    def check_weights(self, manifest: Manifest) -> None:
        super().check_weights(manifest)
        write, sign = ScreenFolder.write_predictions, Path(self.home.path) / ".died"

        def die(folder: ScreenFolder, *what: Any) -> None:
            write(folder, *what)
            if not sign.exists():
                sign.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(ScreenFolder, "write_predictions", die)  # noqa: B010 - in the worker alone


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("loci") / "model", "llama", std=0.1))


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory) -> Path:
    """A prediction by one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    job(model).run(out, quiet=True)
    return out


def job(model: str, kind: type[Prediction] = Prediction) -> Prediction:
    return kind(model, TALE, DESIGN, tile=8, sample=12)


def files(out: Path) -> dict[str, bytes]:
    """Every table and checksum by its name."""
    shown = (path for path in out.rglob("*") if path.suffix in (".parquet", ".sha256"))
    return {str(path.relative_to(out)): path.read_bytes() for path in shown}


def manifest(out: Path) -> dict[str, Any]:
    """The manifest without what no two runs have in common."""
    content = json.loads((out / "manifest.json").read_text())
    del content["created"], content["predictions"]["seconds"]
    return content


def check(out: Path, whole: Path) -> None:
    assert files(out) == files(whole)
    assert manifest(out) == manifest(whole)
    assert [path for path in (out / "leases").rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_workers_predict_what_one_process_predicts(model, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "LOOK", 0.05)
    monkeypatch.setattr(Predictor, "__init__", None)  # the driver itself predicts nothing
    job(model).run(tmp_path / "out", quiet=True, executor=Processes(2))
    check(tmp_path / "out", whole)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(model, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "LOOK", 0.05)
    out = tmp_path / "out"
    job(model, Mortal).run(out, quiet=True, executor=Processes(2))
    assert (out / ".died").exists()
    monkeypatch.undo()
    assert files(out) == files(whole)
    assert manifest(out) == manifest(whole)


def test_shards_write_what_one_process_writes(model, whole, tmp_path):
    for number in (3, 1, 2):
        done = job(model).run(tmp_path / "out", quiet=True, shard=Shard(number, 3))
        assert done.finished == (number == 2)
    check(tmp_path / "out", whole)


def test_a_worker_that_is_told_to_stop_leaves_what_is_done(model, whole, tmp_path):
    mine = job(model)
    mine.open(str(tmp_path / "out")).prepare()
    loci = Loci(mine)
    names = loci.pending()
    with pytest.raises(Terminated):
        loci.run_units(names, stopped=lambda: bool(loci.stored()))
    assert len(loci.pending()) == len(names) - 1
    mine.run(tmp_path / "out", quiet=True)
    check(tmp_path / "out", whole)


def test_loci_that_others_predict_are_counted(model, tmp_path, capsys):
    mine = job(model)
    mine.open(str(tmp_path / "out")).prepare()
    loci = Loci(mine)
    first, *rest = loci.pending()
    assert loci.run_units([first]) == 1
    counted: list[int] = []
    assert loci.run_units([first, *rest], counted.append) == len(rest)
    assert sum(counted) == len(mine.population)
    assert len(counted) == len(rest) + 1


def test_a_worker_with_other_weights_is_refused(model, tmp_path):
    folder = tiny_model(tmp_path / "model", "llama", std=0.1)
    mine = job(str(folder))
    mine.open(str(tmp_path / "out")).prepare()
    tiny_model(folder, "llama", std=0.1, seed=5)
    with pytest.raises(MutascopeError, match="has other weights now"):
        Loci(Prediction.from_spec(mine.spec, mine.home)).run_units(["0.v"])
    assert ScreenFolder(tmp_path / "out").predicted_loci() == set()


@pytest.mark.slow
def test_workers_add_predictions_to_a_screen(model, tmp_path):
    for name in ("one", "two"):
        Screen(model, TALE, Design(kinds=("v",), sample=6), tile=8).run(tmp_path / name, quiet=True)
    design = Design(kinds=("v",))
    Prediction(model, TALE, design, tile=8).run(tmp_path / "one", quiet=True)
    Prediction(model, TALE, design, tile=8).run(tmp_path / "two", quiet=True, executor=Processes(2))
    assert files(tmp_path / "two") == files(tmp_path / "one")


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_predictions_do_not_depend_on_the_number_of_threads(model, tmp_path, threads):
    """Left alone, torch rounds otherwise with three threads than with one."""
    assay = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=13, temperature=0.7)
    before, folders = torch.get_num_threads(), []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            folders.append(tmp_path / str(count))
            Prediction(model, assay, tile=8, sample=0).run(folders[-1], quiet=True)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    one, several = folders
    names = sorted(path.name for path in (one / "predictions").iterdir())
    assert names
    for name in ("baselines.parquet", *(f"predictions/{name}" for name in names)):
        assert (one / name).read_bytes() == (several / name).read_bytes(), name
