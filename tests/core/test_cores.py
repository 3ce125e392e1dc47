"""Cores that a process may use."""

from __future__ import annotations

import os

import pytest

from mutascope.core.cores import available_cores, available_memory

HERE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize("quota, cores", [("max", HERE), ("100000", 1), ("50000", 1), ("100000000", HERE)])
def test_a_quota_bounds_them(tmp_path, quota, cores):
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize("quota, cores", [("-1", HERE), ("150000", 1)])
def test_a_quota_of_the_first_version(tmp_path, quota, cores):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cores(tmp_path) == cores


def test_without_a_control_group_they_are_those_of_the_process(tmp_path):
    assert available_cores(tmp_path / "none") == HERE


def test_the_memory_is_what_a_control_group_has_left(tmp_path):
    whole = available_memory(tmp_path / "none")
    assert 2**20 < whole < 2**50
    for name, content in (
        ("max", "3000000"),
        ("current", "2500000"),
        ("stat", "anon 1\ninactive_file 400000"),
    ):
        (tmp_path / f"memory.{name}").write_text(f"{content}\n")
    assert available_memory(tmp_path) == 900_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) > 900_000
