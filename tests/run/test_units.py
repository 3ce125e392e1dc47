"""How many units a process takes at a time, alone and beside others."""

from __future__ import annotations

import pytest

from mutascope import Design, Screen, ScreenData, TextAssay
from mutascope.engine.fast import FastEngine
from mutascope.engine.session import FastSession
from mutascope.run.shards import Shard
from mutascope.store.files import Files
from mutascope.store.leases import Leases, holders

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=3, temperature=0.7)


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """Units that were taken, by the batch, of a session that reads all that it gets before it runs any."""
    found, run = [], FastSession.run

    def read_first(self, mutants):
        mine = list(mutants)
        if mine:
            found.append(len(mine) // 8)
        return run(self, iter(mine))

    monkeypatch.setattr(FastSession, "run", read_first)
    return found


@pytest.fixture
def job(llama, tmp_path, monkeypatch) -> Screen:
    """A screen of 20 units of 8 mutants, begun."""
    monkeypatch.setattr(FastEngine, "unit_size", 8)
    job = Screen(llama, TALE, Design(kinds=("v", "down"), sample=80), tile=8)
    job.open(str(tmp_path / "out")).prepare()
    assert len(job.pending()) == 20
    return job


@pytest.fixture
def files(job) -> Files:
    return job.home.files


def test_a_process_that_is_alone_takes_all(job, batches):
    job.run_units(job.pending())
    assert batches == [20]


def test_beside_another_one_it_takes_half_of_what_nobody_holds(job, files, batches):
    with Leases(files) as other:
        for name in job.pending()[:2]:
            other.take(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Leases, "wait", lambda _: [other.release(name) for name in list(other._held)])
            job.run_units(job.pending())
    assert batches[:5] == [9, 5, 2, 1, 1]
    assert sum(batches) == 20
    job.finish()
    assert ScreenData(job.home).finished


def test_what_a_dead_process_held_is_nobodys_share(job, files, batches):
    dead = Leases(files)
    dead._beat()
    for name in job.pending()[:12]:
        dead.take(name)
    files.remove(f"leases/holders/{dead._holder}")
    with Leases(files):
        job.run_units(job.pending())
    assert batches[0] == 12 + 4


def test_a_shard_is_its_own_share(job, files, batches):
    with Leases(files):
        job.run_units(job.pending(Shard(1, 2)))
    assert batches == [10]


def test_a_process_that_still_loads_its_model_is_left_a_share(job, files, monkeypatch):
    seen = []
    monkeypatch.setattr(job, "check_here", lambda: seen.append(holders(files)))
    job.run_units(job.pending()[:1])
    assert (seen, holders(files)) == ([1], 0)
