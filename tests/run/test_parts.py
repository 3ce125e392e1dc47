"""What is done of units that are not: an interrupt keeps it, and the next run goes on from there."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import polars as pl
import pytest
import torch

from builders import choice_model, question_rows
from mutascope import Design, Model, Screen, ScreenData, TextAssay, load_model
from mutascope.assays import ChoiceAssay, PanelAssay
from mutascope.cli.stopping import resumable
from mutascope.core.errors import Stopped
from mutascope.core.genome import Mutant
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine, ReferenceSession
from mutascope.engine.session import FastSession
from mutascope.model.loading import fingerprint
from mutascope.run.prediction import Prediction
from mutascope.run.screen import Finished
from mutascope.store import ScreenFolder
from mutascope.store.files import Files
from processes import start_function
from stores import snapshot

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=5, temperature=0.7)
DESIGN = Design(sample=9)


def panel_assay(folder: Path) -> PanelAssay:
    (folder / "prompts.txt").write_text("Once\nab\n")
    return PanelAssay(name="panel", prompts=str(folder / "prompts.txt"), max_length=12, temperature=0.7)


def choice_assay(folder: Path) -> ChoiceAssay:
    rows = [["question", *"ABCD", "answer"], *question_rows(8)]
    (folder / "q.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    return ChoiceAssay(name="quiz", questions=str(folder / "q.csv"), shots=1, right=0, wrong=2)


ASSAYS = {"panel": panel_assay, "choice": choice_assay}
SESSIONS = {ReferenceEngine: ReferenceSession, FastEngine: FastSession}
ENGINES = {"reference": ReferenceEngine, "fast": FastEngine}
RUNS = ("text, reference", "text, fast", "measured, fast", "panel, reference", "panel, fast", "choice, fast")


class Job:
    """The same screen every time: 18 mutants in units of 8; of several prompts in units of 2.

    Attributes:
        whole: its folder when nothing interrupts it.
    """

    def __init__(self, name: str, llama: Model, folder: Path) -> None:
        kind, _, engine = name.partition(", ")
        self.assay = ASSAYS.get(kind, lambda _: TALE)(folder)
        self.engine, self.llama, self.measure = ENGINES[engine], llama, kind == "measured"
        self.whole, self.mutants = folder / "whole", self.finish(folder / "whole")

    def screen(self) -> Screen:
        engine = self.engine.name
        return Screen(self.llama, self.assay, DESIGN, tile=8, engine=engine, batch=3, measure=self.measure)

    def interrupt(self, out: Path, after: int) -> list[Mutant]:
        """Run it until some mutants are done, and return these."""
        with counted(self.engine, after) as ran, pytest.raises(KeyboardInterrupt):
            self.screen().run(out, quiet=True)
        assert len(ran) == after
        return ran

    def finish(self, out: Path) -> list[Mutant]:
        """Run it to its end, and return the mutants that were run."""
        with counted(self.engine) as ran:
            assert self.screen().run(out, quiet=True) == Finished(len(ran), 18)
        return ran

    def check(self, out: Path) -> None:
        """Assert that a folder holds what it does when nothing interrupts it."""
        mine, theirs = ScreenData(out), ScreenData(self.whole)
        assert mine.finished
        assert mine.records().equals(theirs.records())
        assert mine.folder.outputs().equals(theirs.folder.outputs())
        assert mine.phenotypes().sort("phenotype").equals(theirs.phenotypes().sort("phenotype"))
        for shard in sorted((self.whole / "records").iterdir()):
            assert (out / "records" / shard.name).read_bytes() == shard.read_bytes()
        assert parts(out) == []


@pytest.fixture(scope="module")
def jobs(llama, tmp_path_factory) -> Callable[[str], Job]:
    return cache(lambda name: Job(name, llama, tmp_path_factory.mktemp("job")))


@pytest.fixture(params=RUNS)
def job(request, jobs) -> Job:
    return jobs(request.param)


@pytest.fixture
def tale(jobs) -> Job:
    return jobs("text, reference")


@contextmanager
def counted(engine, stop: int | None = None) -> Iterator[list[Mutant]]:
    """Hands out the mutants that an engine runs (no-ops apart); Ctrl-C arrives after some of them."""
    session = SESSIONS[engine]
    ran, run = [], session.run

    def run_some(self, mutants):
        for outcome in run(self, mutants):
            if len(ran) == stop:
                raise KeyboardInterrupt
            if outcome.mutant.mutation != "noop":
                ran.append(outcome.mutant)
            yield outcome

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "run", run_some)
        patch.setattr(engine, "unit_size", 8)
        yield ran


def parts(out: Path) -> list[Path]:
    return sorted((out / "partial").rglob("*.parquet"))


def test_an_interrupt_keeps_the_mutants_that_are_done(job, tmp_path):
    assert not (job.whole / "partial").exists()
    first = job.interrupt(tmp_path, 11)
    folder = ScreenFolder(tmp_path)
    assert folder.count_records() + folder.parts.count() == 11
    assert parts(tmp_path)
    assert len(ScreenData(tmp_path).records()) == folder.count_records()  # a part is none of the records
    second = job.finish(tmp_path)
    assert len(first) + len(second) == len(job.mutants) == 18
    assert {*first, *second} == {*job.mutants}
    job.check(tmp_path)
    before = snapshot(tmp_path)
    assert job.finish(tmp_path) == []
    assert snapshot(tmp_path) == before


def test_interrupts_again_and_again_run_every_mutant_once(job, tmp_path):
    ran = [mutant for after in (5, 1, 2, 4, 3) for mutant in job.interrupt(tmp_path, after)]
    ran += job.finish(tmp_path)
    assert len(ran) == len(job.mutants)
    assert {*ran} == {*job.mutants}
    job.check(tmp_path)


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "of another kind": lambda path: pl.DataFrame({"a": [1]}).write_parquet(path),
}


@pytest.mark.parametrize(
    "table, damage",
    [
        *(("records", damage) for damage in DAMAGES),
        *(
            ("phenotypes", "truncated"),
            ("phenotypes", "missing"),
            ("outputs", "empty"),
            ("outputs", "missing"),
        ),
    ],
)
def test_a_damaged_part_is_run_again(jobs, tmp_path, table, damage):
    job = jobs("choice, fast")
    first = job.interrupt(tmp_path, 11)
    kept = ScreenData(tmp_path).done
    lost = 0
    for part in (tmp_path / "partial" / table).iterdir():
        lost += len(pl.read_parquet(tmp_path / "partial" / "records" / part.name))
        DAMAGES[damage](part)
    assert (kept, lost) == (len(first) - lost, lost)
    assert lost
    assert f"{kept} of 18 stored" in ScreenData(tmp_path).summary()["mutants"]
    assert len(job.finish(tmp_path)) == len(job.mutants) - kept
    job.check(tmp_path)


def test_a_part_without_its_texts_is_run_again(tale, tmp_path):
    tale.interrupt(tmp_path, 11)
    (part,) = (tmp_path / "partial" / "phenotypes").iterdir()
    pl.read_parquet(part).head(1).write_parquet(part)
    assert len(tale.finish(tmp_path)) == 10
    tale.check(tmp_path)


@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_an_interrupt_while_a_unit_is_written(tale, tmp_path, monkeypatch, moment):
    put, file = Files.write, {"before": "phenotypes", "within": "records", "after": "records"}[moment]

    def put_or_stop(self, name, content):
        if name != f"{file}/000001.parquet":
            return put(self, name, content)
        if moment == "after":
            put(self, name, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", put_or_stop)
        tale.interrupt(tmp_path, 16)
    folder = ScreenFolder(tmp_path)
    assert folder.count_records() + folder.parts.count() == 16
    assert len(tale.finish(tmp_path)) == 2
    tale.check(tmp_path)


def test_parts_whose_numbers_are_all_missing_go_together(tmp_path):
    """Outputs that are not finite have no probabilities."""
    model = load_model(str(choice_model(tmp_path / "model")))
    with torch.no_grad():  # alone it is harmless, a tile of it overflows
        model.network.get_parameter("model.layers.1.mlp.down_proj.weight")[0, 0] = 1e38
        model.network.get_parameter("model.layers.1.mlp.up_proj.weight")[0] = 0.0
    model = replace(model, fingerprint=fingerprint(model.network))
    mutants = tuple(Mutant(1, "down", row, 2, name) for row in (2, 3) for name in ("min", "max"))
    assay = choice_assay(tmp_path)

    def new() -> Screen:
        return Screen(model, assay, Design(mutants=mutants), tile=8, engine="reference")

    whole = tmp_path / "whole"
    new().run(whole, quiet=True)
    assert ScreenData(whole).folder.outputs()["p_A"].is_null().to_list() == [False, False, True, True] * 2
    for after in (1, 3):
        out = tmp_path / str(after)
        with counted(ReferenceEngine, after), pytest.raises(KeyboardInterrupt):
            new().run(out, quiet=True)
        new().run(out, quiet=True)
        assert ScreenData(out).records().equals(ScreenData(whole).records())
        assert ScreenData(out).folder.outputs().equals(ScreenData(whole).folder.outputs())


def test_an_adaptive_screen_goes_on_where_it_was(llama, tmp_path):
    design = Design(layers=(1,), kinds=("v",), mutations=("max", "min"))

    def run(out: Path) -> pl.DataFrame:
        prediction = Prediction(llama, TALE, design, tile=8, sample=6)
        return prediction.run(out, error=0.0, quiet=True).records()

    with counted(FastEngine) as whole:
        expected = run(tmp_path / "whole")
    assert len(expected) == len(whole) == 36
    for after in (5, 15, 33):
        out = tmp_path / str(after)
        with counted(FastEngine, after) as first, pytest.raises(KeyboardInterrupt):
            run(out)
        with counted(FastEngine) as ran:
            assert run(out).equals(expected)
        assert len(first) + len(ran) == len(whole)
        assert parts(out) == []


class Finalized:
    """Gets a signal when it is forgotten, so that Python prints and forgets what the handler raises."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)


