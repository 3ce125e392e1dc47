"""From screens to findings: named tables, figures and sections of the report, in one list."""

from mutascope.findings.finding import Drawing, Finding, Section
from mutascope.findings.list import all_findings, figure_named, figures, table_named, tables
from mutascope.findings.screens import ScreenSet, open_many
from mutascope.findings.writing import (
    build_table,
    build_tables,
    documented,
    draw_figure,
    write_figures,
    write_tables,
)

__all__ = [
    "Drawing",
    "Finding",
    "ScreenSet",
    "Section",
    "all_findings",
    "build_table",
    "build_tables",
    "documented",
    "draw_figure",
    "figure_named",
    "figures",
    "open_many",
    "table_named",
    "tables",
    "write_figures",
    "write_tables",
]
