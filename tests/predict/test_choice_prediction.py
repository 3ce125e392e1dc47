"""Predictions for questions that share a beginning, against real mutants of small random models."""

from __future__ import annotations

import csv

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from builders import choice_model, question_rows, tiny_model
from counting import Count
from mutascope import Design, Prediction, Tiling, load_model
from mutascope.assays import ChoiceAssay
from mutascope.core.protocol import NextToken, Prompt
from mutascope.core.schema import MUTANT_KEY
from mutascope.engine.reference import ReferenceEngine
from mutascope.predict import predictor as predicting
from mutascope.predict.fills import Fill
from mutascope.predict.layout import Layout, Reach
from mutascope.predict.predictor import Predictor

STEP = 5e-3
TEXTS = [(5, 9, 4, 17, 3), (5, 9, 4, 30, 31, 8, 2), (5, 9, 4, 40), (5, 9, 4, 17, 11)]
LETTERS = {"A": (1, 2), "B": (3,), "C": (4,)}


def asked(
    model, texts=TEXTS, tile=8, mutations=("max", "min", "zero"), rivals=None, letters=LETTERS
) -> Predictor:
    """Predict the next token of texts of tokens."""
    arguments = {"do_sample": False, "max_new_tokens": 1}
    readout = NextToken(0, arguments, {**arguments, "top_k": 0}, letters)
    prompts = [Prompt("", tuple(text)) for text in texts]
    return Predictor(model, Tiling(tile), prompts, readout, mutations, rivals)


def margins(given: Predictor) -> Tensor:
    """What the targets' margins are, each in its own text, but for constants."""
    found = []
    owners, places = given.layout.owners(), given.layout.places()
    for position, seed in zip(given.targets.places, given.targets.seeds, strict=True):
        text = given.prompts[int(owners[position])].tokens
        assert int(places[position]) == len(text) - 1
        with torch.no_grad():
            hidden = given.model.network.model(torch.tensor([text])).last_hidden_state[0, -1]
        found.append((hidden.double() * seed.double()).sum())
    return torch.stack(found)


