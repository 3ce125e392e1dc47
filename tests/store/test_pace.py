"""How fast a folder grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mutascope import Design, Screen, ScreenData, TextAssay
from mutascope.run.shards import Shard
from mutascope.store import ScreenFolder
from mutascope.store.pace import pace_of

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=3)


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
    assert (found.units, found.processes) == (4, 0)
    if half.path.startswith("memory"):
        assert found.mutants_per_second > 0
        return
    for place, name in enumerate(sorted(half.finished_units())):
        os.utime(Path(half.path) / "records" / f"{name}.parquet", (0, 1_000_000 + 8 * place))
    found = pace_of(half)
    assert found is not None
    assert found.mutants_per_second == pytest.approx(16 / 8)


def test_status_tells_it_as_long_as_something_is_missing(half, cli):
    result = cli("status", half.path)
    assert result.code == 0
    assert "mutants/s over the last 4 units, 0 processes at work, " in result.out
    assert ScreenData(half).done == 64


def test_one_unit_has_no_pace(half):
    for name in sorted(half.finished_units())[1:]:
        half.files.remove(f"records/{name}.parquet")
    assert pace_of(half) is None
