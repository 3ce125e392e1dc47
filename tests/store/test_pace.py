"""How fast a folder grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mutascope import Design, Prediction, Screen, ScreenData, TextAssay
from mutascope.core.words import duration
from mutascope.run.shards import Shard
from mutascope.store import ScreenFolder
from mutascope.store.leases import Leases, Usage
from mutascope.store.pace import pace_of

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=1)


@pytest.fixture(params=["local", "memory"])
def half(request, tmp_path, llama) -> ScreenFolder:
    """A half of a screen, in units of 16 mutants."""
    out = str(tmp_path / "out") if request.param == "local" else f"memory://{tmp_path.name}"
    design = Design(kinds=("v", "down"), sample=60)
    Screen(llama, TALE, design, tile=8, engine="reference").run(out, quiet=True, shard=Shard(1, 2))
    return ScreenFolder(out)


def test_a_pace_is_mutants_over_the_time_between_units(half):
    found = pace_of(half)
    assert found is not None
    assert (found.shards, found.processes) == (4, 0)
    if half.path.startswith("memory"):
        assert found.per_second > 0
        return
    for place, name in enumerate(sorted(half.finished_units())):
        os.utime(Path(half.path) / "records" / f"{name}.parquet", (0, 1_000_000 + 8 * place))
    found = pace_of(half)
    assert found is not None
    assert found.per_second == pytest.approx(16 / 8)


def test_status_tells_it_as_long_as_something_is_missing(half, cli):
    result = cli("status", half.path)
    assert result.code == 0
    assert "mutants/s over the last 4 units, 0 processes at work, " in result.out
    assert ScreenData(half).done == 64


def at_work(folder: ScreenFolder, count: int, usage: Usage | None = None) -> None:
    """Leave the sign of life of a process, its ``count``-th one."""
    mine = Leases(folder.files, None if usage is None else lambda: usage)
    mine._signs = count - 1
    mine._beat()


def test_what_was_stored_before_anybody_at_work_began_has_no_pace(half):
    if half.path.startswith("memory"):
        return
    moments = (1e6, 1e6 + 8, 1e6 + 9000, 1e6 + 9004)
    for at, name in zip(moments, sorted(half.finished_units()), strict=True):
        os.utime(Path(half.path) / "records" / f"{name}.parquet", (0, at))
    at_work(half, count=3)
    (sign,) = (Path(half.path) / "leases" / "holders").iterdir()
    os.utime(sign, (0, 1e6 + 9006))
    found = pace_of(half)
    assert found is not None
    assert (found.shards, found.processes, found.usage) == (2, 1, None)
    assert found.per_second == pytest.approx(16 / 4)
    assert found.seconds_each == pytest.approx(4 / 16)


def test_status_tells_what_the_rest_takes(half, cli):
    at_work(half, 9000, Usage(3_100_000_000))
    at_work(half, 9000, Usage(2_000_000_000, 57_600_000_000, "NVIDIA H100 80GB HBM3"))
    found = pace_of(half)
    assert found is not None
    hours = 2 * 56 / found.per_second / 3600
    result = cli("status", half.path, "--plan", "8xH100")
    assert result.code == 0
    assert f"{hours:,.2f} process-hours left, about {3 * hours:,.0f} dollars at 3.00" in result.out
    assert "a process has had up to 3.1 GB, and 57.6 GB of its NVIDIA H100 80GB HBM3" in result.out
    assert f"the rest on 8 x H100: {duration(3600 * hours / 8)}, {hours:,.1f} GPU-hours" in result.out


def test_a_plan_without_a_card_that_was_seen_at_work_is_refused(half, cli):
    at_work(half, 9000, Usage(3_100_000_000))
    for plan, words in [("8xH100", "no process on a card"), ("many", "no plan")]:
        result = cli("status", half.path, "--plan", plan)
        assert result.code == 2
        assert words in result.err


def test_status_tells_how_fast_loci_are_predicted(llama, tmp_path, cli):
    job = Prediction(llama, TALE, Design(kinds=("v", "down")), tile=8, sample=0)
    job.run(tmp_path, quiet=True)
    with ScreenFolder(tmp_path).changed_manifest() as manifest:
        manifest.controls = None
    (gone, *others) = sorted((tmp_path / "predictions").iterdir())
    gone.unlink()
    for place, path in enumerate(others):
        os.utime(path, (0, 1e6 + 4 * place))
    result = cli("status", tmp_path)
    assert result.code == 0
    assert (
        f"0.25 loci/s over the last {len(others)} loci, 0 processes at work, 4 s left at this pace"
        in result.out
    )


def test_one_unit_has_no_pace(half):
    for name in sorted(half.finished_units())[1:]:
        half.files.remove(f"records/{name}.parquet")
    assert pace_of(half) is None
