"""From screens to findings: every analysis as a named table."""

from mutascope.core.errors import NotHere
from mutascope.findings import maps, outputs, patterns, predictions, writers  # noqa: F401  they register their tables
from mutascope.findings.registry import TABLES, Table, build_table
from mutascope.findings.screens import Screens
from mutascope.findings.writing import build_tables, write_tables

__all__ = ["TABLES", "NotHere", "Screens", "Table", "build_table", "build_tables", "write_tables"]
