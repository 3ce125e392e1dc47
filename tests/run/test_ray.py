"""Screens on a Ray cluster of three nodes on this machine, whose actors and nodes die."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from faults import DESIGN, TALE, Ground, SlowScreen, holders, hurry, signalled
from mutascope import Design, MutascopeError, Prediction, ScreenData
from mutascope.cli.stopping import resumable
from mutascope.core.errors import Stopped
from mutascope.predict.predictor import Predictor
from mutascope.run.executors.ray_cluster import RayActors
from processes import start_function

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(400)]

PATHS = os.pathsep.join(str(Path(__file__).resolve().parents[n] / name) for n, name in ((1, ""), (2, "src")))


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground"))


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    """A head without room for actors, and two nodes of one core."""
    Cluster = import_module("ray.cluster_utils").Cluster
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        small: dict[str, Any] = {"object_store_memory": 80 * 2**20}
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
        for _ in range(2):
            made.add_node(num_cpus=1, **small)
        yield made
        import_module("ray").shutdown()
        made.shutdown()


@pytest.fixture
def executor(cluster) -> RayActors:
    hurry()
    return RayActors(2, cluster.address)


def is_actor(process: int) -> bool:
    """Whether a process, by its id, is an actor of Ray, and lives: ids are used again."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::")
    except OSError:
        return False


def disturbed(ground: Ground, out: Path, executor: RayActors, harm: Callable[[], bool], faults: int) -> int:
    """Run the screen while harm is done to it, and return how often it was."""
    done, over = 0, threading.Event()

    def disturb() -> None:
        nonlocal done
        while done < faults and not over.wait(0.3):
            done += harm()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        SlowScreen(ground.model, TALE, DESIGN, tile=8, engine="reference").run(
            out, quiet=True, executor=executor
        )
    finally:
        over.set()
        thread.join()
    return done


def test_actors_run_what_one_process_runs(ground, executor, tmp_path):
    assert disturbed(ground, tmp_path, executor, lambda: False, 0) == 0
    ground.check(tmp_path)


def test_actors_that_are_killed_are_replaced(ground, executor, tmp_path):
    draw = random.Random(0)

    def kill() -> bool:
        actors = [pid for pid in holders(tmp_path) if is_actor(pid)]
        return bool(actors) and signalled(draw.choice(actors), signal.SIGKILL)

    assert disturbed(ground, tmp_path, executor, kill, 3) >= 1
    ground.check(tmp_path)


def test_a_node_that_dies_is_done_without(ground, cluster, executor, tmp_path):
    nodes = list(cluster.worker_nodes)

    def kill() -> bool:
        if not holders(tmp_path):
            return False
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        return True

    assert disturbed(ground, tmp_path, executor, kill, 1) == 1
    ground.check(tmp_path)
    cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes()


def drive(model: str, out: str, address: str) -> None:
    """Run the screen on the cluster."""
    hurry()
    screen = SlowScreen(model, TALE, DESIGN, tile=8, engine="reference")
    try:
        with resumable(screen):
            screen.run(out, quiet=True, executor=RayActors(2, address))
    except Stopped as stop:
        sys.exit(stop.exit_code)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_driver_that_ends_leaves_what_can_be_gone_on_with(ground, cluster, tmp_path, number, code):
    out = tmp_path / "out"
    driver = start_function(drive, ground.model, str(out), cluster.address)
    driver.wait_until(lambda: len(holders(out)) > 1)
    time.sleep(0.3)
    driver.send(number)
    assert driver.wait() == code
    ground.check_unfinished(out)
    if number != signal.SIGKILL:
        assert holders(out) == []
    assert ground.start(out, 1).wait() == 0
    ground.check(out)


def test_predictions_are_made_there_too(ground, executor, tmp_path, monkeypatch):
    job = Prediction(ground.model, TALE, Design(kinds=("v",)), tile=8, sample=20)
    whole = job.run(tmp_path / "whole", quiet=True)
    monkeypatch.setattr(Predictor, "__init__", None)  # the driver predicts nothing
    mine = job.run(tmp_path / "ray", quiet=True, executor=executor)
    assert mine.finished
    assert mine.records().equals(whole.records())
    for path in (tmp_path / "whole" / "predictions").iterdir():
        assert (tmp_path / "ray" / "predictions" / path.name).read_bytes() == path.read_bytes()


def test_what_an_actor_is_refused_is_told(ground, executor, tmp_path):
    model = ground.whole.parent / "model"
    screen = SlowScreen(str(model), TALE, DESIGN, tile=8, engine="reference")
    screen.open(str(tmp_path / "out")).prepare()
    (tmp_path / "gone").mkdir()
    screen.spec = screen.spec.model_copy(update={"model": str(tmp_path / "gone")})
    with pytest.raises(MutascopeError, match="gone"):
        executor(screen, screen.pending(), quiet=True)
    assert ScreenData(tmp_path / "out").done == 0
