"""The one list of findings: tables, figures, the report and the documentation iterate over it.

It holds every :class:`Finding` that a module of this package defines. To add one, define it: nothing else is needed.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from mutascope import findings
from mutascope.core.genome import check_name
from mutascope.findings.finding import Drawing, Finding

_ORDER = (
    *("rates", "maps", "comparison", "bias", "lines", "covariates", "copa", "lowrank", "predictions"),
    *("severity", "strangest", "choice", "malignant", "writers", "outputs"),
)
"""Modules in the order of the report; others follow by name, and then those on how it was made."""
_LAST = ("screened", "controls")


@cache
def all_findings() -> tuple[Finding, ...]:
    """Return every finding, in the order of the report."""
    modules = sorted(module.name for module in iter_modules(findings.__path__))
    others = [name for name in modules if name not in (*_ORDER, *_LAST)]
    return tuple(finding for name in (*_ORDER, *others, *_LAST) for finding in _defined(name))


def _defined(name: str) -> list[Finding]:
    """The findings of a module, without those that it imports."""
    module = import_module(f"{findings.__name__}.{name}")
    found = [value for value in vars(module).values() if isinstance(value, Finding)]
    return [
        finding for finding in found if finding.table is None or finding.table.__module__ == module.__name__
    ]


def tables() -> dict[str, Finding]:
    """Return the findings with a table, by name."""
    return {finding.name: finding for finding in all_findings() if finding.table}


def figures() -> dict[str, Drawing]:
    """Return all figures by name."""
    return {finding.figure.name: finding.figure for finding in all_findings() if finding.figure}


def table_named(name: str) -> Finding:
    """Return the finding with the table of this name; raise MutascopeError when there is none."""
    check_name("table", name, list(tables()))
    return tables()[name]


def figure_named(name: str) -> Drawing:
    """Return the figure of this name; raise MutascopeError when there is none."""
    check_name("figure", name, list(figures()))
    return figures()[name]
