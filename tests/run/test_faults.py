"""Workers and drivers that die at random moments: afterwards the records are those of the undisturbed run."""

from __future__ import annotations

import random

import pytest

from faults import Ground


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


def test_workers_run_what_one_process_runs(ground, tmp_path):
    assert ground.start(tmp_path / "out", 3).wait() == 0
    ground.check(tmp_path / "out")


def test_twenty_faults_lose_and_repeat_nothing(ground, tmp_path):
    ground.disturb(tmp_path, 20, random.Random(5))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(15))
def test_three_hundred_faults_lose_and_repeat_nothing(ground, tmp_path, seed):
    ground.disturb(tmp_path, 20, random.Random(100 + seed), longest=1.5)
