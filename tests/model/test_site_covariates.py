"""Covariates of sites against direct computations, on real architectures, and in the folder of a screen."""

import os

import numpy as np
import polars as pl
import pytest
import torch

from builders import FAMILIES, HIDDEN, tiny_model
from mutascope import Design, Model, Mutant, MutascopeError, Screen, ScreenData, TextAssay, load_model
from mutascope.core.genome import Tiling
from mutascope.core.protocol import Prompt
from mutascope.core.schema import COVARIATE_SCHEMA, SITE_KEY
from mutascope.model.activations import site_covariates
from mutascope.model.loading import fingerprint
from mutascope.model.mutations import Mutagen
from mutascope.run.screen import Finished

PROMPT, CONTINUATION = Prompt("x", (0, 40, 50, 60)), (70, 80, 90)
FED = [*PROMPT.tokens, *CONTINUATION[:-1]]
READERS = ["q", "k", "v", "gate", "up"]


def covariates(model: Model, tile: int = 12, design: Design | None = None) -> pl.DataFrame:
    tiling = Tiling(tile)
    plan = (design or Design()).plan(model.genome, tiling)
    return site_covariates(model, plan, tiling, [PROMPT], [CONTINUATION])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_norms_are_those_of_what_the_mutagen_writes(family, tmp_path):
    """Plain, transposed and fused parameters, with tiles that do not divide a side."""
    model = load_model(str(tiny_model(tmp_path, family)))
    tiling = Tiling(7)
    mutagen = Mutagen(model.network, model.genome, tiling)
    frame = covariates(model, tile=7, design=Design(layers=(1,)))
    assert len(frame) == sum(tiling.sites(locus) for locus in model.genome if locus.layer == 1)
    for row in frame.sample(60, seed=1).to_dicts() + frame[-1].to_dicts():
        for mutation in ("max", "min", "zero"):
            mutant = Mutant(row["layer"], row["kind"], row["row"], row["col"], mutation)
            wild = mutagen.wild_type_tile(mutant).double()
            change = torch.linalg.vector_norm(mutagen.replacement(mutant).double() - wild)
            assert row[f"change_{mutation}"] == pytest.approx(float(change), rel=1e-5)
            assert row["tile_norm"] == pytest.approx(float(torch.linalg.vector_norm(wild)), rel=1e-5)


def test_activations_are_those_of_the_forward_pass(llama):
    with torch.inference_mode():
        states = llama.network(torch.tensor([FED]), output_hidden_states=True).hidden_states
    frame = covariates(llama, tile=7)
    assert frame.schema == COVARIATE_SCHEMA
    for layer in range(3):
        stream = states[layer][0].double()
        norm = llama.network.model.layers[layer].input_layernorm
        read = norm(states[layer])[0].detach().double()
        for kind in ("q", "k", "v"):
            for col in range(7):
                row = frame.filter(layer=layer, kind=kind, row=1, col=col).row(0, named=True)
                tile = slice(7 * col, min(7 * col + 7, HIDDEN))
                expected = read[:, tile].square().sum(1).mean().sqrt()
                assert row["input_norm"] == pytest.approx(float(expected), rel=1e-5)
                assert row["input_max"] == pytest.approx(float(read[:, tile].abs().max()), rel=1e-5)
                ratio = stream[:, tile].abs().max() / stream.abs().median()
                assert row["stream_ratio"] == pytest.approx(float(ratio), rel=1e-5)


def test_the_stream_of_the_mlp_is_behind_its_own_norm(llama):
    seen = {}
    layer = llama.network.model.layers[1]
    handles = [
        layer.post_attention_layernorm.register_forward_pre_hook(
            lambda _, given: seen.update(stream=given[0])
        ),
        layer.mlp.down_proj.register_forward_pre_hook(lambda _, given: seen.update(down=given[0])),
    ]
    with torch.inference_mode():
        llama.network(torch.tensor([FED]))
    for handle in handles:
        handle.remove()
    frame = covariates(llama, tile=HIDDEN, design=Design(layers=(1,), kinds=("gate", "up", "down")))
    stream, down = seen["stream"][0].double().abs(), seen["down"][0].double()
    for kind in ("gate", "up"):
        row = frame.filter(kind=kind, row=0).row(0, named=True)
        assert row["stream_ratio"] == pytest.approx(float(stream.max() / stream.median()), rel=1e-5)
    row = frame.filter(kind="down", col=0).row(0, named=True)
    assert row["input_max"] == pytest.approx(float(down[:, :HIDDEN].abs().max()), rel=1e-5)


def test_positions_of_all_prompts_count(llama):
    tiling = Tiling(HIDDEN)
    plan = Design(layers=(2,), kinds=("q",)).plan(llama.genome, tiling)
    prompts = [(PROMPT, CONTINUATION), (Prompt("y", (0, 33, 34)), (35,))]

    def one(*chosen: tuple) -> dict:
        return site_covariates(llama, plan, tiling, *zip(*chosen, strict=True)).row(0, named=True)

    first, second, both = one(prompts[0]), one(prompts[1]), one(*prompts)
    squares = (6 * first["input_norm"] ** 2 + 3 * second["input_norm"] ** 2) / 9
    assert both["input_norm"] == pytest.approx(np.sqrt(squares), rel=1e-5)
    for name in ("input_max", "stream_ratio"):
        assert both[name] == max(first[name], second[name])