def run_and_die(model: str, out: str, after: int, number: int = signal.SIGKILL, lost: bool = False) -> None:
    """Go on with the screen ``tale``, and get a signal after some mutants."""
    run, ReferenceEngine.unit_size = ReferenceSession.run, 8

    def run_some(self, mutants):
        for count, outcome in enumerate(run(self, mutants)):
            if count == after and lost:
                Finalized(number)
            elif count == after:
                os.kill(os.getpid(), number)
            yield outcome

    ReferenceSession.run = run_some
    screen = Screen(model, TALE, DESIGN, tile=8, engine="reference")
    try:
        with resumable(screen):
            screen.run(out, quiet=True)
    except Stopped as stop:
        sys.exit(stop.exit_code)


def test_a_kill_leaves_the_parts_that_are_there(tale, llama_folder, tmp_path):
    tale.interrupt(tmp_path, 11)
    before = parts(tmp_path)
    assert start_function(run_and_die, str(llama_folder), str(tmp_path), 3).wait() == -signal.SIGKILL
    assert parts(tmp_path) == before
    assert start_function(run_and_die, str(llama_folder), str(tmp_path), 6).wait() == -signal.SIGKILL
    assert (ScreenFolder(tmp_path).count_records(), parts(tmp_path)) == (16, [])
    assert len(tale.finish(tmp_path)) == 2
    tale.check(tmp_path)


