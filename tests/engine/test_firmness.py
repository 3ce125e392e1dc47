"""How firm answers are: silence or margin of every question, the same by both engines, and what it says."""

from __future__ import annotations

import csv
from math import prod

import numpy as np
import polars as pl
import pytest

from builders import choice_model, question_rows
from mutascope import Design, Screen, load_model
from mutascope.assays import ChoiceAssay

DESIGN = Design(mutations=("max", "zero", "noop"), sample=6, sample_seed=3)


@pytest.fixture(scope="module", params=[True, False], ids=["greedy", "sampled"])
def screens(request, tmp_path_factory) -> dict[str, Screen]:
    """A measured screen by either engine, and one that is not measured."""
    root = tmp_path_factory.mktemp("firm")
    with (root / "q.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["question", *"ABCD", "answer"], *question_rows(40)])
    model = load_model(str(choice_model(root / "model")))
    sampling = {"greedy": True} if request.param else {"greedy": False, "temperature": 0.6, "top_k": 8}
    assay = ChoiceAssay.model_validate(
        {"name": "q", "questions": str(root / "q.csv"), "shots": 1, "right": 2, "wrong": 2, **sampling}
    )
    found = {}
    for name, engine, measure in (
        ("fast", "fast", True),
        ("reference", "reference", True),
        ("plain", "fast", False),
    ):
        found[name] = Screen(model, assay, DESIGN, tile=8, engine=engine, measure=measure)
        found[name].run(root / name, quiet=True)
    return found


def test_both_engines_measure_answers_alike_and_the_rest_is_as_without(screens):
    records = {name: screen.records() for name, screen in screens.items()}
    outputs = {name: screen.results.outputs() for name, screen in screens.items()}
    for tables in (records, outputs):
        assert tables["fast"].equals(tables["reference"])
        assert tables["fast"].drop("silence", "margin").equals(tables["plain"])


def test_firmness_says_which_answers_change(screens):
    screen = screens["fast"]
    greedy = screen.spec.assay.greedy
    known, other = ("margin", "silence") if greedy else ("silence", "margin")
    outputs, records = screen.results.outputs(), screen.records()
    assert outputs[other].is_null().all()
    wild = [output.phenotype for output in screen.results.manifest.wild_type]
    same = outputs["phenotype"] == outputs["prompt"].replace_strict(dict(enumerate(wild)))
    assert 0 < same.sum() < len(same)
    noops = (outputs["mutation"] == "noop").to_numpy()
    values = outputs[known].to_numpy()
    if greedy:
        assert (same.to_numpy() == (values > 0)).all()
    else:
        assert set(values[noops]) == {1.0}
        assert values[same.to_numpy()].min() > 0
        assert values[~same.to_numpy()].max() < 1
    several = len(screen.resolved.prompts)
    joined = [(min if greedy else prod)(part) for part in values.reshape(-1, several).tolist()]
    assert records[known].to_list() == [float(np.float32(value)) for value in joined]
    assert records.schema["silence"] == records.schema["margin"] == pl.Float32
