"""Shares of a job, stated or read from the environment."""

from __future__ import annotations

import pytest

from builders import tiny_model
from mutascope import Design, MutascopeError, Prediction, Screen, ScreenData, TextAssay
from mutascope.run.shards import Shard, read_shard

TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=5, temperature=0.7)


def test_shards_part_what_there_is():
    shards = [read_shard(f"{number}/3", {}) for number in (1, 2, 3)]
    held = [[index for index in range(10) if shard.holds(index)] for shard in shards]
    assert held == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]


@pytest.mark.parametrize(
    "environment, shard",
    [
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4"}, Shard(1, 4)),
        (
            {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"},
            Shard(1, 4),
        ),
        (
            {
                "SLURM_ARRAY_TASK_ID": "14",
                "SLURM_ARRAY_TASK_COUNT": "3",
                "SLURM_ARRAY_TASK_MIN": "10",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            Shard(3, 3),
        ),
        ({"SKYPILOT_JOB_RANK": "63", "SKYPILOT_NUM_JOBS": "64"}, Shard(64, 64)),
    ],
)
def test_auto_reads_the_environment(environment, shard):
    assert read_shard("auto", environment) == shard


@pytest.mark.parametrize(
    "text, environment, words",
    [
        ("3", {}, "is no shard: write 3/64"),
        ("0/4", {}, "there is no shard 0 of 4"),
        ("5/4", {}, "there is no shard 5 of 4"),
        ("auto", {}, "neither a task of a Slurm array nor a SkyPilot job"),
        ("auto", {"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_ID is set, but not SLURM_ARRAY_TASK_COUNT"),
        ("auto", {"SKYPILOT_NUM_JOBS": "1"}, "SKYPILOT_NUM_JOBS is set, but not SKYPILOT_JOB_RANK"),
        ("auto", {"SKYPILOT_NUM_JOBS": "x", "SKYPILOT_JOB_RANK": "0"}, "SKYPILOT_NUM_JOBS is no number: x"),
    ],
)
def test_what_is_no_shard_is_told(text, environment, words):
    with pytest.raises(MutascopeError, match=words):
        read_shard(text, environment)


def test_shards_make_a_whole_screen(tmp_path, cli):
    model = str(tiny_model(tmp_path / "model", "llama"))
    (tmp_path / "tale.yaml").write_text("name: tale\nprompt: 'Once upon a time:'\nmax_new_tokens: 5\n")
    options = ["--model", model, "--assay", tmp_path / "tale.yaml", "--kinds", "v,down", "--sample", 40]
    options += ["--tile", 8, "--engine", "reference"]
    assert cli("screen", *options, "--out", tmp_path / "whole").code == 0
    results = [
        cli("screen", *options, "--out", tmp_path / "shared", "--shard", f"{number}/2") for number in (2, 1)
    ]
    assert [result.code for result in results] == [0, 0]
    assert "shard 2/2 is done: 32 of 80 mutants are stored" in results[0].out
    assert f"finished {tmp_path / 'shared'}" in results[1].out
    assert ScreenData(tmp_path / "shared").finished
    assert ScreenData(tmp_path / "shared").records().equals(ScreenData(tmp_path / "whole").records())
    again = cli("screen", *options, "--out", tmp_path / "shared", "--shard", "1/0")
    assert (again.code, again.err) == (
        2,
        "mutascope: --shard 1/0: there is no shard 1 of 0; they are numbered from 1\n",
    )


def test_shards_make_a_whole_prediction(tmp_path):
    model = str(tiny_model(tmp_path / "model", "llama", std=0.1))
    job = Prediction(model, TALE, Design(kinds=("v", "down")), tile=8, sample=50)
    whole = job.run(tmp_path / "whole", quiet=True)
    first = job.run(tmp_path / "shared", quiet=True, shard=Shard(1, 2))
    assert 0 < len(first.folder.predicted_loci()) < 4
    assert not first.finished
    second = job.run(tmp_path / "shared", quiet=True, shard=Shard(2, 2))
    assert second.finished
    assert second.records().equals(whole.records())
    assert second.predictions().equals(whole.predictions())
    with pytest.raises(MutascopeError, match="a target needs all predictions"):
        job.run(tmp_path / "shared", error=0.1, quiet=True, shard=Shard(2, 2))


def test_the_last_shard_of_a_prediction_writes_the_pages_of_the_atlas(tmp_path, cli):
    model = str(tiny_model(tmp_path / "model", "llama", std=0.1))
    (tmp_path / "tale.yaml").write_text("name: tale\nprompt: 'Once upon a time:'\nmax_new_tokens: 5\n")
    options = ["--model", model, "--assay", tmp_path / "tale.yaml", "--kinds", "v,down", "--tile", 8]
    options += ["--sample", 20, "--engine", "reference", "--out", tmp_path / "shared"]
    for number, written in ((1, False), (2, True)):
        assert cli("predict", *options, "--shard", f"{number}/2").code == 0
        assert (tmp_path / "shared" / "atlas" / "index.json").exists() == written


def test_a_shard_that_is_done_leaves_the_rest(tmp_path):
    screen = Screen(str(tiny_model(tmp_path / "model", "llama")), TALE, Design(sample=40), tile=8)
    done = screen.run(tmp_path / "out", quiet=True, shard=Shard(1, 2))
    again = screen.run(tmp_path / "out", quiet=True, shard=Shard(1, 2))
    assert (again.fresh, again.left) == (0, done.left)
