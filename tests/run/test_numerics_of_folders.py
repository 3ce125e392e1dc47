"""Whose arithmetic the records of a folder have: the manifest says it, and different ones do not mix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from builders import copy_model, tiny_model
from mutascope import Design, MutascopeError, Screen, ScreenData, TextAssay, load_model
from mutascope.core.manifest import Numerics
from mutascope.engine.reference import ReferenceEngine

ASSAY = "name: tale\nprompt: 'Once upon a time:'\nmax_new_tokens: 4\n"
TALE = TextAssay(name="tale", prompt="Once upon a time:", max_new_tokens=4)
DESIGN = Design(layers=(0,), kinds=("v",), sample=6)
OWN = Numerics(operations="fma32-1", sampling="fma32-1")
STOCK = Numerics(operations="stock", sampling="stock")
PENALISED = Numerics(operations="fma32-1", sampling="stock")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def command(cli, tmp_path):
    """Runs a small screen through the command line."""
    (tmp_path / "assay.yaml").write_text(ASSAY)
    design = ("--layers", 0, "--kinds", "v", "--sample", 6, "--tile", 8)

    def run(model: Path, out: Path, *options):
        return cli(
            "screen", "--model", model, "--assay", tmp_path / "assay.yaml", *design, *options, "--out", out
        )

    return run


@pytest.fixture(scope="module")
def penalising(llama_folder, tmp_path_factory) -> Path:
    """A checkpoint whose generation config has a field that the sampling does not implement."""
    folder = copy_model(llama_folder, tmp_path_factory.mktemp("models") / "penalising")
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "repetition_penalty": 1.3}))
    return folder


@pytest.fixture(scope="module")
def bloom(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "bloom", "bloom")


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("first, second", [("own", "stock"), ("stock", "own")])
def test_other_numerics_do_not_continue_a_folder(
    command, llama_folder, tmp_path, monkeypatch, engine, first, second
):
    monkeypatch.setattr(ReferenceEngine, "unit_size", 4)
    out, options = tmp_path / "screen", ("--engine", engine)
    done = command(llama_folder, out, *options, "--numerics", first)
    assert done.code == 0, done.err
    shutil.rmtree(out / "records")
    before, names = tree(out), {"own": "fma32-1", "stock": "stock"}
    result = command(llama_folder, out, *options, "--numerics", second)
    assert result.code == 2
    assert result.err.splitlines()[-1] == (
        f"mutascope: {out} was made with the numerics {names[first]}, and here they are {names[second]}:"
        " their records do not mix; screen into another --out"
    )
    assert tree(out) == before
    assert command(llama_folder, out, *options, "--numerics", first).code == 0
    assert ScreenData(out).finished


def test_own_numerics_are_the_default(command, llama_folder, tmp_path):
    for folder, options in (("a", ()), ("b", ("--numerics", "own"))):
        assert command(llama_folder, tmp_path / folder, *options).code == 0
        assert ScreenData(tmp_path / folder).manifest.numerics == OWN
    assert ScreenData(tmp_path / "a").records().equals(ScreenData(tmp_path / "b").records())


def test_stock_numerics_are_those_of_torch_on_the_reference_engine(command, llama_folder, tmp_path):
    (tmp_path / "spec.yaml").write_text("numerics: stock\n")
    result = command(llama_folder, tmp_path / "s", "--numerics", "stock")
    assert result.code == 0, result.err
    results = ScreenData(tmp_path / "s")
    assert results.manifest.numerics == STOCK
    assert results.manifest.controls
    assert results.manifest.controls.engine == "reference"
    assert len(results.records()) == 12


def test_numerics_may_be_a_key_of_a_spec(cli, llama_folder, tmp_path):
    keys = f"model: {llama_folder}\nlayers: 0\nkinds: v\nsample: 2\ntile: 8\nnumerics: stock\n"
    (tmp_path / "spec.yaml").write_text(f"{keys}assay: {{prompt: x, max_new_tokens: 2}}\n")
    result = cli("screen", tmp_path / "spec.yaml", "--out", tmp_path / "s")
    assert result.code == 0, result.err
    assert ScreenData(tmp_path / "s").manifest.numerics == STOCK


@pytest.mark.parametrize(
    "word, near", [("wrong", "own"), ("stok", "stock"), ("Own", "own"), ("torch", "stock")]
)
def test_a_wrong_word_is_told_the_nearest_one(command, llama_folder, tmp_path, word, near):
    result = command(llama_folder, tmp_path / "s", "--numerics", word)
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    assert line.startswith(f"mutascope: unknown numerics '{word}': ")
    assert near in line
    assert not (tmp_path / "s").exists()
    with pytest.raises(MutascopeError, match=f"unknown numerics '{word}'"):
        _ = Screen(str(llama_folder), TALE, DESIGN, numerics=word).session


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_an_architecture_whose_operations_are_not_known(command, bloom, tmp_path, engine):
    result = command(bloom, tmp_path / "s", "--engine", engine)
    assert result.code == 0, result.err
    manifest = ScreenData(tmp_path / "s").manifest
    assert manifest.numerics == Numerics(operations="stock", sampling="fma32-1")
    told = [
        line
        for line in result.err.splitlines()
        if "BloomForCausalLM has operations that are not known" in line
    ]
    assert len(told) == 1, result.err


@pytest.mark.parametrize("dtype, operations", [("bfloat16", "fma32-bf16-1"), ("float64", "stock")])
def test_other_dtypes(command, llama_folder, tmp_path, dtype, operations):
    result = command(llama_folder, tmp_path / "s", "--dtype", dtype)
    assert result.code == 0, result.err
    numerics = ScreenData(tmp_path / "s").manifest.numerics
    assert numerics == Numerics(operations=operations, sampling="fma32-1")
    assert (f"there are no kernels for {dtype}" in result.err) == (operations == "stock")


def test_sampling_fields_that_are_not_implemented(command, penalising, tmp_path):
    result = command(penalising, tmp_path / "s")
    assert result.code == 0, result.err
    manifest = ScreenData(tmp_path / "s").manifest
    assert manifest.generation["repetition_penalty"] == 1.3
    assert manifest.numerics == PENALISED
    assert "it does not implement repetition_penalty=1.3" in result.err


def test_a_penalty_counts(llama_folder, penalising, tmp_path):
    """``generate`` applies it, whoever picks the tokens."""
    texts = []
    for model in (llama_folder, penalising):
        screen = Screen(str(model), TALE.model_copy(update={"max_new_tokens": 40}), DESIGN, tile=8)
        texts.append(screen.wild_type[0].tokens)
    assert texts[0] != texts[1]


@pytest.mark.parametrize("model", ["llama", "penalising", "bloom"])
@pytest.mark.parametrize("numerics", ["own", "stock"])
def test_a_folder_is_opened_again_with_its_numerics(
    request, llama_folder, penalising, bloom, tmp_path, cli, model, numerics
):
    path = {"llama": llama_folder, "penalising": penalising, "bloom": bloom}[model]
    Screen(str(path), TALE, DESIGN, tile=8, numerics=numerics).run(tmp_path / "s", quiet=True)
    results = ScreenData(tmp_path / "s")
    again = Screen.reopen(results)
    assert again.described_numerics == results.manifest.numerics
    mutant = "{layer}.{kind}:{row},{col}:{mutation}".format(**results.records().row(3, named=True))
    shown = cli("show", tmp_path / "s", mutant, "--check")
    assert (shown.code, "checked: " in shown.out) == (0, True), shown.err


def test_the_processor_is_named(llama, tmp_path):
    screen = Screen(llama, TALE, DESIGN, tile=8)
    screen.run(tmp_path / "s", quiet=True)
    assert screen.results.manifest.platform
    assert screen.results.manifest.platform.processor
    assert screen.results.manifest.platform.processor.strip()
    assert load_model(llama.name).fingerprint == screen.results.manifest.model.fingerprint
