"""Predictions where the weights do not lie on the CPU: every kind, and nothing of the CPU beside them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from builders import tiny_model
from elsewhere import Elsewhere, elsewhere, move
from mutascope import Tiling, load_model
from mutascope.assays import TextAssay
from mutascope.core.kinds import CODES
from mutascope.engine.reference import ReferenceEngine
from mutascope.numerics import cpu, operations
from mutascope.predict.predictor import Predictor


def numbers(found: Iterator[tuple[object, Tensor]]) -> dict[str, Tensor]:
    """Changes by name of the locus."""
    return {str(getattr(locus, "name", "")): changes for locus, changes in found}


@pytest.mark.parametrize("family, dtype", [("llama", "float32"), ("qwen3", "float32"), ("phi3", "bfloat16")])
def test_every_kind_is_predicted_on_another_device(family, dtype, tmp_path, monkeypatch):
    model = load_model(
        str(tiny_model(tmp_path / family, family, num_hidden_layers=1)), dtype=dtype, device="cpu"
    )
    assay = TextAssay(name="t", prompt="abc def", max_new_tokens=6, temperature=0.7).resolve(model)

    def predicted() -> dict[str, Tensor]:
        predictor = Predictor(model, Tiling(8), assay.prompts, assay.readout, ("max", "zero"))
        return numbers(predictor.changes())

    monkeypatch.setitem(operations.BY_DEVICE, "meta", cpu.__name__)
    output, logits = ReferenceEngine(model, Tiling(8)).wild_type_logits(assay.prompts[0], assay.readout)
    wanted = predicted()
    move(model.network)
    monkeypatch.setattr(
        ReferenceEngine, "wild_type_logits", lambda *_: (output, Elsewhere(logits))
    )  # generate asks too much of what is no device
    with elsewhere():
        found = predicted()
    assert {name.split(".")[1] for name in found} == set(CODES)
    for name, changes in found.items():
        assert isinstance(changes, Elsewhere)
        assert torch.equal(changes.held, wanted[name])


def test_tensors_of_two_devices_do_not_mix():
    with elsewhere():
        there = torch.ones(3).to("meta")
        with pytest.raises(RuntimeError, match="elsewhere"):
            torch.searchsorted(there, torch.ones(2))
        assert torch.equal((there * 2).cpu(), torch.full((3,), 2.0))
