"""Predicted changes of margins against real mutants of small random models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from builders import tiny_model
from mutascope.assays import TextAssay
from mutascope.core.design import Design
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Tiling
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import load_model
from mutascope.predict import predictor as predicting
from mutascope.predict.calls import make_calls
from mutascope.predict.fills import Fill
from mutascope.predict.predictor import Predictor

FAMILIES = [("llama", {}), ("mistral", {"sliding_window": 7}), ("qwen2", {}), ("qwen3", {})]
SAMPLED: dict[str, Any] = {"prompt": "hello", "max_length": 20, "temperature": 0.7, "top_k": 30}


def predictor(
    tmp_path, family="llama", tile=8, mutations=("max", "min", "zero"), rivals=1, site_rows=None, **changes
):
    fields = {**SAMPLED, **changes.pop("assay", {})}
    dtype, std = changes.pop("dtype", "float32"), changes.pop("std", 0.2)
    model = load_model(str(tiny_model(tmp_path / family, family, std=std, **changes)), dtype=dtype)
    assay = TextAssay(name="test", **fields).resolve(model)
    return Predictor(
        model, Tiling(tile), assay.prompts, assay.readout, mutations, rivals, site_rows=site_rows
    )


def margins(given: Predictor) -> Tensor:
    """What the targets' margins are along the wild type's tokens, but for constants."""
    fed = torch.tensor([given.layout.tokens])
    with torch.no_grad():
        hidden = given.model.network.base_model(fed).last_hidden_state[0].double()
    return (hidden[given.targets.directions.places] * given.targets.directions.seeds.double()).sum(-1)


def corners(tiling: Tiling, locus) -> list[tuple[int, int]]:
    rows, cols = tiling.grid(locus)
    return [(0, 0), (rows - 1, cols - 1), (rows // 2, cols // 3)]


OTHERS = ["phi", "opt", "bloom", "falcon"]


@pytest.mark.parametrize(
    "family, changes, tile",
    [(*family, tile) for family in FAMILIES for tile in (5, 16)] + [(name, {}, 7) for name in OTHERS],
)
def test_small_changes_are_those_of_real_mutants(tmp_path, monkeypatch, family, changes, tile):
    given = predictor(tmp_path, family, tile, rivals=2, dtype="float64", **changes)
    step = 2e-5 if family == "opt" else 1e-3  # its ReLU has kinks
    fills = [Fill(1, step), Fill(1 - step, 0), Fill(1, -step), Fill(1 + step, 0)]
    monkeypatch.setattr(predicting, "fills_of", lambda *_: fills)
    for locus, changed in given.moved():
        parameter = given.model.network.get_parameter(locus.parameter).detach()
        matrix = parameter.T if locus.transposed else parameter
        for row, col in corners(given.tiling, locus):
            top, bottom, left, right = given.tiling.bounds(locus, row, col)
            rows = locus.features(top, bottom)
            wild = matrix[rows, left:right].clone()
            for index, (up, down) in enumerate(
                ((wild + step, wild - step), (wild * (1 - step), wild * (1 + step)))
            ):
                ends = []
                for values in (up, down):
                    matrix[rows, left:right] = values
                    ends.append(margins(given))
                matrix[rows, left:right] = wild
                truth = (ends[0] - ends[1]) / 2
                predicted = (changed[index, row, :, col] - changed[index + 2, row, :, col]) / 2
                assert (predicted - truth).abs().max() < 0.03 * truth.abs().max() + 1e-3 * step, locus.name


def local_truth(given: Predictor, kind: str, locus, row: int, col: int, value: float) -> Tensor:
    """Change of the margins: the block's own response run through the model, the rest by autograd at the wild type."""
    network: Any = given.model.network
    attention = kind in ("q", "k")
    block = network.model.layers[locus.layer]
    module = block.self_attn.o_proj if attention else block.mlp.down_proj
    seen: list[Tensor] = []

    def keep(_module, arguments):
        seen.append(arguments[0])

    handle = module.register_forward_pre_hook(keep)
    fed = torch.tensor([given.layout.tokens])
    embedded = network.model.embed_tokens(fed).detach().requires_grad_()
    hidden = network.model(inputs_embeds=embedded).last_hidden_state[0]
    scores = (hidden[given.targets.directions.places] * given.targets.directions.seeds).sum(-1)
    gradients = torch.stack(
        [torch.autograd.grad(score, seen[0], retain_graph=True)[0][0] for score in scores]
    )
    matrix = given.mutagen.matrix(locus)
    top, bottom, left, right = given.tiling.bounds(locus, row, col)
    wild = matrix[top:bottom, left:right].clone()
    with torch.no_grad():
        matrix[top:bottom, left:right] = value
        network.model(fed)
        matrix[top:bottom, left:right] = wild
    handle.remove()
    return (gradients * (seen[1] - seen[0])[0].detach()).sum((1, 2))


@pytest.mark.parametrize("family, changes", FAMILIES)
def test_the_own_response_of_gate_q_and_k_is_exact(tmp_path, family, changes):
    given = predictor(tmp_path, family, 5, **changes)
    for locus, changed in given.moved(["1.gate", "1.q", "1.k"]):
        matrix = given.mutagen.matrix(locus)
        for row, col in corners(given.tiling, locus):
            for index, value in enumerate((float(matrix.max()), float(matrix.min()), 0.0)):
                truth = local_truth(given, locus.kind, locus, row, col, value)
                error = (changed[index, row, :, col] - truth).abs().max()
                assert error < 1e-3 * truth.abs().max() + 1e-5, locus.name


