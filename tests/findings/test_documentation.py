"""The pages that list tables and figures are those of the registries.

To write them anew after a change: MUTASCOPE_WRITE_DOCS=1 pytest tests/findings/test_documentation.py
"""

import os
from pathlib import Path

import polars as pl
import pytest

from mutascope.figures.registry import FIGURES
from mutascope.findings import TABLES, Screens, write_tables
from stores import SHAPES, random_records, write_screen

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLES_HEAD = """# Tables

Every table that `mutascope analyze` writes, with the meaning and type of each column; the same text is written beside
the tables. In tables with a column per assay, the names are those of the screens: here drosophila, newton, mmlu21 and
say. The formulas are in [statistics.md](statistics.md).

"""
FIGURES_HEAD = """# Figures

Every figure that `mutascope figures` writes, as PDF and PNG; `--only NAME` draws one, `--palette colourblind` in
colours that everybody can tell apart. In brackets, the figure of the paper that it is the counterpart of.

| name | what it shows |
| --- | --- |
"""


@pytest.fixture(scope="module")
def dictionary(folders, predicted, tmp_path_factory) -> str:
    """What ``mutascope analyze`` says of screens that can make every table."""
    root = tmp_path_factory.mktemp("documented")
    drawn = random_records(2, SHAPES, 2)
    zero = drawn.filter(mutation="max").with_columns(mutation=pl.lit("zero"))
    say = write_screen(root / "say", pl.concat([drawn, zero]), name="say")
    write_tables(Screens([*folders.values(), say, predicted]), root / "out", tell=lambda line: None)
    return (root / "out" / "README.md").read_text()


def check(page: Path, wanted: str) -> None:
    if os.environ.get("MUTASCOPE_WRITE_DOCS"):
        page.write_text(wanted)
    assert page.read_text() == wanted, f"{page.name} is not up to date: see the head of this test"


def test_the_data_dictionary_documents_every_table(dictionary):
    sections = dictionary[dictionary.index("## ") :]
    assert "Left out" not in sections
    assert [line[3:] for line in sections.splitlines() if line.startswith("## ")] == list(TABLES)
    check(DOCS / "tables.md", TABLES_HEAD + sections.rstrip() + "\n")


def test_every_figure_is_documented():
    rows = [f"| `{figure.name}` | {figure.description} |" for figure in FIGURES.values()]
    check(DOCS / "figures.md", FIGURES_HEAD + "\n".join(rows) + "\n")
