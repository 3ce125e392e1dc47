"""Screens that are killed, interrupted, finished or of another spec: real processes, real signals."""

import json
import random
import shutil
import signal
import time
from pathlib import Path

import polars as pl
import pytest

from builders import tiny_model
from mutascope import ScreenData
from mutascope.core.schema import MUTANT_KEY, SITE_KEY
from processes import Process, start_command
from stores import snapshot

ASSAY = """
prompt: "Once upon a time:"
max_new_tokens: 8
temperature: 0.7
"""
COORDINATES = [*MUTANT_KEY]
MUTANTS, UNIT = 200, 16


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> list[str]:
    """The options of a screen of 200 mutants in several loci."""
    folder = tmp_path_factory.mktemp("resume")
    model = tiny_model(folder / "model", "llama", seed=9, num_hidden_layers=2)
    (folder / "assay.yaml").write_text(ASSAY)
    options = {
        "model": model,
        "assay": folder / "assay.yaml",
        "tile": 8,
        "sample": MUTANTS // 2,
        "engine": "reference",
    }
    return [str(word) for key, value in options.items() for word in (f"--{key}", value)]


def start(spec: list[str], out: Path) -> Process:
    return start_command("screen", *spec, "--out", out, stderr=out.with_suffix(".stderr"))


def shards(out: Path) -> int:
    return len(list((out / "records").glob("[0-9]*.parquet")))


