"""The sentences of the report, each with the place on the map that it speaks of, told while they are found."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from mutascope.core.errors import MutascopeError
from mutascope.explorer.shapes import PagesIndex, Placed, Refused, Section, Sentence
from mutascope.findings import ScreenSet
from mutascope.findings.sentences import sentences

_LOCUS = re.compile(r"\b\d+\.[a-z](?:[\w.-]*\w)?")
_LINE = re.compile(r"\b(Row|Column) (\d+) of ([a-z](?:[\w.-]*\w)?)")
_AXES = {"Row": "row", "Column": "col"}
Found = tuple[str, str, Sequence[str]]
"""Name, title and sentences of a section."""


class Place(Protocol):
    """A screen of an atlas: what it is called, and its loci."""

    @property
    def label(self) -> str:
        """What it is called."""
        ...

    @property
    def index(self) -> PagesIndex:
        """What it is, with its ``loci``."""
        ...


def findings(found: Iterable[Found], screens: Sequence[Place]) -> Iterator[bytes]:
    """Yield lines of JSON: the sentences of a section as soon as they are found.

    A line has ``name``, ``section`` and ``sentences``, each with ``sentence``, and ``screen``, ``locus`` and ``line``
    that it speaks of, which are null where it speaks of none, or of several screens. The last line may be ``refused``:
    why no more comes.

    Args:
        found: name, title and sentences of every section.
        screens: of the atlas, by number.
    """
    try:
        for name, title, said in found:
            placed = [Sentence(sentence=sentence, **place_of(sentence, screens)) for sentence in said]
            yield _line(Section(name=name, section=title, sentences=placed))
    except MutascopeError as error:
        yield _line(Refused(refused=str(error)))


def found_here(open_set: Callable[[], ScreenSet]) -> Iterator[Found]:
    """Yield name, title and sentences of every section on the screens that are opened."""
    yield from ((section.name, section.title, said) for section, said in sentences(open_set()))


def place_of(sentence: str, screens: Sequence[Place]) -> Placed:
    """Return what a sentence names: ``screen`` (number), ``locus`` and ``line`` (such as ``row,12,v``).

    They are null where it names none, or several screens.
    """
    named, rest = [], sentence
    for number, screen in sorted(enumerate(screens), key=lambda item: -len(item[1].label)):
        rest, times = re.subn(rf"(?<!\w){re.escape(screen.label)}(?!\w)", "", rest)
        named += [number] if times else []
    number = named[0] if len(named) == 1 else 0 if len(screens) == 1 else None
    known = set() if number is None else {locus["name"] for locus in screens[number].index["loci"]}
    loci = [name for name in _LOCUS.findall(sentence) if name in known]
    line = _LINE.search(rest)
    return {
        "screen": number,
        "locus": loci[0] if loci else None,
        "line": f"{_AXES[line[1]]},{line[2]},{line[3]}" if line else None,
    }


def _line(told: Section | Refused) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


class Told:
    """Lines that are made once, however many ask for them, and can be read while they are made."""

    def __init__(self, making: Iterator[bytes]) -> None:
        self._making, self._lines, self._turn = making, list[bytes](), threading.Lock()

    def __iter__(self) -> Iterator[bytes]:
        place = 0
        while True:
            with self._turn:
                if place == len(self._lines):
                    line = next(self._making, None)
                    if line is None:
                        return
                    self._lines.append(line)
            yield self._lines[place]
            place += 1
