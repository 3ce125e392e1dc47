"""The same spec gives the same records, whatever the batch, the order of units, who runs them and what interrupts."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import choice_model, question_rows
from mutascope import Design, Model, Screen, ScreenData, TextAssay, load_model
from mutascope.assays import ChoiceAssay
from mutascope.core.errors import Terminated
from mutascope.run.executors import crew
from mutascope.run.executors.processes import Processes
from mutascope.run.shards import Shard
from mutascope.run.work import Work

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=6, temperature=0.7)
DESIGN = Design(kinds=("v", "down"), sample=40)


@pytest.fixture(scope="module")
def quiz(tmp_path_factory) -> tuple[Model, ChoiceAssay]:
    folder = tmp_path_factory.mktemp("quiz")
    rows = [["question", *"ABCD", "answer"], *question_rows(8)]
    (folder / "q.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    assay = ChoiceAssay(name="quiz", questions=str(folder / "q.csv"), shots=1, right=0, wrong=2)
    return load_model(str(choice_model(folder / "model"))), assay


def disturbed(order: Sequence[int], workers: int, stops: Sequence[int]) -> Callable[..., int]:
    """Return an executor of processes that come one after the other, in their own order, and are stopped at mutants."""

    def run(work: Work, names: Sequence[str], /, *, quiet: bool = False) -> int:
        left = iter(stops)
        mine = sorted(names, key=lambda name: order[int(name) % len(order)])
        for number in itertools.cycle(range(workers)):
            at, done = next(left, None), itertools.count(1)
            with suppress(Terminated):
                part = mine[number::workers] if at is None else mine
                work.run_units(part, stopped=lambda at=at, done=done: next(done) == at)
            if set(names) <= work.stored():
                return len(names)
        raise AssertionError

    return run


def check(out: Path, whole: Path) -> None:
    mine, other = ScreenData(out), ScreenData(whole)
    assert mine.finished
    assert mine.records().equals(other.records())
    assert mine.outputs().equals(other.outputs())
    assert mine.texts().equals(other.texts())
    assert mine.covariates().equals(other.covariates())


@pytest.mark.parametrize(
    "asked, engine, examples",
    [
        ("text", "fast", 4),
        pytest.param("text", "fast", 60, marks=pytest.mark.slow),
        pytest.param("text", "reference", 20, marks=pytest.mark.slow),
        pytest.param("choice", "fast", 40, marks=pytest.mark.slow),
        pytest.param("choice", "reference", 20, marks=pytest.mark.slow),
    ],
)
def test_nothing_about_a_run_is_in_its_records(llama, quiz, tmp_path, asked, engine, examples):
    model, assay = (llama, TALE) if asked == "text" else quiz
    whole, out = tmp_path / "whole", tmp_path / "out"
    Screen(model, assay, DESIGN, tile=8, engine=engine).run(whole, quiet=True)

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(
        batch=st.sampled_from([None, 1, 3, 50]),
        order=st.permutations(range(6)),
        workers=st.integers(1, 3),
        stops=st.lists(st.integers(1, 40), max_size=4),
    )
    def run(batch: int | None, order: list[int], workers: int, stops: list[int]) -> None:
        shutil.rmtree(out, ignore_errors=True)
        screen = Screen(model, assay, DESIGN, tile=8, engine=engine, batch=batch)
        screen.run(out, quiet=True, executor=disturbed(order, workers, stops))
        check(out, whole)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_nor_how_many_processes_ran_it(llama_folder, tmp_path, monkeypatch, engine):
    monkeypatch.setattr(crew, "LOOK", 0.05)
    screen = Screen(str(llama_folder), TALE, DESIGN, tile=8, engine=engine)
    screen.run(tmp_path / "whole", quiet=True)
    for workers in (2, 3):
        screen.run(tmp_path / str(workers), quiet=True, executor=Processes(workers))
        check(tmp_path / str(workers), tmp_path / "whole")
    for number in (3, 1, 2):
        screen.run(tmp_path / "shards", quiet=True, shard=Shard(number, 3), executor=Processes(2))
    check(tmp_path / "shards", tmp_path / "whole")
