"""The continuous phenotype: hand-computed values, and both engines measure the same."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
import torch

from mutascope import Design, Screen
from mutascope.assays import TextAssay
from mutascope.engine.measures import Continuation


def test_values_are_those_of_the_formulas():
    wild = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])  # (1/2, 1/2), then (3/4, 1/4)
    mutant = torch.tensor([[math.log(4.0), 0.0], [0.0, 0.0]])  # (4/5, 1/5), then (1/2, 1/2)
    continuation, sums = Continuation((1, 0), wild), torch.zeros(1, 2)
    for step in range(2):
        continuation.add(sums, mutant[step, None].clone(), step)
    (values,) = continuation.values(sums)
    assert values["log_probability"] == pytest.approx((math.log(1 / 5) + math.log(1 / 2)) / 2)
    first = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    second = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert values["kl_divergence"] == pytest.approx((first + second) / 2)


def test_a_logit_that_is_not_finite_has_no_value():
    continuation, sums = Continuation((0,), torch.zeros(1, 3)), torch.zeros(2, 2)
    continuation.add(sums, torch.tensor([[0.0, torch.nan, 0.0], [0.0, 0.0, 0.0]]), 0)
    broken, sound = continuation.values(sums)
    assert set(broken.values()) == {None}
    assert sound["log_probability"] == pytest.approx(-math.log(3))


def test_both_engines_record_the_measures_of_silent_mutants_too(llama, tmp_path: Path):
    assay = TextAssay(name="t", prompt="The life cycle", seed=1, max_length=24, temperature=0.7)
    design = Design(sample=12, mutations=("max", "zero", "noop"))
    frames = {}
    for engine in ("fast", "reference"):
        screen = Screen(llama, assay, design, tile=2, engine=engine, measure=True)
        screen.run(tmp_path / engine, quiet=True)
        frames[engine] = screen.records()
    fast, reference = frames["fast"], frames["reference"]
    assert fast["phenotype"].equals(reference["phenotype"])
    for name in ("log_probability", "kl_divergence"):
        assert fast.schema[name] == pl.Float32
        assert fast[name].to_list() == pytest.approx(reference[name].to_list(), rel=1e-4, abs=1e-5)
    noops = fast.filter(mutation="noop")
    assert noops["kl_divergence"].to_list() == pytest.approx([0.0] * len(noops), abs=1e-5)
    others = fast.filter(pl.col("mutation") != "noop")
    assert (others["kl_divergence"] > 1e-6).all()
    assert others.filter("silent").height > 0


def test_a_screen_with_measures_is_another_screen(llama, tmp_path: Path):
    assay = TextAssay(name="t", prompt="ab", max_length=8)
    Screen(llama, assay, Design(sample=1), tile=8).run(tmp_path / "s", quiet=True)
    with pytest.raises(Exception, match="measure is False there and True here"):
        Screen(llama, assay, Design(sample=1), tile=8, measure=True).run(tmp_path / "s", quiet=True)
