"""The continuous phenotype: hand-computed values, and both engines measure the same."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest
import torch

from mutascope import Design, Screen, Tiling
from mutascope.assays import PanelAssay, TextAssay
from mutascope.engine.fast import FastEngine
from mutascope.engine.measures import MEASURES, Continuation
from mutascope.engine.reference import ReferenceEngine
from mutascope.numerics.sampling import draw_noise
from mutascope.numerics.silence import Coupling


def test_values_are_those_of_the_formulas():
    wild = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])  # (1/2, 1/2), then (3/4, 1/4)
    mutant = torch.tensor([[math.log(4.0), 0.0], [0.0, 0.0]])  # (4/5, 1/5), then (1/2, 1/2)
    continuation = Continuation((1, 0), wild, None)
    sums = continuation.sums(1)
    for step in range(2):
        continuation.add(sums, mutant[step, None].clone(), step)
    (values,) = continuation.values(sums)
    assert values["log_probability"] == pytest.approx((math.log(1 / 5) + math.log(1 / 2)) / 2)
    first = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    second = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert values["kl_divergence"] == pytest.approx((first + second) / 2)


def test_a_logit_that_is_not_finite_has_no_value():
    continuation = Continuation((0,), torch.zeros(1, 3), None)
    sums = continuation.sums(2)
    continuation.add(sums, torch.tensor([[0.0, torch.nan, 0.0], [0.0, 0.0, 0.0]]), 0)
    broken, sound = continuation.values(sums)
    assert set(broken.values()) == {None}
    assert sound["log_probability"] == pytest.approx(-math.log(3))


@pytest.mark.parametrize("sampling", [{"temperature": 0.7}, {"greedy": True}])
def test_both_engines_record_the_measures_of_silent_mutants_too(llama, tmp_path: Path, sampling):
    assay = TextAssay(name="t", prompt="The life cycle", seed=1, max_length=24, **sampling)
    design = Design(sample=12, mutations=("max", "zero", "noop"))
    frames, texts = {}, []
    for engine in ("fast", "reference"):
        screen = Screen(llama, assay, design, tile=2, engine=engine, measure=True)
        screen.run(tmp_path / engine, quiet=True)
        frames[engine] = screen.records()
        texts.append(screen.results.manifest.wild_type)
    fast, reference = frames["fast"], frames["reference"]
    ((wild,), (other,)) = texts
    assert wild == other
    assert "".join(wild.pieces) == wild.text.removeprefix("<s>The life cycle")
    assert len(wild.margins) == len(wild.tokens)
    assert min(wild.margins) > 0
    assert fast["phenotype"].equals(reference["phenotype"])
    for name in ("log_probability", "kl_divergence"):
        assert fast.schema[name] == pl.Float32
        assert fast[name].equals(reference[name])
    given, absent = ("margin", "silence") if "greedy" in sampling else ("silence", "margin")
    assert fast[given].equals(reference[given])
    assert fast[absent].is_null().all()
    assert reference[absent].is_null().all()
    told = fast.filter(pl.col("first_divergence").is_null())
    other = fast.filter(pl.col("first_divergence").is_not_null())
    if given == "margin":
        assert (told["margin"] >= 0).all()
        assert (other["margin"] <= 0).all()
    else:
        assert (told["silence"] > 0).all()
        assert (other["silence"] < 1).all()
        assert set(fast.filter(mutation="noop")["silence"]) == {1.0}
    noops = fast.filter(mutation="noop")
    assert noops["kl_divergence"].to_list() == [0.0] * len(noops)
    others = fast.filter(pl.col("mutation") != "noop")
    assert (others["kl_divergence"] > 1e-6).all()
    assert others.filter("silent").height > 0


def test_the_outputs_of_a_panel_are_measured_prompt_by_prompt(llama, tmp_path: Path):
    (tmp_path / "prompts.txt").write_text("The life cycle\nOnce\nab\n")
    assay = PanelAssay(
        name="p", prompts=str(tmp_path / "prompts.txt"), seed=1, max_length=24, temperature=0.7
    )
    frames = []
    for engine in ("fast", "reference"):
        screen = Screen(llama, assay, Design(sample=6), tile=2, engine=engine, measure=True)
        screen.run(tmp_path / engine, quiet=True)
        frames.append((screen.records(), screen.results.outputs()))
    (records, outputs), reference = frames
    assert records.equals(reference[0])
    assert outputs.equals(reference[1])
    assert {name: outputs.schema[name] for name in MEASURES} == dict.fromkeys(MEASURES, pl.Float64)
    assert outputs["silence"].is_between(0, 1).all()
    assert outputs["margin"].is_null().all()


def test_a_screen_with_measures_is_another_screen(llama, tmp_path: Path):
    assay = TextAssay(name="t", prompt="ab", max_length=8)
    Screen(llama, assay, Design(sample=1), tile=8).run(tmp_path / "s", quiet=True)
    with pytest.raises(Exception, match="measure is False there and True here"):
        Screen(llama, assay, Design(sample=1), tile=8, measure=True).run(tmp_path / "s", quiet=True)


def test_silence_is_the_share_of_seeds_with_a_silent_mutant(llama):
    """Over many seeds, each with its own text of the wild type, the coupled runs of the engine."""
    engine, said, chances = FastEngine(llama, Tiling(8)), [], []
    mutants = Design(sample=12, mutations=("max", "zero")).plan(llama.genome, Tiling(8)).mutants()
    for seed in range(60):
        assay = TextAssay(name="t", prompt="The life", seed=seed, max_new_tokens=6, temperature=0.8, top_k=9)
        resolved = assay.resolve(llama, measure=True)
        session = engine.prepare(resolved.prompts, resolved.readout)
        (wild,) = session.wild_type
        for outcome in session.run(mutants):
            said.append(outcome.outputs[0].tokens == wild.tokens)
            chances.append(outcome.outputs[0].values["silence"])
    chance, silent = torch.tensor(chances, dtype=torch.float64), torch.tensor(said, dtype=torch.float64)
    assert 0.1 < chance.mean() < 0.9
    for low, high in ((0, 0.2), (0.2, 0.8), (0.8, 1.01)):
        some = (chance >= low) & (chance < high)
        assert some.sum() > 15
        error = float((chance[some] * (1 - chance[some])).mean() / some.sum()) ** 0.5
        assert float(silent[some].mean()) == pytest.approx(float(chance[some].mean()), abs=4 * error)


@pytest.mark.slow
def test_silence_of_the_real_model_is_that_of_2000_seeds(smollm2):
    """The chance of every token is the share of real seeds that keep it, of those with which the wild type picks it."""
    seeds, mutants = 2000, Design(sample=20, mutations=("max",))
    assay = TextAssay(name="t", prompt="The life cycle of", seed=3, max_new_tokens=6, temperature=0.8)
    resolved, tiling = assay.resolve(smollm2, measure=True), Tiling(64)
    engine = ReferenceEngine(smollm2, tiling)
    (prompt,) = resolved.prompts
    wild, logits = engine.wild_type_logits(prompt, resolved.readout)
    sampler = engine.sampler(prompt, resolved.readout)
    assert sampler is not None
    coupling, steps = Coupling(sampler, logits, wild.tokens), len(wild.tokens)
    fed = torch.tensor([[*prompt.tokens, *wild.tokens[:-1]]])
    own = []
    for mutant in mutants.plan(smollm2.genome, tiling).mutants():
        with torch.inference_mode(), engine.mutagen.mutated(mutant) as network, engine.operations():
            own.append(network(fed).logits[0, len(prompt.tokens) - 1 :])
    kept, seen = torch.zeros(len(own), steps), torch.zeros(steps)
    for seed in range(seeds):
        sampler.noise = draw_noise(seed, steps, sampler.vocabulary)
        same = sampler.sample(logits, torch.arange(steps)) == torch.tensor(wild.tokens)
        seen += same
        for index, rows in enumerate(own):
            picked = sampler.sample(rows[same], torch.arange(steps)[same])
            kept[index, same] += picked == torch.tensor(wild.tokens)[same]
    chances = torch.stack(
        [torch.cat([coupling.terms(rows[step, None], step) for step in range(steps)]) for rows in own]
    )
    errors = (chances * (1 - chances) / seen).sqrt()
    assert (seen > 50).sum() >= 3
    assert ((kept / seen - chances).abs() <= 4.5 * errors + 1 / seen)[:, seen > 50].all()