@pytest.fixture(scope="module")
def undisturbed(spec, tmp_path_factory) -> tuple[Path, float, float]:
    """A finished screen: folder, seconds until the first mutant ran, seconds per unit."""
    out = tmp_path_factory.mktemp("undisturbed") / "screen"
    process = start(spec, out)
    process.wait_until((out / "manifest.json").exists)
    startup = time.monotonic() - process.started
    assert process.wait() == 0, process.stderr
    units = -(-MUTANTS // UNIT)
    assert shards(out) == units
    return out, startup, (time.monotonic() - process.started - startup) / units


def test_ten_kills_at_random_moments_lose_and_repeat_nothing(spec, undisturbed, tmp_path):
    reference, startup, per_unit = undisturbed
    out = tmp_path / "screen"
    draw = random.Random(11)
    stored = []
    for attempt in range(10):
        process = start(spec, out)
        if attempt < 5:  # at any moment, loading and the wild type included
            time.sleep(draw.uniform(0, startup + 1.2 * per_unit))
        else:  # while a later unit runs
            process.wait_until(lambda: shards(out) > stored[-1])
            time.sleep(draw.uniform(0, 0.6) * per_unit)
        assert process.running, f"finished before kill {attempt}: {process.stderr}"
        process.kill()
        stored.append(shards(out))
        if stored[-1]:
            partial = ScreenData(out).records()  # a folder is readable after any kill
            assert len(partial) == stored[-1] * UNIT
            assert partial.select(COORDINATES).is_duplicated().sum() == 0
    assert stored == sorted(stored)
    assert stored[-1] < -(-MUTANTS // UNIT), stored

    process = start(spec, out)
    assert process.wait() == 0, process.stderr
    results, expected = ScreenData(out), ScreenData(reference)
    assert results.finished
    records = results.records()
    assert records.equals(expected.records())
    assert len(records) == MUTANTS
    assert records.select(COORDINATES).is_duplicated().sum() == 0
    assert results.texts().equals(expected.texts())
    assert results.manifest.wild_type == expected.manifest.wild_type
    assert 0 < records["silent"].sum() < MUTANTS


def test_a_finished_screen_is_left_alone(spec, undisturbed):
    out, _, _ = undisturbed
    before = snapshot(out)
    process = start_command("screen", *spec, "--out", out, stderr=out.with_suffix(".again"))
    assert process.wait() == 0
    assert snapshot(out) == before


def test_a_finished_screen_says_so(spec, undisturbed, cli):
    out, _, _ = undisturbed
    result = cli("screen", *spec, "--out", out)
    assert result.code == 0
    assert result.out.strip() == f"{out} is finished: all {MUTANTS} mutants are there, nothing to do"


def test_another_spec_is_refused_with_the_difference_and_nothing_changes(spec, undisturbed, cli):
    out, _, _ = undisturbed
    before = snapshot(out)
    changes = {
        ("--tile", "6"): ["tile is 8 there and 6 here"],
        ("--seed", "4"): ["assay.seed is 0 there and 4 here"],
        ("--mutations", "max,zero"): ["design.mutations is ['max', 'min'] there and ['max', 'zero'] here"],
        ("--sample-seed", "1"): ["design.sample_seed is 0 there and 1 here"],
        ("--dtype", "float64"): ["model.dtype is 'float32' there and 'float64' here", "model.fingerprint"],
    }
    for options, words in changes.items():
        result = cli("screen", *spec, *options, "--out", out)
        assert result.code == 2
        message = result.err.strip().splitlines()[-1]
        assert message.startswith(f"mutascope: {out} holds another screen: ")
        assert all(word in message for word in words), message
    assert snapshot(out) == before


def test_other_weights_under_the_same_name_are_another_screen(spec, undisturbed, cli, tmp_path):
    out, _, _ = undisturbed
    other = tiny_model(tmp_path / "model", "llama", seed=10)
    result = cli("screen", *spec, "--model", other, "--out", out)
    assert result.code == 2
    assert "model.fingerprint is" in result.err


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
@pytest.mark.parametrize("moment", [0.5, 1.5], ids=["first unit", "second unit"])
def test_a_signal_stops_within_seconds_and_says_how_to_go_on(
    spec, undisturbed, tmp_path, moment, number, code
):
    reference, _, per_unit = undisturbed
    out = tmp_path / "screen"
    process = start(spec, out)
    process.wait_until((out / "manifest.json").exists)
    time.sleep(moment * per_unit)
    process.send(number)
    sent = time.monotonic()
    assert process.wait() == code
    assert time.monotonic() - sent < 5
    message = process.stderr.splitlines()[-1]
    assert message.startswith("mutascope: stopped: ")
    assert "interrupted" not in process.stderr
    assert f"of {MUTANTS} mutants are stored in {out}" in message
    assert "run the same command again to go on" in message
    assert "Traceback" not in process.stderr
    if moment < 1:
        return
    assert start(spec, out).wait() == 0
    assert ScreenData(out).records().equals(ScreenData(reference).records())


def test_ctrl_c_while_the_model_loads_is_short_too(spec, tmp_path):
    process = start(spec, tmp_path / "screen")
    process.wait_until((tmp_path / "screen.stderr").exists)
    time.sleep(0.03)
    process.send(signal.SIGINT)
    assert process.wait() == 130
    assert "Traceback" not in process.stderr
    assert process.stderr.endswith("mutascope: interrupted\n")


def test_a_deleted_unit_is_run_again_and_comes_out_the_same(spec, undisturbed, tmp_path, cli):
    reference, _, _ = undisturbed
    out = tmp_path / "screen"
    shutil.copytree(reference, out)
    for unit in ("000003", "000012"):
        (out / "records" / f"{unit}.parquet").unlink()
    unfinished = ScreenData(out)
    assert not unfinished.finished
    assert len(unfinished.records()) == MUTANTS - UNIT - MUTANTS % UNIT
    kept = snapshot(out)["records/000004.parquet"]
    result = cli("screen", *spec, "--out", out)
    assert result.code == 0, result.err
    assert f"finished {out}" in result.out
    assert snapshot(out)["records/000004.parquet"] == kept
    assert ScreenData(out).records().equals(ScreenData(reference).records())


def test_a_wild_type_that_this_machine_does_not_reproduce_stops_the_resume(spec, undisturbed, tmp_path, cli):
    out = tmp_path / "screen"
    shutil.copytree(undisturbed[0], out)
    (out / "records" / "000001.parquet").unlink()
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["wild_type"][0]["tokens"][-1] += 1
    (out / "manifest.json").write_text(json.dumps(manifest))
    result = cli("screen", *spec, "--out", out)
    assert result.code == 2
    assert "is not reproduced here" in result.err
    assert not (out / "records" / "000001.parquet").exists()


def test_records_of_an_interrupted_screen_are_in_design_order(undisturbed):
    records = ScreenData(undisturbed[0]).records()
    rank = {kind: i for i, kind in enumerate(["q", "k", "v", "o", "gate", "up", "down"])}
    order = records.with_columns(pl.col("kind").replace_strict(rank))
    assert order.select(*SITE_KEY).equals(order.select(*SITE_KEY).sort(*SITE_KEY))
