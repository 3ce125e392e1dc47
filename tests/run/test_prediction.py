"""Predictions: folders, resuming, adaptive runs, mixed maps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from builders import tiny_model
from mutascope.assays import TextAssay
from mutascope.cli.predict import parse_duration
from mutascope.core.design import Design
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.schema import MUTANT_KEY
from mutascope.figures import draw_map, draw_sheet
from mutascope.findings.predictions import sample_of
from mutascope.findings.screens import ScreenSet
from mutascope.run.prediction import Prediction
from mutascope.run.rounds import choose
from mutascope.run.screen import Screen
from mutascope.store import ScreenFolder
from mutascope.store.reader import ScreenData

ASSAY = TextAssay(name="test", prompt="hello", max_length=16, temperature=0.7, seed=3)
LISTED = ("1.v:0,0:max", "1.v:0,0:min", "1.q:0,1:max", "1.v:1,1:noop", "2.down:0,0:zero")
DESIGN = Design(layers=(1, 2), kinds=("v", "down"), mutations=("max", "min"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_model(tmp_path_factory.mktemp("predicted") / "model", "llama", std=0.1))


def test_a_prediction_predicts_calibrates_and_runs_the_uncertain(folder, tmp_path):
    prediction = Prediction(folder, ASSAY, DESIGN, tile=8, sample=12)
    first = prediction.run(tmp_path / "out", quiet=True)
    predictions = first.predictions()
    assert len(predictions) == len(prediction.population)
    assert predictions["probability"].null_count() == 0
    sample = first.records()
    assert len(sample) == 24
    manifest: Any = first.manifest
    assert manifest.predictions.calibration.calls == 24
    assert manifest.controls.calls == 24
    assert manifest.controls.replayed == 3
    assert manifest.controls.noops > 3
    again = prediction.run(tmp_path / "out", error=0.02, quiet=True)
    controls: Any = again.manifest.controls
    assert controls.calls == len(again.records())
    assert controls.replay_mismatches == []
    assert again.records().head(24).equals(sample)
    calls = again.calls()
    doubt = calls.filter(source="predicted")["probability"].to_numpy()
    assert np.minimum(doubt, 1 - doubt).sum() / len(calls) <= 0.02
    assert calls.filter(source="exact").height == len(again.records())
    third = prediction.run(tmp_path / "out", error=0.02, quiet=True)
    assert third.records().equals(again.records())
    check_mixed(tmp_path / "out", again)


def check_mixed(out, results: ScreenData) -> None:
    """Exact calls are the records; tables and maps say what is predicted."""
    keys = [*MUTANT_KEY]
    exact = results.calls().filter(source="exact").join(results.records(), on=keys, suffix="_true")
    assert (exact["silent"] == exact["silent_true"]).all()
    given = ScreenSet([out])
    assert given.labels == ["out (predicted)"]
    sample = sample_of(given, given.labels[0])
    assert sample is not None
    assert len(sample) == 24
    words = [text.get_text() for text in draw_map(results.map(1, "v")).texts]
    assert any("PREDICTED" in word for word in words)
    assert "lighter: predicted" in [t.get_text() for t in draw_sheet(results.maps()).legends[0].get_texts()]


def test_a_locus_that_is_there_is_not_predicted_again(folder, tmp_path):
    out = tmp_path / "out"
    Prediction(folder, ASSAY, DESIGN, tile=8, sample=0).run(out, quiet=True)
    before = {path.name: path.stat().st_mtime_ns for path in (out / "predictions").iterdir()}
    (out / "predictions" / "2.v.parquet").unlink()
    results = Prediction(folder, ASSAY, DESIGN, tile=8, sample=0).run(out, quiet=True)
    after = {path.name: path.stat().st_mtime_ns for path in (out / "predictions").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"2.v.parquet"}
    assert results.predictions()["probability"].null_count() == len(results.predictions())
    silent = results.calls()["silent"].to_numpy()
    assert np.array_equal(silent, results.predictions()["margin"].to_numpy() >= 0)


def test_the_folder_of_a_screen_gets_predictions_and_keeps_its_records(folder, tmp_path):
    out = tmp_path / "screen"
    screen = Screen(folder, ASSAY, Design(layers=(1,), kinds=("v",)), tile=8)
    screen.run(out, quiet=True)
    records = screen.records()
    results = Prediction(
        folder, ASSAY, Design(layers=(1,), kinds=("v",), mutations=("max", "min")), tile=8
    ).run(out, quiet=True)
    assert results.records().equals(records)
    assert results.predictions()["probability"].null_count() == 0
    assert set(results.calls()["source"]) == {"exact"}
    same = Design(layers=(1,), kinds=("v",), mutations=("max", "min"))
    with pytest.raises(MutascopeError, match="design of its own"):
        Prediction(folder, ASSAY, same, tile=8).run(out, error=0.1, quiet=True)
    with pytest.raises(MutascopeError, match=r"a screen without 1\.down"):
        Prediction(folder, ASSAY, DESIGN, tile=8).run(out, quiet=True)
    with pytest.raises(MutascopeError, match="give --mutations max,min,"):
        Prediction(folder, ASSAY, Design(layers=(1,), kinds=("v",), mutations=("max",)), tile=8).run(
            out, quiet=True
        )


@pytest.mark.parametrize(
    "design",
    [
        Design(mutants=tuple(map(Mutant.parse, LISTED))),
        Design(layers=(1,), kinds=("v",), sample=2),
    ],
    ids=["a list with other loci and mutations", "fewer sites than a sample of predictions"],
)
def test_predictions_of_a_screen_of_another_design_are_calibrated_by_its_records(folder, tmp_path, design):
    Screen(folder, ASSAY, design, tile=8).run(tmp_path / "out", quiet=True)
    wanted = Design(layers=(1,), kinds=("v",), mutations=("max", "min"))
    results = Prediction(folder, ASSAY, wanted, tile=8, sample=12).run(tmp_path / "out", quiet=True)
    assert results.predictions()["probability"].null_count() == 0


def test_records_of_loci_that_were_not_predicted_stay_among_the_calls(folder, tmp_path):
    out = tmp_path / "screen"
    screen = Screen(folder, ASSAY, Design(layers=(1,), kinds=("q", "v"), sample=6), tile=8)
    screen.run(out, quiet=True)
    results = Prediction(folder, ASSAY, Design(layers=(1,), kinds=("v",)), tile=8).run(out, quiet=True)
    calls, records = results.calls(), results.records()
    kept = calls.filter(kind="q")
    assert len(kept) == len(records.filter(kind="q")) > 0
    assert set(kept["source"]) == {"exact"}
    assert len(results.calls("1.v")) == len(results.predictions("1.v"))
    both = records.join(calls, on=[*MUTANT_KEY], suffix="_call")
    assert len(both) == len(records)
    assert both["silent"].equals(both["silent_call"].rename("silent"))


def test_a_run_that_ended_with_the_last_locus_goes_on(folder, tmp_path, monkeypatch):
    out, write, left = tmp_path / "out", ScreenFolder.write_predictions, [3]

    def interrupted(self, *arguments):
        write(self, *arguments)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(ScreenFolder, "write_predictions", interrupted)
    design = Design(kinds=("v",))
    with pytest.raises(KeyboardInterrupt):
        Prediction(folder, ASSAY, design, tile=16, sample=6).run(out, quiet=True)
    monkeypatch.undo()
    results = Prediction(folder, ASSAY, design, tile=16, sample=6).run(out, quiet=True)
    assert results.predictions()["probability"].null_count() == 0
    told: Any = results.manifest.predictions
    assert told.mutations == ["max", "min"]


def test_an_architecture_that_only_the_reference_engine_runs(tmp_path):
    folder = str(tiny_model(tmp_path / "model", "gpt_neox", std=0.05))
    design = Design(layers=(1,), kinds=("v", "o", "down"))
    results = Prediction(folder, ASSAY, design, tile=3, sample=30).run(tmp_path / "out", quiet=True)
    checked = results.checked_calls()
    assert len(checked) == 60
    silent = checked["silent"].to_numpy()
    assert 0.1 < silent.mean() < 0.9
    assert (silent == (checked["margin"] >= 0).to_numpy()).mean() > 0.8


def test_another_prediction_is_refused_with_the_difference(folder, tmp_path):
    out = tmp_path / "out"
    Prediction(folder, ASSAY, DESIGN, tile=8, sample=0).run(out, quiet=True)
    with pytest.raises(MutascopeError, match="tile is 8 there and 16 here"):
        Prediction(folder, ASSAY, DESIGN, tile=16, sample=0).run(out, quiet=True)
    with pytest.raises(MutascopeError, match="whole loci"):
        Prediction(folder, ASSAY, Design(rows=(1,)), tile=8)
    with pytest.raises(MutascopeError, match="a target needs exact calls"):
        Prediction(folder, ASSAY, DESIGN, tile=8, sample=0).run(out, error=0.1, quiet=True)


def test_the_most_uncertain_are_chosen_in_whole_units():
    probability = np.array([0.5, 0.01, 0.9, 0.4, 0.99, 0.0])
    chosen, expected = choose(probability, np.array([0]), 0.02, unit=2)
    assert expected == pytest.approx((0.01 + 0.1 + 0.4 + 0.01) / 6)
    assert chosen.tolist() == [3, 2]
    assert not len(choose(probability, np.array([0]), 0.1, unit=2)[0])


@pytest.mark.parametrize("seed", range(10))
def test_without_a_target_a_round_runs_half_of_what_is_left_and_no_more_than_were_run(seed):
    probability = np.random.default_rng(seed).random(20_000).astype(np.float32)
    chosen, _ = choose(probability, np.arange(15_000), 0.0, unit=64)
    assert 2_400 < len(chosen) < 2_600
    chosen, _ = choose(probability, np.arange(100), 0.0, unit=64)
    assert len(chosen) == 128


def test_the_command_line(folder, tmp_path, cli):
    (tmp_path / "a.yaml").write_text("prompt: hello\nmax_length: 14\ngreedy: true\n")
    fields = (
        "--model",
        folder,
        "--assay",
        tmp_path / "a.yaml",
        "--tile",
        "16",
        "--kinds",
        "v",
        "--out",
        tmp_path / "o",
    )
    done = cli("predict", *fields, "--sample", "4", "--budget", "1s")
    assert done.code == 0, done.err
    assert "3 of 3 loci predicted" in done.err
    design = json.loads((tmp_path / "o" / "manifest.json").read_text())["design"]
    assert (design["type"], design["sample"]) == ("adaptive", 4)
    frame = pl.read_parquet(tmp_path / "o" / "predictions" / "1.v.parquet")
    assert frame.columns[5:] == ["margin", "first_divergence", "risk", "silence", "probability"]
    for wrong, sentence in (
        (("--budget", "soon"), "no duration"),
        (("--error", "2"), "between 0 and 1"),
        (("--sample-seed", "-1"), "sample_seed"),
        (("--sample", "0", "--error", "0.1"), "needs exact calls"),
        (("--mutations", "random"), "random cannot be predicted"),
    ):
        refused = cli("predict", *fields, *wrong)
        assert refused.code == 2
        assert sentence in refused.err


def test_durations():
    assert [parse_duration(text) for text in ("90s", "10m", "1.5h", "7")] == [90, 600, 5400, 7]