def test_a_massive_activation_marks_the_columns_that_read_it(tmp_path):
    model = load_model(str(tiny_model(tmp_path, "llama")))
    with torch.no_grad():
        model.network.model.embed_tokens.weight[0, 13] = 5000  # feature 13 is in tile 1
    before = fingerprint(model.network)
    frame = covariates(model)
    assert fingerprint(model.network) == before
    massive = frame.filter("massive").select("layer", "kind", "col").unique()
    assert set(massive.rows()) == {(layer, kind, 1) for layer in range(3) for kind in READERS}
    assert (frame.filter("massive")["stream_ratio"] > 1000).all()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.network.modules())
    with torch.no_grad():
        model.network.model.embed_tokens.weight[0, 13] = 90  # far above the median, but of no great magnitude
    small = covariates(model)
    assert small.filter(layer=0, kind="q", col=1)["stream_ratio"][0] > 100
    assert not small["massive"].any()
    with torch.no_grad():
        model.network.model.embed_tokens.weight *= 20  # of great magnitude, but not far above the median
        model.network.model.embed_tokens.weight[0, 13] = 101
    even = covariates(model)
    assert even.filter(layer=0, kind="q", col=1)["stream_ratio"][0] < 100
    assert not even["massive"].any()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_architecture_has_inputs_and_a_stream(family, tmp_path):
    model = load_model(str(tiny_model(tmp_path, family)))
    frame = covariates(model)
    known = ["tile_norm", "change_max", "change_min"]
    assert not frame.select(known).null_count().sum_horizontal().item()
    mixture = (pl.col("kind") == "router") | pl.col("kind").str.contains(".", literal=True)
    frame = frame.filter(~mixture)  # inputs of experts are not measured
    assert not frame.select("input_norm", "input_max").null_count().sum_horizontal().item()
    reading = frame["kind"].is_in(READERS)
    assert frame.filter(reading)["stream_ratio"].null_count() == 0
    assert frame.filter(~reading)["stream_ratio"].null_count() == (~reading).sum()
    assert not frame.filter(~reading)["massive"].any()


def test_only_the_sites_of_the_design(llama, tmp_path):
    frame = covariates(llama, design=Design(sample=40, sample_seed=3, mutations=("max", "zero")))
    plan = Design(sample=40, sample_seed=3, mutations=("max", "zero")).plan(llama.genome, Tiling(12))
    sites = {(m.layer, m.kind, m.row, m.col) for m in plan.mutants()}
    assert len(frame) == 40
    assert set(frame.select(*SITE_KEY).rows()) == sites
    whole = covariates(llama)
    assert whole.join(frame, on=[*SITE_KEY], how="semi").sort(*SITE_KEY).equals(frame.sort(*SITE_KEY))


# in the folder of a screen

ASSAY = TextAssay(name="short", prompt="Once upon a time:", max_new_tokens=5)
DESIGN = Design(layers=(0, 1), kinds=("v", "down"), rows=(0, 1), cols=(0, 1))


def test_a_screen_stores_them_and_a_finished_one_gets_them_later(llama, tmp_path):
    screen = Screen(llama, ASSAY, DESIGN, tile=12, engine="reference")
    screen.run(tmp_path / "out", quiet=True)
    frame = screen.results.covariates()
    tokens = [output.tokens for output in screen.wild_type]
    assert frame.equals(site_covariates(llama, screen.plan, Tiling(12), screen.resolved.prompts, tokens))
    assert len(frame) == 16
    file = tmp_path / "out" / "covariates.parquet"
    file.unlink()
    with pytest.raises(
        MutascopeError, match=r"has no covariates\.parquet: run the same `mutascope screen` again"
    ):
        ScreenData(tmp_path / "out").covariates()
    again = Screen(llama, ASSAY, DESIGN, tile=12, engine="reference")
    assert again.run(tmp_path / "out", quiet=True) == Finished(0, 32)
    assert ScreenData(tmp_path / "out").covariates().equals(frame)
    written = file.stat().st_mtime_ns
    assert again.run(tmp_path / "out", quiet=True) == Finished(0, 32)
    assert file.stat().st_mtime_ns == written


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_finished_screen_that_is_not_writable_needs_nothing(llama, tmp_path, capsys):
    screen = Screen(
        llama,
        TextAssay(name="x", prompt="Once", max_new_tokens=2),
        Design(layers=(0,), kinds=("v",)),
        tile=12,
    )
    screen.run(tmp_path / "s", quiet=True)
    (tmp_path / "s").chmod(0o500)
    assert screen.run(tmp_path / "s", quiet=True).fresh == 0
    assert capsys.readouterr().err == ""
    (tmp_path / "s").chmod(0o700)
    (tmp_path / "s" / "covariates.parquet").unlink()
    (tmp_path / "s").chmod(0o500)
    assert screen.run(tmp_path / "s", quiet=True).fresh == 0
    assert "has no covariates.parquet and is not writable" in capsys.readouterr().err
    (tmp_path / "s").chmod(0o700)


@pytest.mark.parametrize("damage", ["bytes", "columns"])
def test_a_damaged_file_is_one_sentence(llama, tmp_path, damage):
    screen = Screen(llama, ASSAY, DESIGN, tile=12, engine="reference")
    screen.run(tmp_path / "out", quiet=True)
    file = tmp_path / "out" / "covariates.parquet"
    if damage == "bytes":
        file.write_bytes(file.read_bytes()[:-20])
    else:
        pl.read_parquet(file).drop("massive").write_parquet(file)
    with pytest.raises(MutascopeError, match=r"covariates\.parquet is damaged .*; delete it and run"):
        ScreenData(tmp_path / "out").covariates()


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_weights_of_other_dtypes_stay_as_they_are(llama_folder, dtype):
    model = load_model(str(llama_folder), dtype=dtype)
    covariates(model)
    assert fingerprint(model.network) == model.fingerprint
