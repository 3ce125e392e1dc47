"""A driver and its workers, whoever they are: these do what the test says, and no work at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from mutascope import Design, MutascopeError, Screen, TextAssay
from mutascope.run.executors import crew
from mutascope.run.executors.choice import choose_executor
from mutascope.run.executors.crew import Crew, Death
from mutascope.run.executors.local import run_local
from mutascope.run.executors.processes import Processes
from mutascope.run.job import Job

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=3)


class Fake:
    """A worker that runs some of its units here, whenever it is looked at, and then ends as it is told.

    Attributes:
        interrupts: how many come while it is waited for.
    """

    interrupts = 0

    def __init__(self, job: Job[Any], names: Sequence[str], does: str | int) -> None:
        self.job, self.names, self.does, self.told, self.waited = job, list(names), does, False, False
        self.patience: list[int] = []

    def ended(self) -> bool:
        if self.does == "dies":
            raise Death("exit code 1")
        if self.does == "refuses":
            raise MutascopeError("no")
        if self.does == "is interrupted":
            raise KeyboardInterrupt
        if self.does == "lingers":
            self.job.run_units(self.names)
            return False
        count = int(self.does)
        self.job.run_units([name for name in self.names if name in self.job.pending()][:count])
        if self.job.pending():
            raise Death("its time")
        return True

    def tell_to_stop(self) -> None:
        self.told = True

    def wait(self, seconds: float) -> None:
        self.waited = True
        self.patience.append(round(seconds))
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt


class FakeCrew(Crew):
    """Starts workers that do one thing after the other, the last one for ever."""

    def __init__(self, workers: int, *does: str | int) -> None:
        super().__init__(workers)
        self.does: Iterator[str | int] = iter(does)
        self.last, self.started = does[-1], list[Fake]()

    def start(self, work: Any, names: Sequence[str], place: int) -> Fake:
        self.started.append(Fake(work, names, next(self.does, self.last)))
        return self.started[-1]


@pytest.fixture
def screen(llama, tmp_path, monkeypatch) -> Screen:
    """A screen of ten units that is prepared."""
    monkeypatch.setattr(crew, "LOOK", 0.0)
    screen = Screen(llama, TALE, Design(kinds=("v", "down"), sample=80), tile=8, engine="reference")
    screen.open(str(tmp_path / "out")).prepare()
    return screen


def test_each_worker_begins_at_another_unit_and_is_given_all(screen):
    names, workers = screen.pending(), FakeCrew(3, 10)
    assert workers(screen, names, quiet=True) == 160
    assert [fake.names[0] for fake in workers.started] == ["000000", "000003", "000006"]
    assert all(sorted(fake.names) == names for fake in workers.started)


def test_workers_that_die_after_a_unit_are_replaced_as_often_as_it_takes(screen):
    workers = FakeCrew(2, 1)
    assert workers(screen, screen.pending(), quiet=True) == 160
    assert len(workers.started) > crew.DEATHS


def test_deaths_without_a_unit_in_between_come_to_an_end(screen):
    workers = FakeCrew(2, "dies")
    words = (
        r"^5 workers died one after the other and no unit was finished \(exit code 1\): try fewer --workers"
    )
    with pytest.raises(MutascopeError, match=words):
        workers(screen, screen.pending(), quiet=True)
    assert len(workers.started) == 2 + crew.DEATHS - 1


@pytest.mark.parametrize("does, error", [("refuses", MutascopeError), ("is interrupted", KeyboardInterrupt)])
def test_what_ends_the_driver_stops_all_workers(screen, does, error):
    workers = FakeCrew(2, does)
    with pytest.raises(error):
        workers(screen, screen.pending(), quiet=True)
    assert all(fake.told and fake.waited for fake in workers.started)


def test_one_line_counts_what_anybody_stores(screen, capsys):
    done = screen.run_units(screen.pending()[:4])
    workers = FakeCrew(2, 2)
    assert workers(screen, screen.pending()) == 160 - done
    assert capsys.readouterr().err.splitlines()[-1].startswith("160 of 160 mutants, ")


def test_executors_are_chosen_by_name():
    assert choose_executor() is run_local
    assert isinstance(choose_executor("local", 2), Processes)
    with pytest.raises(MutascopeError, match="did you mean 'local'"):
        choose_executor("locale")
    with pytest.raises(MutascopeError, match="--address is that of a Ray cluster"):
        choose_executor("local", 2, "auto")


@pytest.mark.parametrize("interrupts, patience", [(1, [60, 60]), (2, [60, 60, 0])])
def test_workers_that_end_may_store_at_a_first_interrupt_and_not_at_a_second(
    screen, monkeypatch, interrupts, patience
):
    monkeypatch.setattr(Fake, "interrupts", interrupts)
    workers = FakeCrew(1, "lingers")
    with pytest.raises(KeyboardInterrupt):
        workers(screen, screen.pending()[:1], quiet=True)
    (fake,) = workers.started
    assert (fake.told, fake.patience) == (True, patience)
