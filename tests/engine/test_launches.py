"""What a step of decoding asks of a card: kernels, and copies to it. Kernels are counted instead of run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from builders import tiny_model
from cards import DEVICE, HAS_CARD
from counting import Count
from mutascope.assays import TextAssay
from mutascope.core.genome import Mutant, Tiling
from mutascope.engine.batched_decoding import BatchedDecoding
from mutascope.engine.fast import FastEngine
from mutascope.engine.rows import Row
from mutascope.engine.session import FastSession
from mutascope.model.loading import load_model
from mutascope.numerics import operations
from mutascope.numerics.cuda.launch import Launcher

pytestmark = pytest.mark.skipif(HAS_CARD, reason="copies to a card are operations of torch, too")
LAYERS = 3
A_LAYER = {"_norm": 2, "_halves": 4, "multiply": 4, "_rotate": 1, "_attend": 1, "_gated": 1}
"""Kernels of a layer, whatever is edited in it."""


@pytest.fixture
def session(monkeypatch, tmp_path) -> FastSession:
    """A session whose kernels are those of a card."""
    monkeypatch.setitem(operations.BY_DEVICE, "cpu", "mutascope.numerics.cuda")
    folder = tiny_model(tmp_path / "m", "llama", num_hidden_layers=LAYERS)
    model = load_model(str(folder), device=str(DEVICE))
    assay = TextAssay(name="t", prompt="abc", max_new_tokens=4, temperature=0.7).resolve(model)
    with np.errstate(all="ignore"):  # the interpreter warns where a card does not
        return FastEngine(model, Tiling(16), 64).prepare(assay.prompts, assay.readout)


@pytest.fixture
def counted(monkeypatch) -> Any:
    """Counts what is asked of a device within a block."""

    @contextmanager
    def counting() -> Iterator[Counter[str]]:
        count = Count()

        def launch(launcher: Launcher, *_: Any) -> None:
            count.found[launcher.kernel.fn.__name__] += 1

        with monkeypatch.context() as patch, torch.no_grad(), count:
            patch.setattr(Launcher, "__call__", launch)
            yield count.found

    return counting


def mutants(session: FastSession, each: int) -> list[Row]:
    """Rows that have just left the wild type, some in every locus, that all say the same."""
    text = session.wild.reading(session.asked[0]).activations
    rows = []
    for locus in session.engine.model.genome.loci:
        for column in range(each):
            mutant = Mutant(locus.layer, locus.kind, 0, column, "max")
            row = Row(mutant, locus.layer, session._edit(mutant), session.asked[0], text, [5])
            row.seen = session.decoder.new_cache(1, 16)[locus.layer :, :, 0, :, : row.position]
            rows.append(row)
    return rows


@pytest.mark.parametrize("each", [1, 2])
def test_a_step_is_the_same_few_kernels_whatever_is_edited(each, session, counted):
    rows = mutants(session, each)
    batch, at = BatchedDecoding(session.decoder, [row.layer for row in rows], 16), rows[0].position
    batch.admit(rows, at)
    with counted() as first:
        batch.step(at)
    batch.take(np.full(len(rows), 7))
    with counted() as found:
        batch.step(at + 1)
    kernels = {name: LAYERS * times for name, times in A_LAYER.items()}
    # the tokens that are fed, and the rows of a layer of those of the layer below
    assert found == {**kernels, "lift_fresh": 1, "index": 1, "index_select": LAYERS - 1}
    # at first, two tables more: what is edited, and where the rows of a layer lie
    more = first - found
    del more["clone"]  # edited weights whose addresses are not those that kernels are compiled for
    assert more == {"lift_fresh": 2}


def test_rows_are_copied_with_one_table_for_all_layers(session, counted):
    rows = mutants(session, 1)
    batch, at = BatchedDecoding(session.decoder, [row.layer for row in rows], 16), rows[0].position
    batch.admit(rows, at)
    batch.take(np.arange(len(rows)))
    with counted() as found:
        batch.part([], at + 1)
    # the lower layers get more rows than they have room for
    assert found == dict.fromkeys(("index_select", "index_copy_", "copy_"), LAYERS - 1) | {"lift_fresh": 1}
    with counted() as found:
        batch.part(rows[:5], at + 1)
    assert found == {"lift_fresh": 1, "index_select": LAYERS, "index_copy_": LAYERS}
