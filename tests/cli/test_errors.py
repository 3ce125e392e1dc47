"""Bad input, each told in one sentence on standard error, exit code 2, without a traceback or a file written."""

import os
from pathlib import Path

import pytest
from refusals import ASSAY, check_refused, tree

from builders import copy_model

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")


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


def test_a_spec_with_a_number_for_a_key_is_refused(cli):
    Path("spec.yaml").write_text("model: x\n9: drosophila\nout: out\n")
    check_refused(cli("screen", "spec.yaml"), "spec.yaml: unknown key 9; known are: ")


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
