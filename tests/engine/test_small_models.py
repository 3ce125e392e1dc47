"""Many loud mutants of a small model, each of which writes a text of its own: the fast engine is the faster one."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from builders import tiny_model
from mutascope import Design, Tiling, load_model
from mutascope.assays import TextAssay
from mutascope.engine.fast import FastEngine
from mutascope.model.loading import Model

SHAPE: dict[str, Any] = {
    **{"hidden_size": 64, "intermediate_size": 160, "head_dim": 16, "num_hidden_layers": 5},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    """Every second token has the logits of the one before it."""
    model = load_model(str(tiny_model(tmp_path_factory.mktemp("small") / "model", "llama", 4, **SHAPE)))
    head = model.network.get_parameter("lm_head.weight").detach()
    head[1::2] = head[::2]
    return model


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("sampling", [{"greedy": True}, {"temperature": 0.9}])
def test_a_thousand_mutants(model, sampling):
    engine, tiling = FastEngine(model, Tiling(8)), Tiling(8)
    assay = TextAssay(name="t", prompt="The life", seed=3, max_new_tokens=40, **sampling).resolve(model)
    session, reference = (each.prepare(assay.prompts, assay.readout) for each in (engine, engine.reference))
    mutants = Design(sample=500).plan(model.genome, tiling).mutants()
    start = time.perf_counter()
    found = {o.mutant: o.outputs for o in session.run(mutants)}
    fast = (time.perf_counter() - start) / len(mutants)
    assert len(found) == 1000
    some = mutants[::100]
    start = time.perf_counter()
    truth = {o.mutant: o.outputs for o in reference.run(some)}
    slow = (time.perf_counter() - start) / len(some)
    assert truth == {mutant: found[mutant] for mutant in some}
    assert 5 * fast < slow
    assert len({output.tokens for (output,) in found.values()}) > 900
