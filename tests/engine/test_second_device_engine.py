"""The fast engine where the weights do not lie on the CPU: its tensors lie beside them, and its texts are the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from builders import tiny_model
from elsewhere import Elsewhere, elsewhere, move, unwrap
from mutascope import Tiling, load_model
from mutascope.assays import PanelAssay, TextAssay
from mutascope.core.design import Design
from mutascope.engine.fast import FastEngine
from mutascope.engine.reference import ReferenceEngine
from mutascope.model.loading import Model
from mutascope.numerics import cpu, operations
from mutascope.numerics.sampling import UNKNOWN


def carried(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operation whose tensors must all lie elsewhere, by that of a CPU."""

    def run(*args: Any, **kwargs: Any) -> Any:
        def inner(each: Any) -> Any:
            assert not isinstance(each, Tensor) or isinstance(each, Elsewhere), function
            return unwrap(each)

        done = function(*tree_map(inner, args), **tree_map(inner, kwargs))
        return Elsewhere(done) if isinstance(done, Tensor) else done

    return run


@pytest.fixture
def second_device(monkeypatch):
    """A device with the operations of a CPU, and a card's sizes and lack of symmetry."""
    module: Any = ModuleType("operations_elsewhere")
    for name in ("name_of", "free_memory", "strips"):
        setattr(module, name, getattr(cpu, name))
    for name in (
        *("operand", "stack", "pack", "pack_pair", "linear", "norm", "norm_heads", "activate", "tanh"),
        *("new_cache", "copy_rows", "put_rows", "attend", "attend_alone"),
    ):
        setattr(module, name, carried(getattr(cpu, name)))
    module.pick = carried(_unknown)
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # what wraps tensors needs their versions
    module.SIZES, module.SYMMETRIC = cpu.SIZES, False
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(operations.BY_DEVICE, "meta", module.__name__)


def _unknown(logits: Tensor, *_: Any) -> Tensor:
    """What a device says that finds no token."""
    return torch.full((len(logits),), UNKNOWN)


def texts(model: Model, assay: TextAssay | PanelAssay, batch: int) -> tuple[Any, Callable[[], dict]]:
    """What an engine says, later, when it is asked."""
    resolved, tiling = assay.resolve(model), Tiling(16)
    mutants = Design(sample=2, mutations=("max", "zero", "noop")).plan(model.genome, tiling).mutants()

    def run() -> dict:
        session = FastEngine(model, tiling, batch).prepare(resolved.prompts, resolved.readout)
        return {outcome.mutant: outcome.outputs for outcome in session.run(mutants)}

    return resolved, run


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_texts_are_those_of_a_cpu(family, tmp_path, monkeypatch, second_device):
    model = load_model(str(tiny_model(tmp_path / family, family, num_hidden_layers=2)), device="cpu")
    resolved, run = texts(
        model, TextAssay(name="t", prompt="abc", max_new_tokens=12, temperature=0.7), batch=6
    )
    prompt, wanted = resolved.prompts[0], run()
    output, logits = ReferenceEngine(model, Tiling(16)).wild_type_logits(prompt, resolved.readout)
    move(model.network)
    monkeypatch.setattr(ReferenceEngine, "wild_type_logits", lambda *_: (output, Elsewhere(logits)))
    with elsewhere():
        assert run() == wanted
