"""Which mutants of a screen are looked at again, in words (METHOD, Writer panel).

A selection is clauses separated by commas, in any order:

- ``distinct phenotypes``: NSMs by phenotype, in design order; ``all NSMs``: every one;
- ``at most 3 NSMs each``: of every phenotype the first so many in design order;
- ``at most 50 phenotypes``: the first so many;
- ``at most 20 NSMs``: the first so many of what the other clauses leave.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from mutascope.core.errors import MutascopeError

PAPER = "distinct phenotypes, at most 3 NSMs each"
"""Who goes on the writer panel (METHOD)."""

_CLAUSES = {
    "whole": re.compile(r"(distinct phenotypes|all nsms)"),
    "each": re.compile(r"at most 0*([0-9]+) nsms? each"),
    "phenotypes": re.compile(r"at most 0*([0-9]+) phenotypes?"),
    "nsms": re.compile(r"at most 0*([0-9]+) nsms?"),
}
_DIGITS = 18
"""Of a limit; one of more is no limit anyway, and cutting it keeps it in 64 bits."""


@dataclass(frozen=True)
class Selection:
    """Limits of a selection, None where there is none."""

    each: int | None = None
    phenotypes: int | None = None
    nsms: int | None = None


def parse_selection(words: str) -> Selection:
    """Return the limits that a selection states.

    Raises:
        MutascopeError: for a clause that is none, or stands twice.
    """
    found: dict[str, str] = {}
    for clause in words.lower().split(","):
        told = " ".join(clause.split())
        match = next(
            ((name, hit) for name, pattern in _CLAUSES.items() if (hit := pattern.fullmatch(told))), None
        )
        if match is None or match[0] in found:
            raise MutascopeError(
                f"the selection {words!r} has {'no' if match is None else 'twice a'} clause"
                f" {clause.strip()!r}: clauses are {PAPER!r}, 'at most 50 phenotypes', 'at most 20 NSMs', 'all NSMs'"
            )
        found[match[0]] = match[1].group(1)
    limits = {name: int(number[:_DIGITS]) for name, number in found.items() if name != "whole"}
    if 0 in limits.values():
        raise MutascopeError(f"the selection {words!r} selects nothing: a limit is 0")
    return Selection(**limits)


def select_mutants(records: pl.DataFrame, selection: Selection) -> pl.DataFrame:
    """Return the records that a selection takes, in design order.

    Args:
        records: columns silent, phenotype and others, in design order.
        selection: the limits.
    """
    nsms = records.filter(~pl.col("silent"))
    if selection.phenotypes is not None:
        first = nsms["phenotype"].unique(maintain_order=True).head(selection.phenotypes)
        nsms = nsms.filter(pl.col("phenotype").is_in(first.implode()))
    if selection.each is not None:
        nsms = nsms.filter(pl.int_range(pl.len()).over("phenotype") < selection.each)
    return nsms if selection.nsms is None else nsms.head(selection.nsms)
