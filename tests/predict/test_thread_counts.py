"""What the number of threads may change of predictions: their last digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mutascope import Model, TextAssay
from mutascope.core.genome import Tiling
from mutascope.predict.predictor import Predictor

ASSAY = TextAssay(name="test", prompt="hello", max_length=20, temperature=0.7, top_k=30)
TILE = 7
"""So that vectors do not divide what is computed."""


def made(model: Model) -> Predictor:
    asked = ASSAY.resolve(model)
    return Predictor(model, Tiling(TILE), asked.prompts, asked.readout, ("max", "min", "zero"))


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def predicted(model: Model, threads: int) -> torch.Tensor:
    """The margins of all mutants."""
    torch.set_num_threads(threads)
    return torch.cat([calls.margin.flatten() for _, calls in made(model).calls()])


def test_the_same_number_gives_the_same_bits_and_another_one_other_last_digits_at_most(llama):
    alone = predicted(llama, 1)
    assert len(alone) > 500
    assert predicted(llama, 1).equal(alone)
    three = predicted(llama, 3)
    assert predicted(llama, 3).equal(three)
    torch.testing.assert_close(three, alone, rtol=1e-4, atol=1e-4)


class Softmaxes(TorchDispatchMode):
    """Notes along which dimension each softmax runs, counted from the last, -1."""

    def __init__(self) -> None:
        super().__init__()
        self.dims: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._softmax.default:
            x, dim, _ = args
            self.dims.append(dim % x.dim() - x.dim())
        return func(*args, **(kwargs or {}))


def test_every_softmax_runs_along_the_last_dimension(llama):
    """Along another one, torch computes what is over at the end of a thread's share with another exponential."""
    predictor, noted = made(llama), Softmaxes()
    with noted:
        kinds = {locus.kind for locus, _ in predictor.calls()}
    assert {"q", "k"} <= kinds
    assert set(noted.dims) == {-1}