def test_attention_that_a_mutant_turns_round_is_no_overflow(tmp_path):
    given = predictor(tmp_path, tile=16, std=1.0)
    for locus, changed in given.moved(["0.q", "0.k", "1.q"]):
        assert changed.isfinite().all(), locus.name
        matrix = given.mutagen.matrix(locus)
        for row, col in corners(given.tiling, locus):
            truth = local_truth(given, locus.kind, locus, row, col, float(matrix.max()))
            error = (changed[0, row, :, col] - truth).abs().max()
            assert error < 2e-3 * truth.abs().max() + 1e-4, locus.name


@pytest.mark.parametrize("sampling", [{"top_p": 0.8}, {"top_p": 0.95}])
def test_top_p_does_not_make_silent_mutants_look_like_nsms(tmp_path, sampling):
    given = predictor(tmp_path, "qwen3", assay={"top_k": 0, **sampling}, std=0.1)
    predicted = {locus.name: calls.margin < 0 for locus, calls in given.calls()}
    mutants = (
        Design(mutations=given.mutations, layers=(1, 2), sample=80)
        .plan(given.model.genome, given.tiling)
        .mutants()
    )
    engine = FastEngine(given.model, given.tiling)
    silent, called = [], []
    for outcome in engine.prepare(given.prompts, given.readout).run(mutants):
        m = outcome.mutant
        silent.append(outcome.outputs[0].tokens == given.wild[0].tokens)
        called.append(bool(predicted[m.locus_name][given.mutations.index(m.mutation), m.row, m.col]))
    false = [call for call, quiet in zip(called, silent, strict=True) if quiet]
    assert len(false) > 15
    assert sum(false) / len(false) < 0.15


@pytest.mark.parametrize(
    "assay",
    [
        {},
        {"top_k": 5},
        {"top_k": 0, "top_p": 0.6},
        {"top_k": 0, "min_p": 0.05},
        {"greedy": True, "temperature": None, "top_k": None},
    ],
)
def test_the_wild_types_margins_are_the_samplers(tmp_path, assay):
    given = predictor(tmp_path, assay=assay, rivals=3)
    wild, logits = ReferenceEngine(given.model, given.tiling).wild_type_logits(
        given.prompts[0], given.readout
    )
    steps = torch.arange(len(wild.tokens))
    assert sorted(set(given.targets.steps.tolist())) == steps.tolist()
    assert (given.targets.margins >= 0).all()
    picks = given.sampler.threats(logits, steps).amin(-1)
    smallest = torch.stack([given.targets.margins[given.targets.steps == step].min() for step in steps])
    assert (smallest >= picks - 1e-5).all()


@pytest.mark.parametrize("family", ["qwen3", "phi"])
def test_chosen_rows_of_sites_are_those_of_all(tmp_path, family):
    whole = predictor(tmp_path, family, tile=5)
    counts = {locus.name: whole.tiling.grid(locus)[0] for locus in whole.model.genome}
    where = {name: sorted({0, count // 2, count - 1}) for name, count in counts.items()}
    some = predictor(tmp_path, family, tile=5, site_rows=where)
    for (locus, expected), (same, found) in zip(whole.moved(), some.moved(), strict=True):
        assert locus == same
        assert torch.allclose(found, expected[:, where[locus.name]], rtol=1e-4, atol=1e-5), locus.name


def test_calls_are_those_of_the_margins(tmp_path):
    given = predictor(tmp_path)
    for locus, changed in given.changes(["2.v"]):
        expected = changed + given.targets.margins[:, None]
        calls = make_calls(changed.clone(), given.targets)
        assert torch.equal(calls.margin, expected.amin(2))
        assert torch.equal(calls.first_divergence >= 0, calls.margin < 0)
        frame = calls.frame(locus, given.mutations)
        row = frame.filter(row=1, col=2, mutation="zero").row(0, named=True)
        assert row["margin"] == pytest.approx(float(calls.margin[2, 1, 2]))
        assert (row["first_divergence"] is None) == (row["margin"] >= 0)
        assert np.all(np.diff(frame["row"].to_numpy()) >= 0)


def test_a_small_mutant_has_no_risk_and_a_hopeless_one_has_much(tmp_path):
    given = predictor(tmp_path, mutations=("noop", "max"))
    for _, calls in given.calls(["0.down"]):
        assert calls.risk[0].max() < 1e-6
        assert calls.risk[1].min() > 0
        assert calls.risk[1][calls.margin[1] < 0].min() > 0.5


def test_bfloat16_weights_give_nearly_the_same(tmp_path):
    given = predictor(tmp_path)
    folder = str(tmp_path / "llama")
    assay = TextAssay(name="test", **{**SAMPLED, "greedy": True, "temperature": None, "top_k": None})
    found = []
    for dtype in ("float32", "bfloat16"):
        model = load_model(folder, dtype=dtype)
        resolved = assay.resolve(model)
        half = Predictor(model, Tiling(8), resolved.prompts, resolved.readout, ("zero",))
        found.append((half.wild[0].tokens, dict(half.calls(["2.down"]))))
    (tokens, exact), (others, rounded) = found
    if tokens == others:
        (a,), (b,) = exact.values(), rounded.values()
        assert torch.corrcoef(torch.stack([a.margin.flatten(), b.margin.flatten()]))[0, 1] > 0.9
    assert given.mutations == ("max", "min", "zero")


def test_what_cannot_be_predicted_is_said(tmp_path):
    with pytest.raises(MutascopeError, match="random cannot be predicted"):
        predictor(tmp_path, mutations=("max", "random"))
