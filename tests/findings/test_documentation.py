"""The pages that list tables and figures are made from the list of findings."""

import re

import pytest
from pages import figures_page, tables_page

from mutascope.findings import figures, tables


@pytest.fixture(scope="module")
def page() -> str:
    return tables_page()


def test_every_table_is_documented_with_its_columns(page):
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == list(tables())
    assert (
        "| rate | Float64 | share of NSMs, each locus weighted by its sites where sites were sampled |"
        in page
    )
    assert "Left out" not in page


def test_every_p_of_a_table_has_its_q(page):
    for section in page.split("\n## ")[1:]:
        names = re.findall(r"^\| (\w+) \|", section, re.MULTILINE)
        for name in names:
            if name not in ("least_p", "top_p", "min_p") and "p" in name.split("_"):
                corrected = "_".join("q" if part == "p" else part for part in name.split("_"))
                assert corrected in names, section.partition("\n")[0]


def test_every_figure_is_documented():
    page = figures_page()
    for name, figure in figures().items():
        assert f"| `{name}` | {figure.description} |" in page
