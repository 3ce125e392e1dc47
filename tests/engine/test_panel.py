"""The fast engine on several prompts at once: the reference engine's texts, whatever their lengths."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest

from builders import tiny_model
from mutascope import Design, Tiling, load_model
from mutascope.assays import PanelAssay
from mutascope.engine import session
from mutascope.engine.activation_cache import ActivationCache
from mutascope.engine.fast import FastEngine
from mutascope.engine.measures import MEASURES, Continuation
from mutascope.engine.prefix_tree import PrefixTree
from mutascope.engine.reference import ReferenceEngine
from mutascope.numerics import cpu

LINES = ("The life cycle", "ab", "Once", "ab", "A longer prompt than the others")


def panel(folder, lines=LINES, **fields):
    path = folder / "prompts.txt"
    path.write_text("\n".join(dict.fromkeys(lines)))
    return PanelAssay(
        name="p", prompts=str(path), **{"max_length": 40, "temperature": 0.8, "seed": 3, **fields}
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
        found.sort(key=lambda outcome: mutants.index(outcome.mutant))
        assert [outcome.mutant for outcome in found] == mutants
        assert [o.outputs for o in found] == [o.outputs for o in truth]
    return found, reference.wild_type


def test_prompts_of_many_lengths(llama, tmp_path):
    design = Design(sample=6, mutations=("max", "zero", "noop"))
    found, wild = compare(llama, panel(tmp_path), design, 2, 5, 64)
    assert len({len(output.tokens) for output in wild}) > 1
    assert all(o.outputs == wild for o in found if o.mutant.mutation == "noop")
    assert sum(o.outputs != wild for o in found) > 5


_FAMILIES = ("mistral", "gpt2", "gemma3")  # windows, learned positions, both sorts of layers
_SLOW = (pytest.param(family, marks=pytest.mark.slow) for family in ("qwen2", "qwen3", "gpt_neox"))


@pytest.mark.parametrize("family", [*_FAMILIES, *_SLOW])
def test_other_architectures(family, tmp_path):
    changes: dict[str, Any] = {"sliding_window": 12} if family == "mistral" else {}
    model = load_model(str(tiny_model(tmp_path / family, family, **changes)))
    compare(model, panel(tmp_path), Design(sample=3), 4)


@pytest.mark.parametrize("fields", [{"greedy": True, "temperature": None}, {"top_p": 0.8}, {"top_k": 0}])
def test_other_sampling(llama, tmp_path, fields):
    compare(llama, panel(tmp_path, **fields), Design(sample=3), 4)


def test_more_mutants_than_are_run_together(llama, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "_PANEL_COHORT", 3)
    monkeypatch.setattr(cpu, "SIZES", cpu.SIZES._replace(verified=2))
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


def test_mutants_follow_texts_of_their_prompt(llama, tmp_path, monkeypatch):
    followed, follow = set(), PrefixTree.follow

    def noted(tree, rows):
        chosen = follow(tree, rows)
        followed.update(row.asked.index for row in chosen)
        return chosen

    monkeypatch.setattr(PrefixTree, "follow", noted)
    resolved, tiling = panel(tmp_path, LINES[:3]).resolve(llama), Tiling(5)
    mutants = Design(layers=(1, 2), kinds=("o", "down"), sample=120).plan(llama.genome, tiling).mutants()
    fast, reference = (
        engine.prepare(resolved.prompts, resolved.readout)
        for engine in (FastEngine(llama, tiling, 120), ReferenceEngine(llama, tiling))
    )
    found = {outcome.mutant: outcome.outputs for outcome in fast.run(mutants)}
    assert len(followed) > 1
    assert all(outcome.outputs == found[outcome.mutant] for outcome in reference.run(mutants[::20]))


@pytest.mark.parametrize("max_batch", [3, 64])
def test_measures_are_those_of_the_reference_engine(llama, tmp_path, max_batch):
    tiling, resolved = Tiling(8), panel(tmp_path).resolve(llama)
    asked = (resolved.prompts, replace(resolved.readout, measure=True))
    mutants = Design(sample=2, mutations=("max", "zero", "noop")).plan(llama.genome, tiling).mutants()
    fast, reference = FastEngine(llama, tiling, max_batch), ReferenceEngine(llama, tiling)
    found, truth = (
        {outcome.mutant: outcome.outputs for outcome in engine.prepare(*asked).run(mutants)}
        for engine in (fast, reference)
    )
    assert found == truth
    assert all(set(output.values) == set(MEASURES) for outputs in found.values() for output in outputs)


def test_the_reference_engine_keeps_one_continuation(llama, tmp_path):
    """Those of 151 prompts take 4 GB: a row of logits for every token."""
    resolved = panel(tmp_path, LINES[:3]).resolve(llama)
    asked = (resolved.prompts, replace(resolved.readout, measure=True))
    mutants = Design(sample=1).plan(llama.genome, Tiling(8)).mutants()
    for _ in ReferenceEngine(llama, Tiling(8)).prepare(*asked).run(mutants):
        assert sum(type(each) is Continuation for each in gc.get_objects()) == 1


def test_activations_are_not_kept(llama, tmp_path):
    """Those of 151 prompts would not fit into memory."""
    resolved = panel(tmp_path).resolve(llama)
    mutants = Design(sample=9).plan(llama.genome, Tiling(8)).mutants()
    session = FastEngine(llama, Tiling(8), 12).prepare(resolved.prompts, resolved.readout)
    most, alive = 0, []
    for _ in session.run(mutants):
        alive = [each for each in gc.get_objects() if type(each) is ActivationCache]
        most = max(most, sum(bool(each._inputs) for each in alive))
    del alive
    gc.collect()
    assert most <= 3
    assert not any(type(each) is ActivationCache for each in gc.get_objects())


@pytest.mark.slow
def test_the_real_model(smollm2, tmp_path):
    lines = ("The life cycle of Drosophila:", "Write a poem about hands.", "How is bread made?")
    assay = panel(tmp_path, lines, max_length=40, temperature=0.7, seed=0)
    compare(smollm2, assay, Design(sample=7, mutations=("max",)), 8)
