"""Several processes on one folder, some of which die: real processes, real signals."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

import pytest

from builders import tiny_model
from mutascope import Design, Prediction, Screen, ScreenData, TextAssay
from mutascope.cli.stopping import resumable
from mutascope.core.errors import MutascopeError, Stopped
from mutascope.core.manifest import Manifest
from mutascope.engine.reference import ReferenceSession
from mutascope.predict.predictor import Predictor
from mutascope.run.verify import verify
from mutascope.store import ScreenFolder, leases
from processes import Process, start_function

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=2, temperature=0.7)
DESIGN = Design(kinds=("v", "down"), sample=80)
MUTANTS = 160


def work(model: str, out: str, log: str, expiry: float = 60.0, pause: float = 0.01) -> None:
    """Run or go on with the screen; the log gets a byte per mutant, so that what was run is known after a kill."""
    leases.POLL, leases.BEAT, leases.EXPIRY, run = 0.05, 0.05, expiry, ReferenceSession.run

    def run_slowly(self, mutants):
        with Path(log).open("ab", buffering=0) as file:
            for outcome in run(self, mutants):
                time.sleep(pause)
                file.write(b".")
                yield outcome

    ReferenceSession.run = run_slowly
    screen = Screen(model, TALE, DESIGN, tile=8, engine="reference")
    try:
        with resumable(screen):
            screen.run(out, quiet=True)
    except Stopped as stop:
        sys.exit(stop.exit_code)


class Shop:
    """The same screen every time; ``whole`` is its folder when nobody disturbs it."""

    def __init__(self, folder: Path) -> None:
        self.model, self.whole = str(tiny_model(folder / "model", "llama")), folder / "whole"
        Screen(self.model, TALE, DESIGN, tile=8, engine="reference").run(self.whole, quiet=True)
        assert len(list((self.whole / "records").iterdir())) >= 5

    def start(self, out: Path, name: str, **how: float) -> Process:
        return start_function(work, self.model, str(out / "screen"), str(out / name), *how.values())

    def check(self, out: Path) -> None:
        """Assert that the records are those of the undisturbed run: none missing, none twice."""
        mine = ScreenData(out / "screen")
        assert mine.finished
        assert mine.records().equals(ScreenData(self.whole).records())
        for shard in sorted((self.whole / "records").iterdir()):
            assert (out / "screen" / "records" / shard.name).read_bytes() == shard.read_bytes()
        assert not [path for path in (out / "screen" / "partial").rglob("[!.]*") if path.is_file()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def ran(out: Path) -> list[int]:
    """Mutants that each process has run."""
    return [path.stat().st_size for path in sorted(out.iterdir()) if path.is_file()]


def test_processes_that_share_a_folder_run_every_mutant_once(shop, tmp_path):
    processes = [shop.start(tmp_path, name) for name in "abc"]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sum(ran(tmp_path)) == MUTANTS
    assert min(ran(tmp_path)) > 0
    shop.check(tmp_path)
    assert [path for path in (tmp_path / "screen" / "leases").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_others_take_over_what_a_process_leaves(shop, tmp_path, number):
    processes = [shop.start(tmp_path, name) for name in "ab"]
    processes[0].wait_until(lambda: len(ran(tmp_path)) == 2 and min(ran(tmp_path)) > 5)
    processes[0].send(number)
    codes = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
    assert processes[0].wait() == codes[number]
    assert processes[1].wait() == 0
    shop.check(tmp_path)
    if number != signal.SIGKILL:
        assert sum(ran(tmp_path)) <= MUTANTS + 1  # the one that was being run


def test_a_process_that_stands_still_is_overtaken_and_does_no_harm(shop, tmp_path):
    first = shop.start(tmp_path, "a")
    first.wait_until(lambda: sum(ran(tmp_path)) > 20)
    first.send(signal.SIGSTOP)
    second = shop.start(tmp_path, "b", expiry=0.5)
    assert second.wait() == 0
    shop.check(tmp_path)
    first.send(signal.SIGCONT)
    assert first.wait() == 0
    shop.check(tmp_path)


def test_kills_at_random_moments_lose_nothing(shop, tmp_path):
    """Ten faults on two processes, each replaced at once; then both are left alone."""
    draw = random.Random(3)
    workers = [shop.start(tmp_path, name, expiry=60.0, pause=0.03) for name in "ab"]
    for fault in range(10):
        time.sleep(draw.uniform(0.0, 1.2))
        place = draw.randrange(2)
        number = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        if workers[place].running:
            workers[place].send(number)
        assert workers[place].wait() in (0, 1, -9, -15, 143, 130)
        workers[place] = shop.start(tmp_path, f"w{fault}", expiry=60.0, pause=0.03)
    assert [worker.wait() for worker in workers] == [0, 0]
    shop.check(tmp_path)


def begin_together(model: str, out: str, meeting: str, seed: int) -> None:
    """Run the screen with a seed of its own; the manifest is written when another process is as far."""
    begin = ScreenFolder.begin

    def wait_for_the_other(self: ScreenFolder, manifest: Manifest) -> bool:
        Path(meeting, str(seed)).touch()
        while len(list(Path(meeting).iterdir())) < 2:
            time.sleep(0.001)
        return begin(self, manifest)

    ScreenFolder.begin = wait_for_the_other
    try:
        Screen(model, TALE.model_copy(update={"seed": seed}), DESIGN, tile=8, engine="reference").run(
            out, quiet=True
        )
    except MutascopeError as error:
        Path(out, "said").write_text(str(error))
        sys.exit(2)


def test_of_two_screens_that_begin_one_folder_at_once_one_is_refused(shop, tmp_path):
    meeting, out = tmp_path / "meeting", tmp_path / "out"
    meeting.mkdir()
    seeds = (TALE.seed, TALE.seed + 1)
    processes = [start_function(begin_together, shop.model, str(out), str(meeting), seed) for seed in seeds]
    codes = [process.wait() for process in processes]
    assert sorted(codes) == [0, 2]
    assert "holds another screen" in (out / "said").read_text()
    (out / "said").unlink()
    asked = TALE.model_copy(update={"seed": seeds[codes.index(0)]})
    Screen(shop.model, asked, DESIGN, tile=8, engine="reference").run(tmp_path / "alone", quiet=True)
    assert ScreenData(out).records().equals(ScreenData(tmp_path / "alone").records())
    assert verify(ScreenFolder(out)) == []


def predict(model: str, out: str, log: str) -> None:
    """Predict and run what is uncertain; the log gets the loci that were predicted here."""
    leases.POLL, calls = 0.05, Predictor.calls

    def noted(self, wanted=None, take=lambda locus: True):
        for locus, found in calls(self, wanted, take):
            with Path(log).open("a") as file:
                file.write(f"{locus.name}\n")
            yield locus, found

    Predictor.calls = noted
    Prediction(model, TALE, Design(kinds=("v",)), tile=8, sample=8).run(out, error=0.01, quiet=True)


def test_predictions_share_a_folder_too(tmp_path):
    model = str(tiny_model(tmp_path / "model", "llama", std=0.1))
    whole = str(tmp_path / "whole")
    assert start_function(predict, model, whole, str(tmp_path / "log")).wait() == 0
    logs = [tmp_path / name for name in "ab"]
    processes = [start_function(predict, model, str(tmp_path / "shared"), str(log)) for log in logs]
    assert [process.wait() for process in processes] == [0, 0]
    predicted = [name for log in logs if log.exists() for name in log.read_text().split()]
    assert sorted(predicted) == ["0.v", "1.v", "2.v"]
    mine, whole = ScreenData(tmp_path / "shared"), ScreenData(tmp_path / "whole")
    assert mine.finished
    assert len(whole.records()) > 16
    assert mine.records().equals(whole.records())
    assert mine.predictions().equals(whole.predictions())
