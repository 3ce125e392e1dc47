"""Mutants that overwrite a weight many orders of magnitude larger than the rest of its matrix."""

from __future__ import annotations

import json

import pytest
import torch

from builders import tiny_model
from mutascope import Design, Tiling, load_model
from mutascope.assays import ChoiceAssay, PanelAssay, TextAssay
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine


@pytest.fixture(scope="module")
def assays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assays")
    lines = [
        json.dumps({"question": f"q {i}?", "choices": ["one", "two", "three"], "answer": i % 3})
        for i in range(6)
    ]
    (folder / "q.jsonl").write_text("\n".join(lines))
    (folder / "p.txt").write_text("ab cd\nhello there\nQ\n")
    return {
        "text": TextAssay(name="text", prompt="hello", max_length=30, temperature=0.7),
        "choice": ChoiceAssay(name="choice", questions=str(folder / "q.jsonl"), shots=1, right=0, wrong=3),
        "panel": PanelAssay(name="panel", prompts=str(folder / "p.txt"), max_length=30, temperature=0.7),
    }


@pytest.mark.parametrize("what", ["text", "choice", "panel"])
@pytest.mark.parametrize("scale", [1e6, 1e9, 1e18])
def test_they_are_left_to_the_reference_engine(tmp_path, assays, what, scale):
    for seed, (family, name) in enumerate([("llama", "1.mlp.down_proj"), ("qwen3", "0.self_attn.v_proj")]):
        folder = tiny_model(tmp_path / family, family, seed + 5, max_position_embeddings=2048)
        model = load_model(str(folder))
        with torch.no_grad():
            model.network.get_parameter(f"model.layers.{name}.weight")[0, 0] = scale
        design = Design(
            layers=(int(name[0]),),
            kinds=("down" if "down" in name else "v",),
            rows=(0,),
            cols=(0, 1),
            mutations=("max", "min", "zero"),
        )
        mutants = design.plan(model.genome, Tiling(16)).mutants()
        resolved = assays[what].resolve(model)
        fast, reference = FastEngine(model, Tiling(16)), ReferenceEngine(model, Tiling(16))
        if fast.refusal(resolved.prompts, resolved.readout) is not None:
            continue
        found = {outcome.mutant: outcome for outcome in fast.run(resolved.prompts, resolved.readout, mutants)}
        assert set(found) == set(mutants)
        for truth in reference.run(resolved.prompts, resolved.readout, mutants):
            mine = found[truth.mutant]
            said = [(output.tokens, output.finite) for output in truth.outputs]
            assert [(output.tokens, output.finite) for output in mine.outputs] == said, truth.mutant
            assert mine.replayed or truth.mutant.col == 1
