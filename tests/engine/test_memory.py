"""Mutants that do not fit into the memory of a card are run again, fewer at a time, and say the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mutascope import Tiling
from mutascope.assays import TextAssay
from mutascope.core.design import Design
from mutascope.core.errors import MutascopeError
from mutascope.engine import session
from mutascope.engine.fast import FastEngine
from mutascope.engine.verification import Verifier

ASSAY = TextAssay(name="t", prompt="abc", max_new_tokens=10, temperature=0.7)


def texts(model: Any) -> dict[Any, Any]:
    """What a design says, with eight mutants at a time."""
    resolved, tiling = ASSAY.resolve(model), Tiling(16)
    mutants = Design(sample=3, mutations=("max", "noop")).plan(model.genome, tiling).mutants()
    asked = FastEngine(model, tiling, 8).prepare(resolved.prompts, resolved.readout)
    return {outcome.mutant: outcome.outputs for outcome in asked.run(mutants)}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the size of the batch whenever that is halved."""
    sizes: list[int] = []
    halve = session.FastSession._halve

    def noted(self: session.FastSession) -> None:
        halve(self)
        sizes.append(self.max_batch)

    monkeypatch.setattr(session.FastSession, "_halve", noted)
    return sizes


def short_of_memory(function: Callable[..., Any], *, most: int, at: int) -> Callable[..., Any]:
    """The function, which fails with more than ``most`` rows, after it has yielded one."""

    def run(*args: Any) -> Any:
        for done, row in enumerate(function(*args)):
            if len(args[at]) > most and done == 1:
                raise torch.OutOfMemoryError
            yield row

    return run


@pytest.mark.parametrize("most", [1, 3])
def test_a_cohort_that_does_not_fit_is_halved(llama, monkeypatch, most):
    wanted = texts(llama)
    halved = counted(monkeypatch)
    monkeypatch.setattr(Verifier, "verify", short_of_memory(Verifier.verify, most=most, at=1))
    assert texts(llama) == wanted
    assert halved


def test_a_batch_that_does_not_fit_is_halved(llama, monkeypatch):
    wanted = texts(llama)
    halved = counted(monkeypatch)
    monkeypatch.setattr(session, "decode", short_of_memory(session.decode, most=2, at=2))
    assert texts(llama) == wanted
    assert halved


def test_one_that_does_not_fit_is_an_error(llama, monkeypatch):
    def never(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Verifier, "verify", never)
    with pytest.raises(MutascopeError, match="not even one mutant"):
        texts(llama)
