"""The simulation of clusters (benchmarks/simulate_cluster.py): what it must say where the answer is known."""

from __future__ import annotations

import pytest
from benchmarks.simulate_cluster import MUTANTS, PAGE, Cluster, simulate, written

SECONDS = Cluster(1).seconds
"""Of a mutant, as measured."""


def test_one_gpu_that_never_fails_takes_all_mutants_one_after_the_other():
    cluster = Cluster(1, 640, failures=0.0, spread=0.0, start=0.0, latency=0.0)
    run = simulate(cluster, 0)
    assert run.hours == pytest.approx(cluster.units * 640 * SECONDS / 3600)
    assert (run.lost, run.idle, run.failures) == (0, 0, 0)


def test_gpus_share_the_work_evenly_but_for_the_last_unit():
    cluster = Cluster(64, 640, failures=0.0, spread=0.0, start=0.0, latency=0.0)
    assert simulate(cluster, 0).hours * 64 == pytest.approx(MUTANTS * SECONDS / 3600, rel=0.02)


def test_failures_come_at_their_rate_and_undo_half_a_unit_each():
    cluster = Cluster(64, 2560, failures=2.0, dtype="float32")
    runs = [simulate(cluster, seed) for seed in range(20)]
    failures, lost = sum(run.failures for run in runs), sum(run.lost for run in runs)
    worked = len(runs) * MUTANTS * cluster.seconds / 3600 + lost
    assert failures / worked == pytest.approx(2.0, rel=0.05)
    undone = 3600 * lost / failures
    assert undone == pytest.approx(2560 * cluster.seconds / 2, rel=0.1)


def test_what_was_measured_is_told_on_the_page():
    text = " ".join(PAGE.read_text().split())
    for dtype in ("bfloat16", "float32"):
        cluster = Cluster(1, dtype=dtype)
        assert f"{1000 * cluster.seconds:.1f} ms a mutant in {dtype}, {cluster.at_once} at a time" in text


def test_a_seed_gives_the_same_again():
    assert simulate(Cluster(64), 3) == simulate(Cluster(64), 3)


@pytest.mark.slow
def test_the_page_has_what_the_simulation_says():
    assert written(PAGE.read_text()) == PAGE.read_text()
