"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun in singular or plural.

    >>> counted(1, "locus", "loci"), counted(2000, "mutant")
    ('1 locus', '2,000 mutants')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
