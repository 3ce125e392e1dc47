"""``mutascope panel``: from a screen to a panel stored with it, and the page of a mutant."""

from __future__ import annotations

import re

import polars as pl
import pytest

from builders import choice_model
from mutascope import ScreenData
from mutascope.analysis.selection import parse_selection, select_mutants
from mutascope.assays.panel import read_panel
from mutascope.core.schema import MUTANT_KEY
from mutascope.findings import ScreenSet
from mutascope.findings.writers import writers


@pytest.fixture(scope="module")
def llama_dir(tmp_path_factory):
    return choice_model(tmp_path_factory.mktemp("models") / "m")


@pytest.fixture
def screened(cli, llama_dir, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("assay: {prompt: 'Say <b>:', seed: 0, max_length: 30, temperature: 0.7}\n")
    out = tmp_path / "s"
    done = cli(
        *("screen", spec, "--model", llama_dir, "--out", out, "--tile", 8, "--kinds", "v,down"),
        *("--sample", 8, "--engine", "reference"),
    )
    assert done.code == 0, done.err
    return out


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("Tell me\nSay <b>:\n\nA cat & a dog\n")
    return path


def test_a_panel_is_stored_with_its_screen(cli, screened, prompts, tmp_path):
    select = "distinct phenotypes, at most 1 NSM each, at most 3 NSMs"
    options = ("--prompts", prompts, "--max-length", 30, "--select", select)
    done = cli("panel", screened, *options)
    assert done.code == 0, done.err
    chosen = select_mutants(ScreenData(screened).records(), parse_selection(select))
    assert f"all {len(chosen)} outputs on the screen's own prompt equal the screen's" in done.out
    panel = ScreenData(screened / "panel")
    coordinates = [*MUTANT_KEY]
    assert panel.records().select(coordinates).equals(chosen.select(coordinates))
    assert panel.finished
    assert panel.folder.outputs()["prompt"].to_list() == [0, 1, 2] * len(chosen)
    again = cli("panel", screened, *options)
    assert again.code == 0
    assert panel.manifest == ScreenData(screened / "panel").manifest
    other = cli("panel", screened, *options, "--seed", 1)
    assert other.code == 2
    assert "holds another screen" in other.err

    name = "{layer}.{kind}:{row},{col}:{mutation}".format(**chosen.row(0, named=True))
    page = tmp_path / "page.html"
    assert cli("show", screened, name, "--page", page).code == 0
    html = page.read_text()
    assert "Say &lt;b&gt;:" in html
    assert "A cat &amp; a dog" in html
    assert "<b>" not in html
    assert not re.search(r"(src|href)=", html)
    assert html.count("<tr") == 4
    shown = cli("show", screened / "panel", name)
    assert "of 3 outputs differ" in shown.out
    found = writers(ScreenSet([screened, screened / "panel"]))
    assert len(found) == len(chosen)


def test_a_panel_of_one_prompt_is_a_panel(cli, screened, tmp_path):
    (tmp_path / "one.txt").write_text("Say <b>:\n")
    run = ("--prompts", tmp_path / "one.txt", "--max-length", 30, "--select", "at most 2 NSMs")
    done = cli("panel", screened, *run)
    assert (done.code, "equal the screen's" in done.out) == (0, True), done.err
    panel = ScreenData(screened / "panel")
    assert panel.manifest.assay.type == "panel"
    assert ScreenData(screened).manifest.assay.type == "text"
    name = "{layer}.{kind}:{row},{col}:{mutation}".format(**panel.records().row(0, named=True))
    assert "1 of 1 outputs differ" in cli("show", screened / "panel", name).out
    page = tmp_path / "page.html"
    assert cli("show", screened / "panel", name, "--page", page).code == 0
    assert page.read_text().count("<tr") == 2
    again = cli("panel", screened / "panel", *run, "--out", tmp_path / "again")
    assert (again.code, "no outputs to compare" in again.out) == (0, True), again.err
    told = cli("export", screened / "panel", "--format", "authors", "--out", tmp_path / "files")
    assert (told.code, "is a panel of prompts" in told.err) == (2, True)
    assert not (tmp_path / "files").exists()


def test_an_output_that_differs_from_the_screen_is_reported(cli, screened, prompts):
    shard = next((screened / "records").glob("*.parquet"))
    frame = pl.read_parquet(shard).with_columns(phenotype=pl.lit("0" * 32), silent=pl.lit(False))
    frame.write_parquet(shard)
    done = cli("panel", screened, "--prompts", prompts, "--max-length", 30)
    assert done.code == 2
    assert "differ from the screen's" in done.err


@pytest.mark.parametrize(
    "options, says",
    [
        (("--select", "some of them"), "the selection 'some of them' has no clause"),
        (("--prompts", "nowhere.txt"), "the prompts nowhere.txt cannot be read"),
        (("--max-length", "5"), "leave room to generate within max_length 5"),
    ],
)
def test_bad_options_are_one_sentence(cli, screened, options, says):
    done = cli("panel", screened, *options)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (screened / "panel").exists()


def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"\xef\xbb\xbfTell me\r\n\r\nSay\r\n")
    assert [text for _, text in read_panel(str(path))] == ["Tell me", "Say"]


def test_only_line_feeds_end_a_prompt(tmp_path):
    path = tmp_path / "prompts.txt"
    prompts = ["a\u2028b", "c\x0cd", "e\x85f", "g\x1dh", "i\x0bj"]
    path.write_bytes("\r\n".join(prompts).encode())
    assert [text for _, text in read_panel(str(path))] == prompts


@pytest.mark.parametrize("batch", [0, -3])
def test_a_batch_holds_a_row(cli, tmp_path, batch):
    done = cli("panel", tmp_path, "--batch", batch)
    assert (done.code, "equal to 1" in done.err, "Traceback" in done.err) == (2, True, False), done.err


def test_the_built_in_panel():
    rows = read_panel("writers")
    assert len(rows) == 151
    assert rows[0] == ("drosophila", "The life cycle of Drosophila:")
    genres = [genre for genre, _ in rows]
    assert genres == ["drosophila", *["literary"] * 100, *["factual"] * 50]
    assert len({text for _, text in rows}) == 151