@pytest.mark.parametrize("scores", [0, 40, 2**17], ids=["first order", "some queries", "all queries"])
@pytest.mark.parametrize(
    "family, changes", [("mistral", {"sliding_window": 4}), ("qwen2", {}), ("qwen3", {})]
)
def test_small_changes_are_those_of_real_mutants(tmp_path, monkeypatch, family, changes, scores):
    folder = tiny_model(tmp_path / family, family, std=0.2, **changes)
    given = asked(load_model(str(folder), dtype="float64"), tile=5)
    fills = [Fill(1, STEP), Fill(1, -STEP)]
    monkeypatch.setattr(predicting, "fills_of", lambda *_: fills)
    monkeypatch.setattr(predicting, "_SCORES", scores)
    for locus, changed in given.changes():
        matrix = given.mutagen.matrix(locus)
        rows, cols = given.tiling.grid(locus)
        for row, col in ((0, 0), (rows - 1, cols - 1), (rows // 2, cols // 3)):
            top, bottom, left, right = given.tiling.bounds(locus, row, col)
            wild = matrix[top:bottom, left:right].clone()
            ends = []
            for step in (STEP, -STEP):
                matrix[top:bottom, left:right] = wild + step
                ends.append(margins(given))
            matrix[top:bottom, left:right] = wild
            truth = (ends[0] - ends[1]) / 2
            predicted = (changed[0, row, :, col] - changed[1, row, :, col]) / 2
            assert (predicted - truth).abs().max() < 0.03 * truth.abs().max() + 1e-6, locus.name


@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_questions_change_as_each_does_alone(tmp_path, family):
    model = load_model(str(tiny_model(tmp_path / family, family, std=0.2)))
    together = asked(model, rivals=1)
    alone = [asked(model, [text], rivals=1) for text in TEXTS]
    each = [dict(one.changes(["1.q", "1.k", "0.gate", "2.v"])) for one in alone]
    assert len(together.targets) == len(TEXTS)
    for locus, changed in together.changes(["1.q", "1.k", "0.gate", "2.v"]):
        expected = torch.cat([one[locus] for one in each], dim=2)
        assert torch.allclose(changed, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_a_token_that_reads_as_the_same_letter_is_no_threat(tmp_path):
    model = load_model(str(tiny_model(tmp_path / "llama", "llama", std=0.2)))
    answer = asked(model).wild[0].tokens[0]
    twin = answer + 1
    with torch.no_grad():
        model.network.lm_head.weight[twin] = 0.999 * model.network.lm_head.weight[answer]
    given = asked(model, rivals=8, letters={"A": (answer, twin)})
    answers = [output.tokens[0] for output in given.wild]
    assert answers[0] == answer
    logits = [
        ReferenceEngine(model, given.tiling).wild_type_logits(p, given.readout)[1][0] for p in given.prompts
    ]
    for text, (answer, row) in enumerate(zip(answers, logits, strict=True)):
        same = {answers[0]: [answers[0], twin]}.get(answer, [answer])
        others = row.clone()
        others[same] = -torch.inf
        own = given.layout.owners()[given.targets.places] == text
        assert float(given.targets.margins[own].min()) == pytest.approx(
            float(row[answer] - others.max()), rel=1e-4
        )


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=4), st.integers(1, 4)
)
def test_a_position_sees_its_own_text_up_to_itself(texts, size):
    layout = Layout.of([tuple(text) for text in texts])
    seen, places = layout.seen(3), layout.places()
    ends = [layout.position(text, len(tokens) - 1) for text, tokens in enumerate(texts)]
    for end, tokens in zip(ends, texts, strict=True):
        visible = layout.seen(100)[end].nonzero()[:, 0]
        assert [layout.tokens[position] for position in visible] == tokens
        assert places[visible].tolist() == list(range(len(tokens)))
        assert seen[end].nonzero()[:, 0].tolist() == visible[-3:].tolist()
    reach = Reach(layout, ends)
    covered = torch.zeros(len(layout), len(ends), dtype=torch.bool)
    everywhere = torch.arange(len(layout))
    for at, keys, some in reach.chunks(everywhere, size):
        assert not covered[at].any()
        covered[everywhere[at], some.start : some.stop] = True
        assert len(everywhere[at]) <= size
        assert not seen[at].clone().index_fill_(1, everywhere[keys], False).any()
    assert (covered >= layout.seen(100)[ends].T).all()
    blocks = list(reach.blocks(2))
    assert [index for some, _ in blocks for index in range(len(ends))[some]] == list(range(len(ends)))
    for some, positions in blocks:
        assert (layout.seen(100)[ends[some.start : some.stop]].sum(0)[positions] > 0).all()


def test_finding_who_sees_what_takes_as_long_for_many_targets():
    """Numbers are compared in Python; tensors one by one took most of a prediction's time."""

    def operations(targets: int) -> int:
        reach = Reach(Layout.of([tuple(range(400))]), range(400 - targets, 400))
        with Count() as count:
            list(reach.chunks(torch.arange(400), 100))
        return sum(count.found.values())

    assert operations(300) == operations(3)


def test_a_prediction_of_a_choice_assay(tmp_path):
    path = tmp_path / "q.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["question", *"ABCD", "answer"], *question_rows(40)])
    assay = ChoiceAssay(name="quiz", questions=str(path), shots=2, right=2, wrong=3)
    folder = str(choice_model(tmp_path / "model"))
    design = Design(layers=(1,), mutations=("max", "zero", "noop"))
    results = Prediction(folder, assay, design, tile=16, sample=40).run(tmp_path / "out", quiet=True)
    again = Prediction(folder, assay, design, tile=16, sample=40).run(tmp_path / "out", quiet=True)
    assert again.records().equals(results.records())
    predicted = results.predictions()
    assert predicted["probability"].null_count() == 0
    assert (predicted.filter(mutation="noop")["margin"] > 0).all()
    both = results.records().join(predicted, on=[*MUTANT_KEY])
    right = both.select((pl.col("silent") == (pl.col("margin") >= 0)).mean()).item()
    assert len(both) == 120
    assert 0.1 < both["silent"].to_numpy().mean() < 0.9
    assert right > 0.85
