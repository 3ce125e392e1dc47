"""The registry of tables: what each is called, says, and is made by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps

import polars as pl

from mutascope.core.errors import NotHere
from mutascope.core.genome import check_name
from mutascope.findings.meanings import MEANINGS
from mutascope.findings.screens import Screens


@dataclass(frozen=True)
class Table:
    """A table of findings.

    Attributes:
        name: of the files it is written to.
        description: one or two sentences.
        build: makes it from screens, once; raises NotHere where they cannot make it.
        columns: meanings of columns that mean something else than elsewhere.
    """

    name: str
    description: str
    build: Callable[[Screens], pl.DataFrame]
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)

    def meaning(self, column: str) -> str:
        """Return what a column of this table means."""
        for names, meaning in ((self.columns, column), (MEANINGS, column)):
            if meaning in names:
                return names[meaning]
        return self.columns["*"]


TABLES: dict[str, Table] = {}
"""All tables by name, in the order in which they are written."""

Builder = Callable[[Screens], pl.DataFrame]


def table(name: str, description: str, **columns: str) -> Callable[[Builder], Builder]:
    """Register the decorated function as a table; ``columns`` override meanings."""

    def register(build: Builder) -> Builder:
        @wraps(build)
        def once(given: Screens) -> pl.DataFrame:
            return given.once(name, lambda: build(given))

        TABLES[name] = Table(name, description, once, columns)
        return once

    return register


def wide_table(name: str, description: str, meaning: str) -> Callable[[Builder], Builder]:
    """Register a table with columns named after assays, which all have one ``meaning``."""
    return table(name, description, **{"*": meaning})


def build_table(given: Screens, name: str) -> pl.DataFrame:
    """Return a table by name (docs/tables.md lists them).

    Raises:
        NotHere: when these screens cannot make it; says what it takes.
        MutascopeError: for an unknown name, or damaged data.
    """
    check_name("table", name, list(TABLES))
    return TABLES[name].build(given)


def need(present: object, sentence: str) -> None:
    """Raise NotHere with the sentence when ``present`` is empty or false."""
    if not present:
        raise NotHere(sentence)
