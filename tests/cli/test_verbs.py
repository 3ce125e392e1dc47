"""The verbs on a small real screen, through the command line."""

import json
import re
import shutil
from typing import Any

import polars as pl
import pytest
import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoTokenizer

from builders import tiny_model
from mutascope import ScreenData

SPEC = """
assay: {prompt: "Once upon a time:", max_new_tokens: 6, name: "tale"}
layers: [0, 1]
kinds: v,down
tile: 16
mutations: [max, min, zero]
engine: reference
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("verbs") / "model", "llama", seed=4)


@pytest.fixture(scope="module")
def screened(model, tmp_path_factory):
    """A screen run from a spec file, in a process of its own."""
    from processes import start_command

    folder = tmp_path_factory.mktemp("screened")
    (folder / "spec.yaml").write_text(f"model: {model}\nout: {folder / 'screen'}\n{SPEC}")
    process = start_command("screen", folder / "spec.yaml", stderr=folder / "stderr")
    assert process.wait() == 0, process.stderr
    assert "Traceback" not in process.stderr
    assert "Screen of" in process.stderr
    return folder / "screen"


def nsm(screened) -> dict:
    """The first non-silent record with its text."""
    return ScreenData(screened).texts().filter(silent=False).row(0, named=True)


def name_of(row: dict) -> str:
    return f"{row['layer']}.{row['kind']}:{row['row']},{row['col']}:{row['mutation']}"


def test_progress_is_plain_lines_when_not_on_a_terminal(screened):
    lines = (screened.parent / "stderr").read_text().splitlines()
    total = len(ScreenData(screened).records())
    assert total == 2 * (2 * 3 + 3 * 5) * 3
    pattern = rf"{total} of {total} mutants, [\d.]+ % NSM, [\d.]+ mutants/s"
    assert any(re.fullmatch(pattern, line) for line in lines), lines
    assert not any("\x1b" in line for line in lines)


def test_options_replace_keys_of_the_spec(cli, screened, tmp_path):
    spec = screened.parent / "spec.yaml"
    out = tmp_path / "other"
    result = cli(
        "screen", spec, "--layers", "1", "--kinds", "k", "--mutations", "max", "--seed", 5, "--out", out
    )
    assert result.code == 0, result.err
    manifest = ScreenData(out).manifest
    assert manifest.design.layers == [1]
    assert manifest.design.mutations == ["max"]
    assert manifest.assay.seed == 5
    assert manifest.assay.name == "tale"
    assert len(ScreenData(out).records()) == 2 * 3


def test_status_counts_and_rates(cli, screened):
    result = cli("status", screened)
    assert result.code == 0, result.err
    records = ScreenData(screened).records()
    silent = records["silent"].sum()
    assert f"{len(records)} of {len(records)} stored" in result.out
    assert f"{len(records) - silent} ({100 * (1 - silent / len(records)):.1f} %)" in result.out
    assert f"{records['phenotype'].n_unique()} distinct" in result.out
    assert "finished" in result.out
    assert "controls  weights restored" in result.out
    table = [line.replace("│", " ").split() for line in result.out.splitlines()]
    for kind in ("v", "down"):
        mine = records.filter(kind=kind)
        rate = f"{100 * (~mine['silent']).sum() / len(mine):.1f}"
        count = str((~mine["silent"]).sum())
        sites = str(len(mine) // 3)
        assert [kind, "2", sites, str(len(mine)), count, rate, rate, "-", rate] in table, result.out
    for mutation in ("max", "min", "zero"):
        assert any(row[:1] == [mutation] for row in table)


def test_status_of_an_unfinished_screen(cli, screened, tmp_path):
    shutil.copytree(screened, tmp_path / "part")
    (tmp_path / "part" / "records" / "000002.parquet").unlink()
    result = cli("status", tmp_path / "part")
    assert result.code == 0
    assert "110 of 126 stored" in result.out
    assert "unfinished" in result.out
    shutil.rmtree(tmp_path / "part" / "records")
    result = cli("status", tmp_path / "part")
    assert result.code == 0
    assert "0 of 126 stored" in result.out


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_export_is_the_records_and_their_texts(cli, screened, tmp_path, format):
    target = tmp_path / f"table.{format}"
    result = cli("export", screened, "--format", format, "--out", target)
    assert result.code == 0, result.err
    assert result.out.strip() == f"{target}: 126 records"
    frame = pl.read_csv(target) if format == "csv" else pl.read_parquet(target)
    expected = ScreenData(screened).texts()
    assert frame.columns == [*ScreenData(screened).records().columns, "text"]
    assert frame.cast(expected.schema).equals(expected)
    assert frame["text"].null_count() == 0


def test_export_names_its_file_after_the_screen(cli, screened, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("export", screened).out.startswith("screen.csv: ")
    assert (tmp_path / "screen.csv").exists()


def test_maps_are_pictures(cli, screened, tmp_path):
    for arguments in ([], ["--layer", 1, "--kind", "down"]):
        target = tmp_path / f"map{len(arguments)}.png"
        result = cli("map", screened, *arguments, "--out", target)
        assert result.code == 0, result.err
        with Image.open(target) as picture:
            assert min(picture.size) > 100


def test_show_is_a_word_diff_against_the_wild_type(cli, screened):
    row = nsm(screened)
    result = cli("show", screened, name_of(row))
    assert result.code == 0, result.err
    first, *rest = result.out.splitlines()
    assert first == (
        f"{name_of(row)}: NSM, first divergence at token {row['first_divergence']}, phenotype {row['phenotype']}"
    )
    assert "Once upon a time" in "\n".join(rest)
    silent = ScreenData(screened).texts().filter(silent=True)
    if len(silent):
        result = cli("show", screened, name_of(silent.row(0, named=True)))
        assert ": silent, phenotype" in result.out


def test_show_check_runs_it_again(cli, screened):
    result = cli("show", screened, name_of(nsm(screened)), "--check")
    assert result.code == 0, result.err
    assert "checked: the reference engine gives the same record" in result.out


def test_show_check_notices_a_record_that_is_not_reproduced(cli, screened, tmp_path):
    out = tmp_path / "forged"
    shutil.copytree(screened, out)
    row = nsm(screened)
    for shard in sorted((out / "records").glob("*.parquet")):
        records = pl.read_parquet(shard)
        records.with_columns(first_divergence=pl.col("first_divergence") + 1).write_parquet(shard)
    result = cli("show", out, name_of(row), "--check")
    assert result.code == 2
    divergence = row["first_divergence"]
    assert f"first_divergence is stored as {divergence + 1} and came out as {divergence}" in result.err


def test_show_check_notices_that_the_model_is_another_one(cli, screened, model, tmp_path):
    shutil.copytree(screened, tmp_path / "screen")
    moved = tiny_model(tmp_path / "model", "llama", seed=99)
    manifest = json.loads((tmp_path / "screen" / "manifest.json").read_text())
    manifest["model"]["name"] = str(moved)
    (tmp_path / "screen" / "manifest.json").write_text(json.dumps(manifest))
    result = cli("show", tmp_path / "screen", name_of(nsm(screened)), "--check")
    assert result.code == 2
    assert "has other weights now" in result.err


@pytest.mark.parametrize("mutation", ["max", "zero"])
def test_show_save_writes_the_mutated_model(cli, screened, model, tmp_path, mutation):
    target = tmp_path / "mutant"
    result = cli("show", screened, f"1.down:2,4:{mutation}", "--save", target)
    assert result.code == 0, result.err
    saved = dict(AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).named_parameters())
    base = dict(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).named_parameters())
    assert saved.keys() == base.keys()
    changed = "model.layers.1.mlp.down_proj.weight"
    for name, wild in base.items():
        if name != changed:
            assert torch.equal(saved[name], wild), name
    expected = base[changed].detach().clone()
    expected[32:48, 64:80] = expected.max() if mutation == "max" else 0.0
    assert torch.equal(saved[changed], expected)
    assert not torch.equal(saved[changed], base[changed])

    # and it says what the record says
    tokenizer = AutoTokenizer.from_pretrained(target)
    inputs = tokenizer("Once upon a time:", return_tensors="pt")
    network: Any = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
    torch.manual_seed(0)
    tokens = inputs.input_ids
    sequence = network.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample=True, max_new_tokens=6
    )
    record = ScreenData(screened).texts().filter(layer=1, kind="down", row=2, col=4, mutation=mutation)
    assert tokenizer.decode(sequence[0]) == record["text"][0]


def test_show_works_on_what_the_screen_was_told_to_accept(cli, tmp_path):
    """Pickled weights, and a generation config that transformers would not accept from a user."""
    folder = tiny_model(tmp_path / "model", "llama", generation={"top_k": 3, "do_sample": False})
    network = AutoModelForCausalLM.from_pretrained(folder)
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    (tmp_path / "assay.yaml").write_text("prompt: x\nmax_new_tokens: 3\n")
    options = ["--model", folder, "--assay", tmp_path / "assay.yaml", "--kinds", "q", "--tile", 48]
    result = cli("screen", *options, "--allow-pickle", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    refused = cli("show", tmp_path / "out", "0.q:0,0:max", "--check")
    assert refused.code == 2
    assert "--allow-pickle" in refused.err
    target = tmp_path / "saved"
    result = cli("show", tmp_path / "out", "0.q:0,0:max", "--check", "--save", target, "--allow-pickle")
    assert result.code == 0, result.err
    saved = AutoModelForCausalLM.from_pretrained(target).model.layers[0].self_attn.q_proj.weight
    assert (saved == network.model.layers[0].self_attn.q_proj.weight.max()).all()
    assert json.loads((target / "generation_config.json").read_text())["top_k"] == 3


def test_models_lists_the_alias(cli):
    result = cli("models")
    assert result.code == 0
    assert "smollm2-135m: SmolLM2-135M-Instruct" in result.out


def test_help_names_every_verb(cli):
    result = cli("--help")
    assert result.code == 0
    for verb in ("screen", "status", "export", "genome", "map", "show", "models"):
        assert re.search(rf"\b{verb}\b", result.out)
