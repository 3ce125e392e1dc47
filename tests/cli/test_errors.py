"""Bad input, each told in one sentence on standard error, exit code 2, without a traceback or a file written."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from refusals import ASSAY, check_refused, tree
from transformers import AutoModelForCausalLM

from builders import config_only, copy_model


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def refused(cli, llama_folder, tmp_path):
    """Runs ``mutascope screen`` on the tiny Llama with changed options; it must be refused and write nothing."""
    (tmp_path / "short.yaml").write_text(ASSAY)  # what is not refused after all is over soon

    def run(*words: str, **options: object) -> str:
        base = {"model": llama_folder, "assay": tmp_path / "short.yaml", "tile": 48, "out": "out"}
        chosen = {key: value for key, value in {**base, **options}.items() if value is not None}
        before = tree(), sorted(Path().iterdir())
        result = cli("screen", *(w for key, value in chosen.items() for w in (f"--{key}", value)))
        assert (tree(), sorted(Path().iterdir())) == before
        return check_refused(result, *words)

    return run


# model


def test_unknown_model_names_the_nearest_alias(refused):
    refused("unknown model 'smolm2-135m'", "did you mean 'smollm2-135m'", model="smolm2-135m")


def test_a_missing_folder_is_an_unknown_model(refused):
    refused("unknown model './nowhere'", "no folder", model="./nowhere")


def test_a_folder_that_is_not_a_model(refused, tmp_path):
    refused("is not a model: the folder has no config.json", model=tmp_path)


def test_a_folder_with_a_config_alone(refused, tmp_path):
    refused("it has a config.json but no *.safetensors", model=config_only(tmp_path / "empty", "llama"))


def test_a_config_that_is_not_json(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "bad")
    (folder / "config.json").write_text("{not json")
    refused(str(folder), "cannot be loaded", model=folder)


def test_a_config_of_an_unknown_architecture(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "bad")
    (folder / "config.json").write_text('{"model_type": "novel"}')
    refused("cannot be loaded", "novel", model=folder)


def test_a_model_that_is_no_causal_language_model(refused, tmp_path, llama_folder):
    from transformers import ViTConfig

    folder = copy_model(llama_folder, tmp_path / "vit")
    ViTConfig().save_pretrained(folder)
    refused("cannot be loaded as a causal language model", model=folder)


def test_truncated_weights(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    refused("cannot be loaded", model=folder)


def test_weights_that_lack_a_matrix(refused, tmp_path, llama_folder):
    """transformers fills in random numbers for what is missing: no basis for a screen."""
    from safetensors.torch import load_file, save_file

    folder = copy_model(llama_folder, tmp_path / "holes")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused("model.layers.1.mlp.down_proj.weight", model=folder)


def test_a_model_without_a_tokenizer(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "mute")
    for path in folder.glob("*token*"):
        path.unlink()
    refused("cannot be loaded", model=folder)


@pytest.fixture
def pickled_folder(tmp_path, llama_folder) -> Path:
    folder = copy_model(llama_folder, tmp_path / "pickled")
    network = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    return folder


def test_pickled_weights_are_refused_unless_asked_for(refused, pickled_folder, cli):
    refused("no safetensors weights, only pytorch_model.bin", "--allow-pickle", model=pickled_folder)
    Path("assay.yaml").write_text(ASSAY)
    options = ["--assay", "assay.yaml", "--sample", 1, "--out", "out"]
    result = cli("screen", "--model", pickled_folder, "--allow-pickle", *options)
    assert result.code == 0, result.err


def test_code_that_comes_with_a_model_is_not_run(refused, tmp_path, llama_folder, cli):
    folder = copy_model(llama_folder, tmp_path / "code")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "novel.NovelConfig", "AutoModelForCausalLM": "novel.NovelModel"}
    config["model_type"] = "novel"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "novel.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    refused("brings code of its own", "--trust-remote-code", model=folder)
    check_refused(cli("genome", folder), "brings code of its own")
    assert not (tmp_path / "ran").exists()


def test_an_unknown_dtype(refused):
    refused("unknown dtype 'float31'", dtype="float31")
    refused("unknown dtype 'int8'", dtype="int8")
    refused("unknown dtype 'float8_e4m3fn'", dtype="float8_e4m3fn")


def test_a_folder_without_a_config_has_no_genome(cli, tmp_path):
    check_refused(cli("genome", tmp_path), "is not a model")
    check_refused(cli("genome", "nobody"), "unknown model 'nobody'")


# the Hub, in processes of their own: huggingface_hub reads its environment when it is imported


@pytest.mark.parametrize(
    "environment",
    [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}],
    ids=["told to be offline", "unreachable"],
)
def test_a_hub_id_without_a_network_says_what_to_do(tmp_path, environment):
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "mutascope.cli.main", "screen", "--model", "nobody/nothing", "--out", "out"],
        env={**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert time.monotonic() - started < 60
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(
        "mutascope: nobody/nothing is neither in the local Hugging Face cache nor reachable"
    )
    assert "hf download nobody/nothing" in line
    assert "smollm2-135m" in line
    assert not Path("out").exists()


# the default model, where no source has it


@pytest.fixture
def nothing_there(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("MUTASCOPE_CACHE", str(tmp_path / "cache"))


def test_a_model_that_cannot_be_fetched_says_what_failed(nothing_there, cli, tmp_path):
    check_refused(
        cli("genome", "smollm2-135m"),
        *("smollm2-135m cannot be fetched (the Hub: ", "; pip: ", "; uv: ", "mutascope models --fetch"),
    )
    assert tree(tmp_path / "cache") == {}


def test_a_cache_that_cannot_be_made_is_named(nothing_there, cli, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MUTASCOPE_CACHE", str(tmp_path / "file" / "cache"))
    check_refused(cli("genome", "smollm2-135m"), "is not writable", "MUTASCOPE_CACHE")


# assay


def test_unknown_assay_names_the_nearest(refused):
    refused("unknown assay 'drosofila'", "did you mean 'drosophila'", assay="drosofila")


@pytest.mark.parametrize(
    "content, words",
    [
        (
            "prompt: x\nmax_length: 9\ntemprature: 1\n",
            ["unknown key 'temprature'", "did you mean 'temperature'"],
        ),
        ("prompt: x\nmax_lenght: 9\n", ["unknown key 'max_lenght'", "did you mean 'max_length'"]),
        ("prompt: x\n", ["give either max_length or max_new_tokens"]),
        ("max_length: 9\n", ["give either prompt or messages"]),
        ("prompt: x\nmax_length: 9\ngreedy: true\ntop_k: 3\n", ["greedy takes no temperature"]),
        ("prompt: x\nmax_length: 9\ntop_p: 1.5\n", ["top_p"]),
        ("prompt: x\nmax_length: nine\n", ["max_length"]),
        ("prompt: x\nmax_length: 9\ntemperature: .inf\n", ["temperature", "finite number"]),
        ("prompt: x\nmax_length: 9\ntop_p: .nan\n", ["top_p", "finite number"]),
        (
            "prompt: x\nmax_length: 9\ntemperature: 1.0e-45\n",
            ["temperature", "greater than or equal to 0.000001"],
        ),
        ("prompt: x\nmax_length: 9\ntemperature: 0\n", ["temperature", "greater than or equal to 0.000001"]),
        (f"prompt: x\nmax_length: 9\nseed: {10**26}\n", ["seed", "less than 18446744073709551616"]),
        (f"prompt: x\nmax_length: 9\nseed: -{10**26}\n", ["seed", "greater than or equal to -92233720"]),
        ("messages: [{role: user, text: x}]\nmax_length: 9\n", ["messages.0"]),
        ("- a list\n", ["must hold a mapping"]),
        ("prompt: [\n", ["is not valid YAML"]),
        ("", ["must hold a mapping"]),
        ("prompt: Once upon a time\nmax_length: 5\n", ["leaves no room to generate within max_length 5"]),
    ],
)
def test_an_assay_file_that_is_wrong(refused, content, words):
    Path("mine.yaml").write_text(content)
    refused(*words, assay="mine.yaml")


@pytest.mark.parametrize(
    "assay, kind",
    [
        ("mine.yaml", "text assay"),
        ("chat.yaml", "text assay"),
        ("drosophila", "text assay"),
        ("writers", "panel assay"),
    ],
)
def test_only_a_choice_assay_takes_questions(refused, assay, kind):
    Path("mine.yaml").write_text(ASSAY)
    Path("chat.yaml").write_text("messages: [{role: user, content: Hi}]\nmax_new_tokens: 3\n")
    refused(f"{assay} is a {kind}, which takes no questions", assay=assay, questions="q.jsonl")


def test_no_name_is_no_source_of_questions(refused):
    refused("an empty name is no source of questions", assay="general21", questions="")


def test_an_assay_file_that_is_missing_or_binary(refused):
    refused("mine.yaml cannot be read", assay="mine.yaml")
    Path("binary.yaml").write_bytes(bytes(range(256)))
    refused("binary.yaml is not valid YAML", assay="binary.yaml")


def test_chat_messages_need_a_template(refused, tmp_path, llama_folder):
    folder = copy_model(llama_folder, tmp_path / "plain")
    (folder / "chat_template.jinja").unlink()
    Path("chat.yaml").write_text("messages: [{role: user, content: Hi}]\nmax_new_tokens: 3\n")
    refused("has no chat template", assay="chat.yaml", model=folder)


# design


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kinds": "v,dwon"}, ["unknown kind 'dwon'", "q, k, v, o, gate, up, down"]),
        ({"layers": "0,3"}, ["layer 3 is out of range", "0 to 2"]),
        ({"layers": "a"}, ["'a' is not a list of numbers and ranges"]),
        ({"layers": "2-1"}, ["'2-1' is not a list of numbers and ranges"]),
        ({"tile": "0"}, ["tile must be at least 1, not 0"]),
        ({"tile": "-8"}, ["tile must be at least 1, not -8"]),
        ({"tile": "8.5"}, ["tile must be a whole number or auto"]),
        ({"rows": "0,99"}, ["row 99 is out of range", "rows 0 to 1"]),
        ({"rows": "1", "kinds": "q"}, ["row 1 is out of range"]),
        ({"rows": "1", "cols": "1"}, ["selects no mutant"]),
        ({"kinds": ","}, ["selects no mutant"]),
        ({"mutations": ","}, ["selects no mutant"]),
        ({"mutations": "mxa"}, ["unknown mutation 'mxa'", "max"]),
        ({"sample": "0"}, ["sample"]),
        ({"sample": "99999999"}, ["asks for 99999999 sites, but the region has only"]),
        ({"engine": "warp"}, ["unknown engine 'warp'"]),
    ],
    ids=str,
)
def test_an_impossible_design(refused, options, words):
    refused(*words, **options)


GOOD = "layer,kind,row,col,mutation\n0,q,0,0,max\n"


@pytest.mark.parametrize(
    "content, words",
    [
        (GOOD + "1,down,9,0,max\n", ["impossible site 1.down:9,0:max", "rows 0 to 5"]),
        (GOOD + "1,down,0,-1,max\n", ["impossible site 1.down:0,-1:max"]),
        (GOOD + "7,q,0,0,max\n", ["layer 7 is out of range"]),
        (GOOD + "1,w,0,0,max\n", ["unknown kind 'w'"]),
        (GOOD + "1,q,0,0,most\n", ["unknown mutation 'most'"]),
        (GOOD + "1,q,one,0,max\n", ["no number"]),
        (GOOD + "1,q,,0,max\n", ["empty cell"]),
        ("layer,kind,row,mutation\n0,q,0,max\n", ["no column 'col'"]),
        ("layer,kind,row,col,mutation\n", ["the list is empty"]),
        ("", ["cannot be read"]),
        (GOOD + "1,q,0\n1,q,0,0,max,9\n", ["list.csv"]),
    ],
)
def test_an_impossible_list_of_mutants(refused, content, words):
    Path("list.csv").write_text(content)
    refused(*words, mutants="list.csv", tile=8)


def test_a_list_of_mutants_that_cannot_be_read(refused):
    refused("nowhere.csv cannot be read", mutants="nowhere.csv")
    Path("fake.parquet").write_text(GOOD)
    refused("fake.parquet cannot be read", mutants="fake.parquet")
    Path("folder.csv").mkdir()
    refused("folder.csv cannot be read", mutants="folder.csv")


def test_a_list_and_a_region_exclude_each_other(refused):
    Path("list.csv").write_text(GOOD)
    refused("give no region, mutations or sample", mutants="list.csv", layers="0")


# spec file


def test_a_spec_with_a_misspelt_key_names_the_right_one(cli):
    Path("spec.yaml").write_text("model: x\nasay: drosophila\nout: out\n")
    check_refused(cli("screen", "spec.yaml"), "spec.yaml", "unknown key 'asay'", "did you mean 'assay'")


@pytest.mark.parametrize(
    "content, words",
    [
        ("sample: many\n", ["sample"]),
        ("layers: {0: 1}\n", ["layers"]),
        ("assay: {prompt: x, max_lenght: 9}\n", ["max_lenght", "did you mean 'max_length'"]),
        ("rows: [-1]\n", ["rows.0", "greater than or equal to 0"]),
        ("layers: [-1]\n", ["layer -1 is out of range"]),
        ("tile: 0\n", ["tile must be at least 1"]),
        ("model: 5\n", ["model"]),
    ],
)
def test_a_spec_that_is_wrong(cli, llama_folder, content, words):
    Path("spec.yaml").write_text(
        f"out: out\n{content}"
        + f"model: {llama_folder}\n" * ("model" not in content)
        + "tile: 48\n" * ("tile" not in content)
        + "assay: {prompt: x, max_new_tokens: 1}\n" * ("assay" not in content)
    )
    check_refused(cli("screen", "spec.yaml"), *words)
    assert not Path("out").exists()


# out folder


def test_an_out_folder_with_something_else_in_it(refused):
    Path("out").mkdir()
    (Path("out") / "thesis.tex").write_text("precious")
    refused("out exists and is not a screen folder")


def test_an_out_folder_that_is_a_file(refused):
    Path("out").write_text("")
    refused("out")


def test_an_out_folder_that_cannot_be_made(refused):
    Path("file").write_text("")
    refused("is not writable", out="file/screen")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_out_folder_without_permission(refused):
    Path("locked").mkdir(mode=0o500)
    refused("is not writable", out="locked/screen")


def test_an_unknown_url_scheme(refused):
    refused("warp://bucket/screen cannot be opened", out="warp://bucket/screen")


@pytest.mark.parametrize(
    "verb", [["status"], ["export"], ["map", "--out", "a.png"], ["show"]], ids=lambda v: v[0]
)
def test_a_folder_that_is_no_screen(cli, verb):
    name, *options = verb
    extra = ["0.q:0,0:max"] if name == "show" else []
    check_refused(cli(name, "nowhere", *extra, *options), "nowhere is not a screen folder")
    assert not tree()


def test_an_unknown_option_is_exit_code_2(cli):
    result = cli("screen", "--modle", "x")
    assert result.code == 2
    assert "Traceback" not in result.err
