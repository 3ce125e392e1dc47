"""The one list of findings: tables, figures, the report and the documentation iterate over it.

A finding is added by a module of this package that has ``FINDINGS``, a tuple of them. Nothing else is to be changed.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from mutascope import findings
from mutascope.core.genome import check_name
from mutascope.findings.finding import Drawing, Finding

_ORDER = (
    *(
        "rates",
        "evenness",
        "maps",
        "fragile",
        "tokens",
        "seeds",
        "comparison",
        "bias",
        "lines",
        "apart",
        "covariates",
        "copa",
        "copa_pairs",
        "null",
        "lowrank",
        "predictions",
        "baselines",
    ),
    *("severity", "strangest", "choice", "malignant", "severe_maps", "subjects"),
    *("writers", "writer_maps", "profiles", "genres", "outputs"),
)
"""Modules in the order of the report; others follow by name, and then those on how it was made."""
_LAST = ("screened", "controls")


@cache
def all_findings() -> tuple[Finding, ...]:
    """Return every finding, in the order of the report."""
    modules = sorted(module.name for module in iter_modules(findings.__path__))
    found = {name: getattr(import_module(f"{findings.__name__}.{name}"), "FINDINGS", ()) for name in modules}
    others = [name for name in modules if name not in (*_ORDER, *_LAST)]
    return tuple(finding for name in (*_ORDER, *others, *_LAST) for finding in found[name])


def tables() -> dict[str, Finding]:
    """Return the findings with a table, by name."""
    return {finding.name: finding for finding in all_findings() if finding.table}


def figures() -> dict[str, Drawing]:
    """Return all figures by name."""
    return {finding.figure.name: finding.figure for finding in all_findings() if finding.figure}


def table_named(name: str) -> Finding:
    """Return the finding with the table of this name.

    Raises:
        MutascopeError: when there is none.
    """
    check_name("table", name, list(tables()))
    return tables()[name]


def figure_named(name: str) -> Drawing:
    """Return the figure of this name.

    Raises:
        MutascopeError: when there is none.
    """
    check_name("figure", name, list(figures()))
    return figures()[name]
