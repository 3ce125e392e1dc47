"""``mutascope report`` through the command line."""

import pytest

from stores import records_of, write_screen


@pytest.fixture
def folder(tmp_path):
    return write_screen(tmp_path / "say", records_of({(0, "v"): "+-#.\n..#."}))


def test_it_writes_one_file_and_says_what_came_out(cli, folder, tmp_path):
    out = tmp_path / "deep" / "report.html"
    result = cli("report", folder, "--out", out)
    assert result.code == 0, result.err
    assert "say: 6 of 16 mutants are NSMs (rate 37.5 %" in result.out
    assert f"{out}: 0." in result.out
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    assert out.read_text().startswith("<!doctype html>")


def test_the_palette_changes_the_pictures(cli, folder, tmp_path):
    for palette in ("paper", "colourblind"):
        assert cli("report", folder, "--out", tmp_path / f"{palette}.html", "--palette", palette).code == 0
    assert (tmp_path / "paper.html").read_text() != (tmp_path / "colourblind.html").read_text()


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize(
    "out, words",
    [(".", "is a folder: choose a file for --out"), ("say/manifest.json/report.html", "cannot be written")],
)
def test_a_place_that_cannot_be_written_is_one_sentence(cli, folder, tmp_path, out, words):
    result = cli("report", folder, "--out", tmp_path / out)
    assert result.code == 2
    (line,) = result.err.strip().splitlines()
    assert words in line


def test_no_screen_and_no_record_are_one_sentence(cli, folder, tmp_path):
    for given, words in ((tmp_path, "is not a screen folder"), (folder, "holds no record yet")):
        if given == folder:
            next((folder / "records").iterdir()).unlink()
        result = cli("report", given, "--out", tmp_path / "r.html")
        assert result.code == 2
        assert words in result.err
        assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("verb", ["report", "analyze", "figures"])
def test_damaged_data_end_every_verb_with_one_sentence(cli, folder, tmp_path, verb):
    (folder / "covariates.parquet").write_bytes(b"no parquet")
    result = cli(verb, folder, "--out", tmp_path / "out")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "covariates.parquet is damaged" in result.err
