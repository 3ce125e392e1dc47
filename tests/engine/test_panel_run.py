"""The fast engine on several prompts at once: the reference engine's texts, whatever their lengths."""

from __future__ import annotations

import pytest

from builders import tiny_model
from mutascope import Design, Tiling, load_model
from mutascope.assays import PanelAssay
from mutascope.engine import panel_run
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine

LINES = ("The life cycle", "ab", "xyz q", "Once", "ab", "A longer prompt than the others", "ba")


def panel(folder, lines=LINES, **fields):
    path = folder / "prompts.txt"
    path.write_text("\n".join(dict.fromkeys(lines)))
    return PanelAssay(
        name="p", prompts=str(path), **{"max_length": 44, "temperature": 0.8, "seed": 3, **fields}
    )


def compare(model, assay, design, *slots, tile=8):
    """Run both engines, the fast one with each size of batch; compare every output, and return its last outcomes."""
    tiling, resolved = Tiling(tile), assay.resolve(model)
    mutants = design.plan(model.genome, tiling).mutants()
    asked = (resolved.prompts, resolved.readout)
    reference = ReferenceEngine(model, tiling).prepare(*asked)
    truth, found = list(reference.run(mutants)), []
    for some in slots:
        fast = FastEngine(model, tiling, some).prepare(*asked)
        assert fast.wild_type == reference.wild_type
        found = list(fast.run(mutants))
        assert [outcome.mutant for outcome in found] == mutants
        assert [o.outputs for o in found] == [o.outputs for o in truth]
    return found, reference.wild_type


def test_prompts_of_many_lengths(llama, tmp_path):
    design = Design(sample=9, mutations=("max", "zero", "noop"))
    found, wild = compare(llama, panel(tmp_path), design, 2, 5, 64)
    assert len({len(output.tokens) for output in wild}) > 1
    assert all(o.outputs == wild for o in found if o.mutant.mutation == "noop")
    assert sum(o.outputs != wild for o in found) > 5


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3"])
def test_other_architectures(family, tmp_path):
    changes = {"sliding_window": 12} if family == "mistral" else {}
    model = load_model(str(tiny_model(tmp_path / family, family, **changes)))
    compare(model, panel(tmp_path), Design(sample=5), 8)


@pytest.mark.parametrize("fields", [{"greedy": True, "temperature": None}, {"top_p": 0.8}, {"top_k": 0}])
def test_other_sampling(llama, tmp_path, fields):
    compare(llama, panel(tmp_path, **fields), Design(sample=4), 16)


def test_more_mutants_than_are_run_together(llama, tmp_path, monkeypatch):
    monkeypatch.setattr(panel_run, "_MUTANTS", 3)
    monkeypatch.setattr(panel_run, "_VERIFY_ROWS", 2)
    compare(llama, panel(tmp_path, LINES[:4]), Design(sample=4), 6)


def test_a_text_that_ends_early(llama, tmp_path, monkeypatch):
    assay = panel(tmp_path, LINES[:4])
    resolved = assay.resolve(llama)
    wild = ReferenceEngine(llama, Tiling(8)).prepare(resolved.prompts, resolved.readout).wild_type
    common = wild[0].tokens[4]
    monkeypatch.setattr(llama.network.generation_config, "eos_token_id", common)
    _, ended = compare(llama, assay, Design(sample=6), 8)
    assert ended[0].tokens[-1] == common
    assert len(ended[0].tokens) <= 5


@pytest.mark.slow
def test_the_real_model(smollm2, tmp_path):
    lines = ("The life cycle of Drosophila:", "Write a poem about hands.", "How is bread made?")
    assay = panel(tmp_path, lines, max_length=40, temperature=0.7, seed=0)
    compare(smollm2, assay, Design(sample=7, mutations=("max",)), 8)
