"""Every table and figure that docs/paper.md names for a panel of the paper is there under that name."""

import re
from pathlib import Path

import pytest

from mutascope.findings import figures, tables

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "paper.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and line.count("|") == 5 and not line.startswith(("| ---", "| paper"))
]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


@pytest.mark.parametrize("panel, shown, told, drawn", ROWS, ids=[row[0] for row in ROWS])
def test_every_name_of_the_page_is_there(panel, shown, told, drawn):
    assert set(names(told)) <= set(tables()), panel
    assert set(names(drawn)) <= set(figures()), panel


def test_every_figure_that_says_its_panel_stands_on_the_page():
    drawn = {name for row in ROWS for name in names(row[3])}
    counterparts = {
        name for name, figure in figures().items() if re.search(r"\(.*\d.*\)$", figure.description)
    }
    assert counterparts <= drawn


def test_all_panels_of_the_paper_are_listed():
    listed = " ".join(row[0] for row in ROWS)
    for panel in (
        "1a",
        "1b",
        "1c",
        "1d",
        "1e",
        "2a",
        "3a",
        "3c",
        "3d",
        "4a",
        "4d",
        "5a",
        "5c",
        "5d",
        "6a",
        "6b",
        "6c",
        "6d",
    ):
        assert panel in listed, panel
    for number in range(1, 7):
        assert f"Figure {number}" in listed
    for number in range(1, 4):
        assert f"Table {number}" in listed
