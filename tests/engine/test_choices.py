"""The fast engine on choice assays: the reference engine's answers, whatever the architecture and the batch."""

from __future__ import annotations

import csv
from typing import Any

import pytest
import torch

from builders import FAMILIES, ask_wild_type, choice_model, question_rows, tiny_model
from mutascope import Design, Screen, Tiling, load_model
from mutascope.assays import ChoiceAssay
from mutascope.core.protocol import Prompt
from mutascope.engine.activation_cache import common_beginning, runs_alike
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine

MUTATIONS = ("max", "min", "zero", "noop")


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    path = tmp_path_factory.mktemp("questions") / "q.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["question", *"ABCD", "answer"], *question_rows(40)])
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(choice_model(tmp_path_factory.mktemp("models") / "choice")))


def compare(model, assay, design, rows, tile=8):
    """Run both engines, compare every answer, and return the fast engine's outcomes."""
    resolved = assay.resolve(model, ask_wild_type(model))
    tiling = Tiling(tile)
    mutants = design.plan(model.genome, tiling).mutants()
    fast = FastEngine(model, tiling, rows).prepare(resolved.prompts, resolved.readout)
    reference = ReferenceEngine(model, tiling).prepare(resolved.prompts, resolved.readout)
    found = list(fast.run(mutants))
    found.sort(key=lambda outcome: mutants.index(outcome.mutant))
    assert [outcome.mutant for outcome in found] == mutants
    assert found == list(reference.run(mutants))  # probabilities included
    assert fast.wild_type == reference.wild_type
    return found, reference.wild_type


@pytest.mark.parametrize("rows", [1, 7])
def test_it_equals_the_reference_engine(model, questions, rows):
    assay = ChoiceAssay(name="quiz", questions=questions, shots=2, right=3, wrong=3)
    design = Design(mutations=MUTATIONS, sample=21, sample_seed=3)
    found, wild = compare(model, assay, design, rows)
    answers = {tuple(output.tokens for output in outcome.outputs) for outcome in found}
    assert len(answers) > 5
    for outcome in found:
        if outcome.mutant.mutation == "noop":
            assert [o.tokens for o in outcome.outputs] == [o.tokens for o in wild]


def test_sampled_answers(model, questions):
    assay = ChoiceAssay(
        *(),
        name="quiz",
        questions=questions,
        shots=1,
        right=0,
        wrong=5,
        greedy=False,
        temperature=1.5,
        seed=4,
        top_p=0.9,
    )
    compare(model, assay, Design(sample=10), 4)


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "gemma3"])
def test_other_architectures(family, questions, tmp_path):
    changes: dict[str, Any] = {"sliding_window": 40} if family == "mistral" else {}
    assert family in FAMILIES
    folder = tiny_model(tmp_path / family, family, max_position_embeddings=2048, **changes)
    assay = ChoiceAssay(name="quiz", questions=questions, shots=1, right=0, wrong=4)
    compare(load_model(str(folder)), assay, Design(sample=12, mutations=("max", "zero")), 5)


def test_non_finite_mutants(questions, tmp_path):
    model = load_model(str(tiny_model(tmp_path, "llama", 5, std=0.15, max_position_embeddings=2048)))
    with torch.no_grad():  # alone it is harmless, a tile of it overflows
        model.network.get_parameter("model.layers.1.mlp.down_proj.weight")[0, 0] = 1e38
    assay = ChoiceAssay(name="quiz", questions=questions, shots=1, right=0, wrong=3, greedy=False)
    design = Design(layers=(1,), kinds=("down",), rows=(0, 1), cols=(0, 1), mutations=("max", "zero"))
    found, _ = compare(model, assay, design, 3, tile=9)
    broken = [outcome for outcome in found if not all(output.finite for output in outcome.outputs)]
    assert 0 < len(broken) < len(found)


def test_questions_without_a_common_beginning(model, questions):
    assay = ChoiceAssay(name="quiz", questions=questions, shots=0, right=1, wrong=1)
    resolved = assay.resolve(model, ask_wild_type(model))
    prompts = tuple(Prompt(p.text[i:], p.tokens[1 + i :]) for i, p in enumerate(resolved.prompts))
    assert common_beginning([prompt.tokens for prompt in prompts]) == 0
    mutants = Design(sample=6).plan(model.genome, Tiling(8)).mutants()
    fast, reference = FastEngine(model, Tiling(8), 3), ReferenceEngine(model, Tiling(8))
    found, truth = (list(each.prepare(prompts, resolved.readout).run(mutants)) for each in (fast, reference))
    assert found == truth


@pytest.mark.parametrize(
    "texts, runs",
    [
        (["abcde1", "abcde2", "abcd3", "axyzw1", "axyzw2"], [3, 2]),  # the header alone is common
        (["abcde1", "abcde2", "axyz", "aklmn1", "aklmn2"], [2, 1, 2]),  # a subject with one question
        (["ab1", "ab2", "ac3", "a4"], [4]),
        (["1", "2", "3"], [3]),
        (["abc"], [1]),
    ],
)
def test_questions_of_a_subject_are_a_run(texts, runs):
    found = runs_alike(texts)
    assert [len(run) for run in found] == runs
    assert [index for run in found for index in run] == list(range(len(texts)))


def test_a_screen_of_both_engines_is_the_same(model, questions, tmp_path):
    assay = ChoiceAssay(name="quiz", questions=questions, shots=1, right=3, wrong=1)
    design = Design(sample=14)
    records = []
    for engine in ("fast", "reference"):
        screen = Screen(model, assay, design, tile=8, engine=engine, batch=4)
        screen.run(tmp_path / engine, quiet=True)
        records.append(screen.records())
    assert records[0].equals(records[1])
    assert screen.results.manifest.letters == list("ABCD")


@pytest.mark.slow
def test_the_real_model(smollm2):
    from mutascope import load_assay

    assay = load_assay("general21", right=2, wrong=1)
    compare(smollm2, assay, Design(sample=7, mutations=("max",)), None)
