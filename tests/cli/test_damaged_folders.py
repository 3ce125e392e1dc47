"""Damaged screen folders, and verbs that are asked for what a screen does not hold: one sentence each."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from refusals import ASSAY, check_refused, tree


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture(scope="module")
def screened(tmp_path_factory, llama_folder) -> Path:
    """A finished screen of three units."""
    from mutascope import Design, Screen, TextAssay

    out = tmp_path_factory.mktemp("screened") / "screen"
    assay = TextAssay(name="assay", prompt="Once upon a time:", max_new_tokens=4)
    Screen(str(llama_folder), assay, Design(layers=(0,), kinds=("v",)), tile=9, engine="reference").run(
        out, quiet=True
    )
    return out


@pytest.fixture
def damaged(screened) -> Path:
    shutil.copytree(screened, "screen")
    return Path("screen")


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def flip(content: bytes) -> bytes:
    data = np.frombuffer(content, dtype=np.uint8).copy()
    middle = len(data) // 4  # within the pages: the second half of so small a file is the footer
    data[middle : middle + 8] ^= 0xFF
    return data.tobytes()


def screen_again(cli, llama_folder):
    Path("assay.yaml").write_text(ASSAY)
    options = [
        "--assay",
        "assay.yaml",
        "--layers",
        0,
        "--kinds",
        "v",
        "--tile",
        9,
        "--out",
        "screen",
        "--engine",
        "reference",
    ]
    return cli("screen", "--model", llama_folder, *options)


@pytest.mark.parametrize("kind", ["records", "phenotypes"])
@pytest.mark.parametrize("damage", [truncate, empty, flip])
def test_a_damaged_shard_is_named_and_deleting_its_records_runs_it_again(
    cli, damaged, screened, llama_folder, kind, damage
):
    shard = damaged / kind / "000001.parquet"
    shard.write_bytes(damage(shard.read_bytes()))
    before = tree(damaged)
    sentence = check_refused(screen_again(cli, llama_folder))
    assert f"screen/{kind}/000001.parquet is damaged" in sentence
    assert "delete screen/records/000001.parquet" in sentence
    assert tree(damaged) == before
    result = cli("export", damaged, "--out", "table.csv")
    assert result.code == 2
    assert f"screen/{kind}/000001.parquet is damaged" in result.err
    assert not Path("table.csv").exists()

    (damaged / "records" / "000001.parquet").unlink()
    result = screen_again(cli, llama_folder)
    assert result.code == 0, result.err
    for name in ("records", "phenotypes"):
        assert pl.read_parquet(damaged / name).equals(pl.read_parquet(screened / name))


def test_every_flipped_byte_of_a_shard_is_noticed_or_harmless(damaged, screened):
    """The checksums of pages and the footer's own structure leave no silent change of a record."""
    from mutascope import MutascopeError, ScreenData

    expected = ScreenData(screened).texts()
    for kind in ("records", "phenotypes"):
        shard = damaged / kind / "000000.parquet"
        content = shard.read_bytes()
        messages = []
        for position in range(0, len(content), 13):
            shard.write_bytes(
                content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :]
            )
            try:
                changed = ScreenData(damaged).texts()
            except MutascopeError as error:
                messages.append(str(error))
            else:
                assert changed.equals(expected), f"byte {position} of {kind} changed the records in silence"
        assert len(messages) > 20
        assert all(f"{kind}/000000.parquet is damaged" in message for message in messages)
        shard.write_bytes(content)


def test_a_shard_of_another_size_is_damaged(cli, damaged, llama_folder):
    (damaged / "records" / "000001.parquet").write_bytes(
        (damaged / "records" / "000002.parquet").read_bytes()
    )
    assert "records instead of" in check_refused(screen_again(cli, llama_folder))


def test_a_shard_without_its_texts_is_damaged(cli, damaged, llama_folder):
    (damaged / "phenotypes" / "000001.parquet").unlink()
    assert "phenotypes/000001.parquet is damaged" in check_refused(screen_again(cli, llama_folder))


def test_a_shard_that_does_not_belong_is_named(cli, damaged, llama_folder):
    shutil.copy(damaged / "records" / "000001.parquet", damaged / "records" / "000077.parquet")
    assert "000077.parquet does not belong to this screen" in check_refused(screen_again(cli, llama_folder))


@pytest.mark.parametrize(
    "content, words",
    [
        ("", ["manifest.json is damaged"]),
        ("{", ["manifest.json is damaged"]),
        ("[]", ["manifest.json is damaged"]),
        ("{}", ["manifest.json is damaged"]),
        ('{"format_version": 3}', ["format version 3", "reads up to 2"]),
        ('{"format_version": 1}', ["manifest.json is damaged"]),
    ],
)
def test_a_damaged_manifest_is_named(cli, damaged, content, words):
    (damaged / "manifest.json").write_text(content)
    check_refused(cli("status", damaged), *words)


# reading verbs


def test_show_of_what_is_no_mutant_or_not_there(cli, screened):
    check_refused(cli("show", screened, "0.v"), "'0.v' is not a mutant", "15.down:3,7:max")
    check_refused(cli("show", screened, "0.q:0,0:max"), "holds no record of 0.q:0,0:max")
    check_refused(cli("show", screened, "0.v:0,0:maximum"), "holds no record of 0.v:0,0:maximum")


def test_show_does_not_write_into_a_folder_that_is_not_empty(cli, screened):
    Path("full").mkdir()
    (Path("full") / "a").write_text("a")
    result = cli("show", screened, "0.v:0,0:max", "--save", "full")
    assert result.code == 2
    assert "full is not an empty folder" in result.err
    assert list(tree()) == ["full/a"]
    Path("file").write_text("")
    assert cli("show", screened, "0.v:0,0:max", "--save", "file").code == 2


def test_a_map_of_what_was_not_screened(cli, screened):
    check_refused(cli("map", screened, "--layer", 2, "--kind", "v", "--out", "a.png"), "no locus 2.v")
    check_refused(cli("map", screened, "--layer", 2, "--out", "a.png"), "give both --layer and --kind")
    check_refused(cli("map", screened, "--silence", "--out", "a.png"), "no chance of silence")
    check_refused(cli("map", screened, "--silence", "--tokens", "--out", "a.png"), "not by both")
    check_refused(cli("map", screened, "--out", "a.docx"), "docx")
    check_refused(cli("map", screened, "--out", "nowhere/a.png"), "nowhere")
    assert not tree()


def test_an_export_that_cannot_be_written(cli, screened):
    check_refused(cli("export", screened, "--format", "xlsx"), "unknown format 'xlsx'")
    check_refused(cli("export", screened, "--out", "nowhere/a.csv"), "nowhere/a.csv cannot be written")
    check_refused(
        cli("export", screened, "--format", "parquet", "--out", "nowhere/a.parquet"), "cannot be written"
    )
    assert not tree()