def test_sigterm_keeps_the_mutants_that_are_done(tale, llama_folder, tmp_path):
    process = start_function(run_and_die, str(llama_folder), str(tmp_path), 11, signal.SIGTERM)
    assert process.wait() == 143
    folder = ScreenFolder(tmp_path)
    assert (folder.count_records(), folder.parts.count()) == (8, 3)
    assert len(tale.finish(tmp_path)) == 7
    tale.check(tmp_path)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_python_loses_stops_the_run_at_the_next_mutant(
    tale, llama_folder, tmp_path, number, code
):
    process = start_function(run_and_die, str(llama_folder), str(tmp_path), 11, number, True)
    assert process.wait() == code
    folder = ScreenFolder(tmp_path)
    assert (folder.count_records(), folder.parts.count()) == (8, 4)


def test_the_message_counts_the_parts(tale, tmp_path, cli):
    (tmp_path / "assay.yaml").write_text("name: tale\nprompt: 'Once upon a time:'\nmax_new_tokens: 5\n")
    options = ("--model", tale.llama.name, "--assay", tmp_path / "assay.yaml", "--sample", 9, "--tile", 8)
    out = tmp_path / "screen"
    with counted(ReferenceEngine, 11):
        result = cli("screen", *options, "--engine", "reference", "--out", out)
    assert result.code == 130
    message = f"mutascope: stopped: 11 of 18 mutants are stored in {out}; run the same command again to go on"
    assert result.err.splitlines()[-1] == message
