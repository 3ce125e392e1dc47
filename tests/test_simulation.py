"""The simulation of clusters (benchmarks/simulate_cluster.py): what it must say where the answer is known."""

from __future__ import annotations

import pytest
from benchmarks.simulate_cluster import MUTANTS, PAGE, Cluster, simulate, written


def test_one_gpu_that_never_fails_takes_all_mutants_one_after_the_other():
    cluster = Cluster(1, 600, failures=0.0, spread=0.0, start=0.0, latency=0.0)
    run = simulate(cluster, 0)
    assert run.hours == pytest.approx(cluster.units * 600 * 0.222 / 3600)
    assert (run.lost, run.idle, run.failures) == (0, 0, 0)


def test_gpus_share_the_work_evenly_but_for_the_last_unit():
    cluster = Cluster(64, 600, failures=0.0, spread=0.0, start=0.0, latency=0.0)
    assert simulate(cluster, 0).hours * 64 == pytest.approx(MUTANTS * 0.222 / 3600, rel=0.02)


def test_failures_come_at_their_rate_and_undo_half_a_unit_each():
    cluster = Cluster(64, 3162, failures=0.5)
    runs = [simulate(cluster, seed) for seed in range(20)]
    failures, lost = sum(run.failures for run in runs), sum(run.lost for run in runs)
    worked = len(runs) * MUTANTS * 0.222 / 3600 + lost
    assert failures / worked == pytest.approx(0.5, rel=0.05)
    undone = 3600 * lost / failures
    assert undone == pytest.approx(3162 * 0.222 / 2, rel=0.1)


def test_a_seed_gives_the_same_again():
    assert simulate(Cluster(64), 3) == simulate(Cluster(64), 3)


@pytest.mark.slow
def test_the_page_has_what_the_simulation_says():
    assert written(PAGE.read_text()) == PAGE.read_text()
