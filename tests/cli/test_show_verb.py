"""``mutascope show``: the answers of a mutant of a choice screen, and the terms of silence."""

from __future__ import annotations

import csv
from math import prod
from string import ascii_uppercase
from typing import Any

import numpy as np
import polars as pl
import pytest

from builders import choice_model, question_rows
from mutascope import Design, Screen, ScreenData
from mutascope.assays import ChoiceAssay, TextAssay
from mutascope.core.genome import Mutant
from mutascope.core.schema import MUTANT_KEY


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
        for letter in letters if choices < 6 else key or "":
            assert f" {row[f'p_{letter}']:.3f} " in shown


def test_a_folder_of_questions_is_screened_and_shown_by_subject(cli, tmp_path):
    for number, subject in enumerate(("law", "anatomy")):
        for part, rows in (("dev", question_rows(2)), ("test", question_rows(3 + number, seed=number))):
            (tmp_path / "mmlu" / part).mkdir(parents=True, exist_ok=True)
            with (tmp_path / "mmlu" / part / f"{subject}_{part}.csv").open("w", newline="") as file:
                csv.writer(file).writerows(rows)
    design = ("--kinds", "v", "--layers", "0", "--sample", "3", "--tile", "8", "--shots", "1")
    model = choice_model(tmp_path / "m")
    done = cli("screen", "--model", model, "--assay", tmp_path / "mmlu", *design, "--out", tmp_path / "s")
    assert done.code == 0, done.err
    results = ScreenData(tmp_path / "s")
    nsm = results.texts().filter(~pl.col("silent")).row(0, named=True)
    shown = cli("show", tmp_path / "s", "{layer}.{kind}:{row},{col}:{mutation}".format(**nsm)).out
    said, wild, prompts = nsm["text"].split("\n"), results.wild_type.split("\n"), results.manifest.prompts
    for subject, questions in (("anatomy", 4), ("law", 3)):
        numbers = [
            sum(
                answers[place] == prompt.key
                for place, prompt in enumerate(prompts)
                if prompt.subject == subject
            )
            for answers in (wild, said)
        ]
        (line,) = [line for line in shown.splitlines() if subject in line]
        assert [int(word) for word in line.split() if word.isdigit()] == [questions, *numbers]
    changed = [place for place, (a, b) in enumerate(zip(said, wild, strict=True)) if a != b]
    rows = [line for line in shown.splitlines() if line.startswith("│") and line.split()[1].isdigit()]
    assert [int(line.split()[1]) for line in rows] == changed


@pytest.mark.parametrize("greedy", [False, True])
def test_terms_are_those_of_silence_or_of_the_margin(cli, llama, tmp_path, greedy):
    sampling: dict[str, Any] = {"greedy": True} if greedy else {"temperature": 0.7}
    assay = TextAssay(name="t", prompt="The life cycle", seed=1, max_length=24, **sampling)
    design = Design(kinds=("v",), layers=(0,), sample=1, mutations=("max",))
    screen = Screen(llama, assay, design, tile=4, measure=True)
    screen.run(tmp_path / "s", quiet=True)
    row = screen.records().row(0, named=True)
    mutant = Mutant(*(row[name] for name in MUTANT_KEY))
    session = screen.reference.prepare(screen.resolved.prompts, screen.resolved.readout)
    terms = session.terms(mutant)
    wild = screen.results.manifest.wild_type[0]
    assert len(terms) == len(wild.tokens)
    whole = min(terms) if greedy else prod(terms)
    assert np.float32(whole) == row["margin" if greedy else "silence"]
    shown = cli("show", tmp_path / "s", mutant, "--terms").out
    assert f"{min(terms):.3g}" in shown
    assert f"{'smallest' if greedy else f'all {len(terms)} tokens:'} {whole:.3g}" in shown
    assert wild.margins
    assert f"{wild.margins[terms.index(min(terms))]:.3g}" in shown


def test_terms_are_of_sampled_or_greedy_texts(cli, llama, tmp_path):
    assay = TextAssay(name="t", prompt="The life cycle", max_new_tokens=4)
    design = Design(kinds=("v",), layers=(0,), sample=1, mutations=("max",))
    screen = Screen(llama, assay, design, tile=4, numerics="stock")
    screen.run(tmp_path / "s", quiet=True)
    mutant = Mutant(*screen.records().select(MUTANT_KEY).row(0))
    shown = cli("show", tmp_path / "s", mutant, "--terms")
    assert shown.code == 2
    assert "leave out --terms" in shown.err


@pytest.mark.parametrize("type", ["text", "choice"])
def test_a_mutant_that_was_not_run_is_run_when_it_is_checked(cli, tmp_path, type):
    """What is told of it is what a screen that has run it tells."""
    model = choice_model(tmp_path / "m")
    with (tmp_path / "q.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["question", *"ABCD", "answer"], *question_rows(12)])
    assay = {
        "text": TextAssay(name="t", prompt="The life cycle", seed=1, max_new_tokens=6),
        "choice": ChoiceAssay(name="q", questions=str(tmp_path / "q.csv"), shots=1, right=0, wrong=2),
    }[type]
    for name, rows in (("all", None), ("some", (0,))):
        design = Design(kinds=("v",), layers=(0,), rows=rows, cols=(0,), mutations=("max",))
        Screen(str(model), assay, design, tile=8).run(tmp_path / name, quiet=True)
    last = ScreenData(tmp_path / "all").records().row(-1, named=True)
    mutant = Mutant(*(last[name] for name in MUTANT_KEY))
    assert cli("show", tmp_path / "some", mutant).code == 2
    run = cli("show", tmp_path / "some", mutant, "--check")
    assert run.code == 0, run.err
    assert run.out.startswith(cli("show", tmp_path / "all", mutant).out)
    assert "has no record of it" in run.out
    refused = cli("show", tmp_path / "some", "0.v:99,0:max", "--check")
    assert refused.code == 2
