"""``mutascope analyze`` and ``mutascope figures`` through the command line."""

import polars as pl
import pytest

from mutascope.findings import table_named
from stores import records_of, write_screen


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    drawn = {(0, "v"): "+-#.\n..#.\n+-.#", (0, "gate"): "+-\n-+\n#."}
    return write_screen(tmp_path_factory.mktemp("verbs") / "s", records_of(drawn, ["fly", "a larva"]))


def test_analyze_writes_csv_parquet_and_a_dictionary_that_agree(cli, folder, tmp_path):
    out = tmp_path / "deep" / "tables"
    result = cli("analyze", folder, "--out", out)
    assert result.code == 0, result.err
    assert "nsm_by_kind: 2 rows" in result.out
    assert "overlap: left out, it takes two screens or more" in result.out
    dictionary = pl.read_csv(out / "dictionary.csv")
    written = {path.stem for path in out.glob("*.parquet")}
    assert set(dictionary["table"]) == written
    assert {path.stem for path in out.glob("*.csv")} == written | {"dictionary"}
    readme = (out / "README.md").read_text()
    for name in written:
        frame = pl.read_parquet(out / f"{name}.parquet")
        assert dictionary.filter(table=name)["column"].to_list() == frame.columns
        assert (out / f"{name}.csv").read_text().splitlines()[0] == ",".join(frame.columns)
        assert f"## {name}\n\n{table_named(name).description}" in readme
    assert "- `overlap`: it takes two screens or more." in readme
    counts = pl.read_csv(out / "nsm_by_kind.csv")
    assert counts.select("kind", "nsm").rows() == [("v", 10), ("gate", 6)]


def test_analyze_leaves_other_files_alone_and_replaces_its_own(cli, folder, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "nsm_total.csv").write_text("old")
    assert cli("analyze", folder, "--out", tmp_path).code == 0
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (tmp_path / "nsm_total.csv").read_text().startswith("model,assay,")


def check_refused(result, words):
    assert result.code == 2, result
    (line,) = result.err.strip().splitlines()
    assert line.startswith("mutascope: ")
    assert words in line


@pytest.mark.parametrize("verb", ["analyze", "figures"])
def test_bad_input_is_told_in_one_sentence(cli, folder, tmp_path, verb):
    check_refused(cli(verb, tmp_path / "nowhere", "--out", tmp_path / "o"), "is not a screen folder")
    check_refused(cli(verb, tmp_path, "--out", tmp_path / "o"), "is not a screen folder")
    check_refused(cli(verb, folder, folder, "--out", tmp_path / "o"), "is given twice")
    assert not (tmp_path / "o").exists()
    (tmp_path / "file").write_text("")
    check_refused(cli(verb, folder, "--out", tmp_path / "file"), "is a file: choose a folder for --out")
    check_refused(cli(verb, folder, "--out", tmp_path / "file" / "in"), "cannot be made")


def test_figures_draws_what_it_is_asked_for(cli, folder, tmp_path):
    result = cli(
        "figures", folder, "--out", tmp_path, "--only", "nsm_by_kind, copa", "--palette", "colourblind"
    )
    assert result.code == 0, result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "copa.pdf",
        "copa.png",
        "nsm_by_kind.pdf",
        "nsm_by_kind.png",
    ]
    assert (tmp_path / "copa.pdf").read_bytes().startswith(b"%PDF")


def test_labels_that_differ_in_signs_alone_get_files_of_their_own(cli, tmp_path):
    names = ("a b", "a_b", "A b")
    folders = [
        f"{name}={write_screen(tmp_path / str(number), records_of({(0, 'v'): '+-'}))}"
        for number, name in enumerate(names)
    ]
    result = cli("figures", *folders, "--out", tmp_path / "o", "--only", "sheet")
    assert result.code == 0, result.err
    assert sorted(path.name for path in (tmp_path / "o").glob("*.png")) == [
        "sheet_A_b_3.png",
        "sheet_a_b.png",
        "sheet_a_b_2.png",
    ]


def test_figures_refuses_unknown_names_and_what_the_screens_lack(cli, folder, tmp_path):
    out = tmp_path / "o"
    check_refused(cli("figures", folder, "--out", out, "--only", "coppa"), "did you mean 'copa'?")
    check_refused(cli("figures", folder, "--out", out, "--palette", "grey"), "unknown palette 'grey'")
    result = cli("figures", folder, "--out", out, "--only", "overlap,copa,malignant")
    check_refused(
        result, "the figure overlap cannot be drawn: it takes two screens or more; the figure malignant"
    )
    assert sorted(path.name for path in out.iterdir()) == ["copa.pdf", "copa.png"]


def test_a_map_in_the_other_palette(cli, folder, tmp_path):
    assert cli("map", folder, "--layer", 0, "--kind", "v", "--out", tmp_path / "a.png").code == 0
    other = ("--palette", "colourblind")
    assert cli("map", folder, "--layer", 0, "--kind", "v", "--out", tmp_path / "b.png", *other).code == 0
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
