"""From screens to findings: every analysis as a named table."""

from mutascope.findings import maps, outputs, patterns, writers  # noqa: F401  they register their tables
from mutascope.findings.registry import TABLES, NotHere, Table
from mutascope.findings.screens import Screens
from mutascope.findings.writing import build_tables, write_tables

__all__ = ["TABLES", "NotHere", "Screens", "Table", "build_tables", "write_tables"]
