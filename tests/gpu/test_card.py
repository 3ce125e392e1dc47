"""The contract on a card: every family in both dtypes, texts, panels, choices and predictions; skipped without one."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from builders import ask_wild_type, choice_model, known_families, question_rows, tiny_model
from mutascope import Design, Tiling, load_model
from mutascope.assays import ChoiceAssay, PanelAssay, Resolved, TextAssay
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import Model
from mutascope.numerics.install import STOCK
from mutascope.predict.predictor import Predictor
from strips import strips_of

cuda = pytest.importorskip("mutascope.numerics.cuda", reason="Triton is not installed")
maps, truth = (pytest.importorskip(f"mutascope.numerics.cuda.{name}") for name in ("maps", "truth"))
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no card")

CARDS = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cuda"]


def agree(model: Model, assay: Resolved, sample: int, batches: tuple[int | None, ...] = (None, 5)) -> None:
    """Both engines say the same of some mutants, whatever the batch, and not all of these are silent."""
    tiling = Tiling(8)
    plan = Design(sample=sample, mutations=("max", "zero", "noop"), sample_seed=4).plan(model.genome, tiling)
    mutants, reference = plan.mutants(), ReferenceEngine(model, tiling)
    assert reference.numerics != STOCK, reference.refused
    asked = (assay.prompts, assay.readout)
    truth = {outcome.mutant: outcome.outputs for outcome in reference.prepare(*asked).run(mutants)}
    for batch in batches:
        session = FastEngine(model, tiling, batch).prepare(*asked)
        assert {outcome.mutant: outcome.outputs for outcome in session.run(mutants)} == truth
        assert any(outputs != session.wild_type for outputs in truth.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", known_families())
def test_texts(family: str, dtype: str, tmp_path: Path) -> None:
    model = load_model(str(tiny_model(tmp_path / family, family)), dtype=dtype, device="cuda")
    assay = TextAssay(name="t", prompt="abc def", max_new_tokens=20, temperature=0.7)
    agree(model, assay.resolve(model), 6)


@pytest.mark.parametrize("fields", [{"greedy": True}, {"temperature": 1.0, "top_k": 0, "top_p": 0.8}])
def test_other_sampling_and_measures(fields: dict[str, Any], tmp_path: Path) -> None:
    model = load_model(str(tiny_model(tmp_path / "m", "llama")), device="cuda")
    assay = TextAssay(name="t", prompt="abc def", max_new_tokens=12, **fields)
    agree(model, assay.resolve(model, measure=True), 5)


@pytest.mark.parametrize("card", CARDS)
def test_panels(card: str, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a b c\nd e f g\nh i\nj k l m n\n")
    model = load_model(str(tiny_model(tmp_path / "m", "mistral", sliding_window=12)), device=card)
    assay = PanelAssay(name="p", prompts=str(tmp_path / "lines.txt"), max_length=30, temperature=0.8, seed=3)
    agree(model, assay.resolve(model), 5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_choices(dtype: str, tmp_path: Path) -> None:
    with (tmp_path / "q.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["question", *"ABCD", "answer"], *question_rows(30)])
    model = load_model(str(choice_model(tmp_path / "m")), dtype=dtype, device="cuda")
    assay = ChoiceAssay(name="quiz", questions=str(tmp_path / "q.csv"), shots=2, right=2, wrong=2)
    agree(model, assay.resolve(model, ask_wild_type(model)), 5, (None, 3))


@pytest.mark.parametrize(
    "family, dtype", [*((family, "float32") for family in known_families()), ("phi3", "bfloat16")]
)
def test_predictions_of_every_kind(family: str, dtype: str, tmp_path: Path) -> None:
    model = load_model(str(tiny_model(tmp_path / family, family)), dtype=dtype, device="cuda")
    assay = TextAssay(name="t", prompt="abc def", max_new_tokens=8, temperature=0.7).resolve(model)
    predictor = Predictor(model, Tiling(8), assay.prompts, assay.readout, ("max", "min"))
    kinds = set()
    for locus, changes in predictor.changes():
        kinds.add(locus.kind)
        assert changes.is_cuda
        assert changes.isfinite().all()
    assert kinds == {locus.kind for locus in model.genome.loci}


def test_a_mutant_too_many_is_run_again(tmp_path: Path) -> None:
    """Room for keys and values that the card does not have."""
    torch.cuda.set_per_process_memory_fraction(0.02)
    model = load_model(str(tiny_model(tmp_path / "m", "llama")), device="cuda")
    assay = TextAssay(name="t", prompt="abc def", max_new_tokens=8, temperature=0.7).resolve(model)
    session = FastEngine(model, Tiling(8), 10**9).prepare(assay.prompts, assay.readout)
    session.verified = 10**9
    mutants = Design(sample=2).plan(model.genome, Tiling(8)).mutants()
    assert len(list(session.run(mutants))) == len(mutants)
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert session.max_batch < 10**9


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_are_no_part_of_the_arithmetic(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = (torch.randn(*shape, device="cuda").to(dtype) for shape in ((300, 1100), (500, 1100)))
    known, found = truth.truth_of(dtype, torch.device("cuda")), []
    assert known is not None
    half, rows = dtype == torch.bfloat16, range(0, 300, 7)
    edited = weight.clone().index_fill_(1, torch.arange(64, 128, device="cuda"), 2.5)
    own = cuda.pack(edited[64:128])
    strips = strips_of(cuda, [(row, 64, own) for row in rows], "cuda")
    wanted = cuda.linear(x, cuda.pack(weight), half=half)
    wanted[list(rows), 64:128] = cuda.linear(x, cuda.pack(edited), half=half)[list(rows), 64:128]
    for blocks in {each for table in (truth._SINGLE, truth._HALF) for _, each in table}:
        other = replace(known, linear=((0, blocks),))
        monkeypatch.setattr(maps, "truth_of", lambda *_, other=other: other)
        found.append(cuda.linear(x, cuda.pack(weight), strips=strips, half=half))
    assert all(torch.equal(each, wanted) for each in found)
