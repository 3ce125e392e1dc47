"""Numbers and durations in sentences."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun in singular or plural.

    >>> counted(1, "locus", "loci"), counted(2000, "mutant")
    ('1 locus', '2,000 mutants')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Return a duration in the two largest units that matter, ``2 h 05 min``.

    >>> duration(125)
    '2 min 05 s'
    """
    seconds = round(seconds)
    for size, unit, part, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{seconds // size} {unit} {seconds % size // part:02d} {name}"
    return f"{seconds} s"


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded: the escapes of JSON and YAML may leave half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
