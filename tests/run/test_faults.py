"""Workers and drivers that die at random moments: afterwards the records are those of the undisturbed run."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from faults import DeadlyScreen, Ground, JumpyScreen, RefusedScreen, holders


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


def test_workers_run_what_one_process_runs(ground, tmp_path):
    assert ground.start(tmp_path / "out", 3).wait() == 0
    ground.check(tmp_path / "out")


def test_twenty_faults_lose_and_repeat_nothing(ground, tmp_path):
    ground.disturb(tmp_path, 20, random.Random(5))


@pytest.mark.slow
def test_clocks_that_jump_are_nothing_to_leases(ground, tmp_path):
    drivers = [ground.start(tmp_path / "out", 2, JumpyScreen) for _ in range(2)]
    assert [driver.wait() for driver in drivers] == [0, 0]
    ground.check(tmp_path / "out")


@pytest.mark.slow
def test_two_drivers_share_a_folder_and_one_goes_on_when_the_other_dies(ground, tmp_path):
    out = tmp_path / "out"
    drivers = [ground.start(out, 2) for _ in range(2)]
    drivers[0].wait_until(lambda: len(holders(out)) >= 4)
    drivers[0].kill()
    assert drivers[1].wait() == 0
    ground.check(out)


@pytest.mark.slow
def test_workers_that_die_again_and_again_are_told(ground, tmp_path):
    out = tmp_path / "out"
    driver = ground.start(out, 2, DeadlyScreen)
    assert driver.wait() == 2
    assert (
        "5 workers died one after the other and no unit was finished (the last one of SIGKILL)" in ground.said
    )
    assert ground.start(out, 2).wait() == 0
    ground.check(out)


def test_a_sentence_of_a_worker_is_that_of_the_driver(ground, tmp_path):
    out = tmp_path / "out"
    assert ground.start(out, 2, RefusedScreen).wait() == 2
    assert ground.said == "this worker cannot: it was told so\n"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_sentence_and_nothing_is_lost(ground, small_disk, tmp_path, workers):
    out, filler = small_disk / "out", small_disk / "filler"
    driver = ground.start(out, workers)
    driver.wait_until(lambda: len(list((out / "records").glob("[!.]*"))) >= 1)
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    assert driver.wait() == 2
    assert "cannot be written: No space left on device" in ground.said
    assert "Traceback" not in ground.said
    ground.check_unfinished(out)
    filler.unlink()
    assert ground.start(out, workers).wait() == 0
    ground.check(out)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(15))
def test_three_hundred_faults_lose_and_repeat_nothing(ground, tmp_path, seed):
    ground.disturb(tmp_path, 20, random.Random(100 + seed), longest=1.5)
