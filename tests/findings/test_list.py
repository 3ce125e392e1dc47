"""The one list of findings: a file more makes a table, a figure, a section and a page of the documentation."""

import subprocess
import sys
from pathlib import Path

import pytest
from pages import figures_page, tables_page

from mutascope import findings
from mutascope.findings import ScreenSet, all_findings, build_table, draw_figure, write_figures, write_tables
from mutascope.report import report_html
from stores import records_of, write_screen

TOY = """
import polars as pl

from mutascope import figures
from mutascope.findings import Drawing, Finding, Section
from mutascope.findings.blocks import Figures, Rows
from mutascope.findings.columns import columns, share
from mutascope.findings.screens import once, stack


@once
def toy(given):
    return stack(given.maps, lambda label: given.maps[label].select(odd=(pl.col("row") % 2).mean(), toys=pl.len()))


def draw(given, palette):
    counts = toy(given).select(layer=0, kind=pl.lit("toy"), nsm="toys", phenotypes="toys")
    yield "", figures.layers_figure({"toy": counts}, title="Toys", palette=palette)


def blocks(given):
    yield Rows("toy", "Toys by screen", "assay odd toys")
    yield Figures("toys", "All toys.")


def sentences(given):
    yield f"There are {toy(given)['toys'].sum()} toys."


FINDINGS = (
    Finding(
        "toy",
        "Toys of every screen.",
        toy,
        columns(odd=share("share of odd rows"), toys="number of toys"),
        Drawing("toys", "toys by layer", draw),
        Section("toys", "Toys", blocks, sentences),
    ),
)
"""


@pytest.fixture
def with_toy(tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "toys.py").write_text(TOY)
    monkeypatch.setattr(findings, "__path__", [*findings.__path__, str(tmp_path / "package")])
    all_findings.cache_clear()
    yield ScreenSet([write_screen(tmp_path / "say", records_of({(0, "v"): "+-#.\n..#."}))])
    sys.modules.pop("mutascope.findings.toys", None)
    all_findings.cache_clear()


@pytest.mark.usefixtures("unpainted")
def test_one_file_makes_a_table_a_figure_a_section_and_documentation(with_toy, tmp_path):
    assert build_table(with_toy, "toy")["toys"].to_list() == [16]
    assert list(draw_figure(with_toy, "toys")) == [""]
    write_tables(with_toy, tmp_path / "tables", tell=lambda line: None)
    assert (tmp_path / "tables" / "toy.csv").read_text() == "model,assay,odd,toys\ntiny,say,0.5,16\n"
    write_figures(with_toy, tmp_path / "figures", tell=lambda line: None, only=["toys"])
    assert (tmp_path / "figures" / "toys.png").exists()
    page = report_html(with_toy)
    for words in (
        "There are 16 toys.",
        '<section id="toys">',
        '<th scope="col" class="n" title="share of odd rows">odd, %</th>',
        '<td class="n">50.0</td>',
        "All toys.",
    ):
        assert words in page, words
    assert "| odd | Float64 | share of odd rows |" in tables_page()
    assert "| `toys` | toys by layer |" in figures_page()


def test_names_are_given_once():
    names = [finding.name for finding in all_findings() if finding.table]
    figures = [finding.figure.name for finding in all_findings() if finding.figure]
    sections = [finding.section.name for finding in all_findings() if finding.section]
    for each in (names, figures, sections):
        assert len(each) == len(set(each))


def test_tables_need_neither_matplotlib_nor_torch(tmp_path):
    folder = write_screen(tmp_path / "say", records_of({(0, "v"): "+-#.\n..#."}))
    code = (
        "import sys; from mutascope.findings import ScreenSet, write_tables;"
        f"write_tables(ScreenSet([{str(folder)!r}]), {str(tmp_path / 'out')!r}, lambda line: None);"
        "assert not {'matplotlib', 'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_know_no_screens():
    drawn = Path(findings.__file__).parents[1] / "figures"
    for file in drawn.glob("*.py*"):
        told = file.read_text()
        assert "mutascope.findings" not in told, file.name
        assert "mutascope.store" not in told, file.name
