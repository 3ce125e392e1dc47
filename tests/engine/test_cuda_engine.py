"""The engines with a card's operations: ``generate`` with a weight edited, and many mutants at a time, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from builders import tiny_model
from cards import DEVICE, HAS_CARD
from mutascope.assays import TextAssay
from mutascope.core.genome import Mutant, Tiling
from mutascope.engine.fast import FastEngine
from mutascope.model.loading import Model, load_model
from mutascope.numerics import operations

TILE = 16
SITES = [
    (0, "q", 1, 2),
    (0, "up", 4, 0),
    (1, "v", 0, 1),
    (1, "gate", 2, 2),
    (1, "o", 0, 0),
    (1, "down", 2, 4),
]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Makes small models; without a card, their tensors on the CPU go through the Triton operations."""
    if not HAS_CARD:
        monkeypatch.setitem(operations.BY_DEVICE, "cpu", "mutascope.numerics.cuda")

    def make(family: str, dtype: str = "float32", **changes: Any) -> Model:
        folder = tiny_model(tmp_path / family, family, num_hidden_layers=2, **changes)
        return load_model(str(folder), dtype=dtype, device=str(DEVICE))

    with np.errstate(all="ignore"):  # the interpreter warns where a card does not
        yield make


def check(model: Model, mutations: tuple[str, ...], steps: int = 4, **sampling: Any) -> None:
    """Both engines agree on some mutants, of which not all are silent."""
    assay = TextAssay(name="t", prompt="abc", max_new_tokens=steps, **sampling)
    resolved, tiling = assay.resolve(model), Tiling(TILE)
    engine = FastEngine(model, tiling, 4)
    session = engine.prepare(resolved.prompts, resolved.readout)
    mutants = [Mutant(*site, mutation) for site in SITES for mutation in mutations]
    found = {outcome.mutant: outcome.outputs for outcome in session.run(mutants)}
    reference = engine.reference.prepare(resolved.prompts, resolved.readout)
    truth = {outcome.mutant: outcome.outputs for outcome in reference.run(mutants)}
    assert found == truth
    assert any(outputs != session.wild_type for outputs in truth.values())


def test_texts_are_those_of_generate(small):
    check(small("llama"), ("max", "noop"), temperature=0.7)


def test_greedy_texts_in_bfloat16_are_those_of_generate(small):
    check(small("qwen3", "bfloat16"), ("min",), steps=3, greedy=True)


def test_texts_of_a_window_that_forgets_are_those_of_generate(small):
    check(small("mistral", sliding_window=4), ("max",), steps=8, temperature=0.7)


def test_the_numerics_have_a_name(small):
    model = small("llama")
    name = FastEngine(model, Tiling(TILE)).reference.numerics
    place = "sm{}{}".format(*torch.cuda.get_device_capability()) if HAS_CARD else "interpreter"
    assert name in (f"tf32x3-{place}-2", f"f32-{place}-2")
