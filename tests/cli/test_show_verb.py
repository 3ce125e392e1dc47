"""``mutascope show``: the answers of a mutant of a choice screen."""

from __future__ import annotations

import csv
from string import ascii_uppercase

import pytest

from builders import choice_model, question_rows
from mutascope import Design, Screen, ScreenData
from mutascope.assays import ChoiceAssay


@pytest.mark.parametrize("choices", [2, 5, 6, 10])
def test_probabilities_are_legible_with_any_number_of_choices(cli, monkeypatch, tmp_path, choices):
    letters = ascii_uppercase[:choices]
    with (tmp_path / "q.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["question", *letters, "answer"], *question_rows(12, choices)])
    assay = ChoiceAssay(name="q", questions=str(tmp_path / "q.csv"), shots=1, right=0, wrong=2)
    design = Design(kinds=("v",), layers=(0,), sample=1, mutations=("max",))
    model = str(choice_model(tmp_path / "m", letters))
    Screen(model, assay, design, tile=24, engine="reference").run(tmp_path / "s", quiet=True)
    monkeypatch.setenv("COLUMNS", "80")
    mutant = "{layer}.{kind}:{row},{col}:{mutation}".format(
        **ScreenData(tmp_path / "s").records().row(0, named=True)
    )
    shown = cli("show", tmp_path / "s", mutant).out
    assert "…" not in shown
    assert max(map(len, shown.splitlines()[1:])) <= 80
    results = ScreenData(tmp_path / "s")
    keys = [prompt.key for prompt in results.manifest.prompts]
    for row, key in zip(results.folder.outputs().iter_rows(named=True), keys, strict=True):
        for letter in letters if choices < 6 else key:
            assert f" {row[f'p_{letter}']:.3f} " in shown
