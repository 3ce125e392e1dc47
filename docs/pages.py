"""Writes the pages of the API and, from the list of findings, of tables and figures, as ``conf.py`` asks for them.

The tables are made of small made-up screens, so that every column is shown with its type.
"""

import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))
sys.path.insert(0, str(DOCS))

from api import api_page  # noqa: E402

from mutascope.findings import ScreenSet, build_tables, documented, figures  # noqa: E402
from stores import SHAPES, random_records, write_every_assay, write_null, write_predicted, write_with_zero  # noqa: E402

TABLES = """# Tables

Every table that `mutascope analyze` writes, with the meaning and type of each column; the same text is written beside
the tables. Every table says in its column `model` which model a row is of, whether one is given or several. In tables
with a column per screen, the names are those of the screens: here drosophila, newton, mmlu21 and say. The formulas are
in [statistics.md](statistics.md).

"""
FIGURES = """# Figures

Every figure that `mutascope figures` writes, as PDF and PNG; `--only NAME` draws one, `--palette colourblind` in
colours that everybody can tell apart. In brackets, the figure of the paper that it is the counterpart of.

| name | what it shows |
| --- | --- |
"""


def tables_page() -> str:
    """Return the dictionary of all tables, in Markdown.

    Raises:
        TypeError: when a table cannot be made of the small screens.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folders = [
            *write_every_assay(root).values(),
            write_with_zero(root / "say"),
            write_predicted(root / "guessed"),
            write_null(root / "null", random_records(2, SHAPES)),
        ]
        return TABLES + "\n".join(documented(*made) for made in build_tables(ScreenSet(folders)))


def figures_page() -> str:
    """Return the list of all figures, in Markdown."""
    return FIGURES + "".join(f"| `{name}` | {figure.description} |\n" for name, figure in figures().items())


def write_pages() -> None:
    """Write the pages among those of the reference; they are not kept in git."""
    for name, page in {"api": api_page, "tables": tables_page, "figures": figures_page}.items():
        (DOCS / "reference" / f"{name}.md").write_text(page(), encoding="utf-8")
