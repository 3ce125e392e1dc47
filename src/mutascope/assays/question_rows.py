"""Questions from the rows of files and datasets, which name and key their choices in many ways.

A row has a text, choices, and a key. What a file leaves open (do its numbers count from 0 or from 1, is ``A`` a letter
or the text of a choice) is decided over all of its rows, and refused where these do not decide it.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import takewhile
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from mutascope.core.errors import MutascopeError
from mutascope.core.words import is_unicode

TEXTS = ("question", "question_stem", "stem", "input")
KEYS = ("answer", "answerkey", "answer_index", "answer_idx", "target")
LISTS = ("choices", "options")
"""What fields of a row are called, in lower case."""
_BESIDE = ("passage", "article", "context", "paragraph", "image")
"""What a question may be about; it would not be asked."""
_LETTER_COLUMN = re.compile(r"(?:(?:option|choice)[ _])?([a-z])")
_LETTERED_KEY = re.compile(r"\(?([A-Za-z])[).]?")
_NUMBER = re.compile(r"(\d{1,2})(?:\.0+)?")


@dataclass(frozen=True)
class Question:
    """A question with its choices, which are lettered from A, and the letter of the right one."""

    text: str
    choices: tuple[str, ...]
    key: str

    def asked(self) -> str:
        """Return the question as it is put to a model (METHOD, Multiple-choice assay)."""
        lettered = zip(ascii_uppercase, self.choices, strict=False)
        return "".join((self.text, *(f"\n{letter}. {choice}" for letter, choice in lettered), "\nAnswer:"))


@dataclass(frozen=True)
class Row:
    """A row as it was read.

    Attributes:
        where: what an error calls it.
        text: of the question.
        choices: without those at the end that are missing.
        labels: of the choices, where the file gives them any.
        key: as it is written; a number counts from 0.
        others: what else the file states as the key.
    """

    where: str
    text: str
    choices: tuple[str, ...]
    labels: tuple[str, ...]
    key: str | int
    others: tuple[str | int, ...] = ()

    @property
    def letters(self) -> str:
        """Letters of the choices."""
        return ascii_uppercase[: len(self.choices)]

    @property
    def number(self) -> int | None:
        """The number that the key is as a text, where it is one and no label."""
        match = _NUMBER.fullmatch(self.key) if isinstance(self.key, str) else None
        return int(match.group(1)) if match and self.label is None else None

    @property
    def label(self) -> int | None:
        """The place of the choice whose label is the key, as it is written or as a letter."""
        named = [_plain(label) for label in self.labels]
        return named.index(_plain(str(self.key))) if _plain(str(self.key)) in named else None

    @property
    def letter(self) -> str | None:
        """The letter of a choice that the key is, as in ``B``, ``b`` and ``(B)``."""
        found = _plain(self.key) if isinstance(self.key, str) else ""
        return found if len(found) == 1 and found in self.letters else None

    @property
    def places(self) -> list[int]:
        """Places of the choices whose text is the key, from 0."""
        return [place for place, choice in enumerate(self.choices) if choice.strip() == self.key]


def column_of(name: str) -> str:
    """Return the name of a column in lower case, the letter alone of one with choices (``A``, ``option_a``).

    >>> column_of(" Option C")
    'c'
    """
    plain = name.strip().lower()
    match = _LETTER_COLUMN.fullmatch(plain)
    return match.group(1) if match else plain


def _plain(key: str) -> str:
    """Return the letter of a key such as ``b``, ``(B)`` and ``B.``; another one as it is."""
    match = _LETTERED_KEY.fullmatch(key)
    return match.group(1).upper() if match else key


def row_of(fields: Any, where: str) -> Row:
    """Return the row that a mapping states.

    Raises:
        MutascopeError: for a field that is missing, or not what it must be.
    """
    if not isinstance(fields, Mapping):
        raise MutascopeError(f"{where} has no 'question': it must have question, choices and answer")
    named = _named(fields, where)
    nested = named.get("question")
    if isinstance(nested, Mapping):  # as in the release of ARC
        named |= {"question": nested.get("stem"), "choices": nested.get("choices")}
    told, given, key = (_first(named, names) for names in (TEXTS, LISTS, KEYS))
    lettered = [*takewhile(named.__contains__, ascii_lowercase)]
    if told is None or key is None or not (given or lettered):
        missing = "question" if told is None else "answer" if given or lettered else "choices"
        raise MutascopeError(f"{where} has no {missing!r}: it must have question, choices and answer")
    choices, labels = _choices(named[given], where) if given else ([named[name] for name in lettered], [])
    row = make_row(named[told], choices, named[key], where, labels)
    others = [value for name in KEYS if name != key and not _is_missing(value := named.get(name))]
    return replace(row, others=tuple(_key(value, row.letters, where) for value in others))


def _named(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the fields of a row by what they are called; refuse one that is there twice, and what is not asked."""
    names = [column_of(str(name)) for name in fields]
    known = {*TEXTS, *KEYS, *LISTS, *ascii_lowercase}
    twice = next((name for name in names if name in known and names.count(name) > 1), None)
    if twice:
        raise MutascopeError(f"{where} has {twice!r} twice: it must name each field once")
    named = dict(zip(names, fields.values(), strict=True))
    beside = next((name for name in _BESIDE if not _is_missing(named.get(name))), None)
    if beside:
        raise MutascopeError(
            f"{where} has {beside!r} beside the question, which would not be asked: write it into the question"
        )
    return named


def make_row(text: Any, choices: Sequence[Any], key: Any, where: str, labels: Sequence[Any] = ()) -> Row:
    """Return a row; choices that are missing at its end are not there.

    Raises:
        MutascopeError: for what is not a question with two choices or more and a key.
    """
    if all(map(_is_missing, labels)):
        labels = ()
    elif len(labels) != len(choices):
        raise MutascopeError(f"{where} has {len(choices)} choices and {len(labels)} labels")
    last = max((place for place, choice in enumerate(choices) if not _is_missing(choice)), default=-1)
    choices, labels = choices[: last + 1], labels[: last + 1]
    if len(choices) > len(ascii_uppercase):
        raise MutascopeError(
            f"{where} has {len(choices)} choices: there are letters for {len(ascii_uppercase)}"
        )
    told = [text, *choices]
    if len(choices) < 2 or any(map(_is_missing, (*told, key))):
        raise MutascopeError(f"{where} is no question with two choices or more and a key: a cell is missing")
    if not isinstance(text, str) or any(not isinstance(choice, (str, int, float)) for choice in choices):
        raise MutascopeError(f"{where} is no question: it must be a text, and its choices texts or numbers")
    if any(not str(cell).strip() for cell in told):
        raise MutascopeError(f"{where} is no question: a cell holds only blanks")
    if any(not is_unicode(str(cell)) for cell in told):
        raise MutascopeError(f"{where} holds half of a surrogate pair, which is no text")
    if len({_plain(str(label)) for label in labels}) < len(labels):
        raise MutascopeError(f"{where} labels two choices alike: {reprlib.repr(list(labels))}")
    stated = _key(key, ascii_uppercase[: len(choices)], where)
    return Row(where, text, tuple(map(str, choices)), tuple(str(label).strip() for label in labels), stated)


def _key(key: Any, letters: str, where: str) -> str | int:
    """Return a key as text or whole number; tables hold whole numbers as floats where one is missing."""
    if isinstance(key, float | Decimal) and key == key // 1:
        return int(key)
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise MutascopeError(_outside(key, letters, where))
    return key.strip() if isinstance(key, str) else key


def keyed(rows: Sequence[Row]) -> tuple[Question, ...]:
    """Return the questions of the rows of one file, each with the letter of the right choice.

    Raises:
        MutascopeError: for a key that is no choice, or one that can be read in two ways.
    """
    numbers = [(row, row.number) for row in rows if row.number is not None and not row.labels]
    from_0 = any(number == 0 for _, number in numbers)
    from_1 = any(number == len(row.choices) for row, number in numbers)
    first = 0 if from_0 else 1 if from_1 else None
    by_text = any(_is_a_text(row) for row in rows)
    return tuple(_question(row, first, by_text=by_text) for row in rows)


def _question(row: Row, first: int | None, *, by_text: bool) -> Question:
    found = _places(row, first, by_text=by_text)
    if not found:
        raise MutascopeError(_outside(row.key, row.letters, row.where))
    if len(found) > 1:
        could = " or ".join(row.letters[place] for place in sorted(found))
        raise MutascopeError(f"{row.where} has the key {reprlib.repr(row.key)}, which could be {could}")
    for other in row.others:
        if not found & _places(replace(row, key=other), first, by_text=by_text):
            raise MutascopeError(
                f"{row.where} has the keys {reprlib.repr(row.key)} and {reprlib.repr(other)}, which are two choices"
            )
    return Question(row.text, row.choices, row.letters[found.pop()])


def _is_a_text(row: Row) -> bool:
    """Whether the key can be nothing but the text of a choice."""
    return bool(row.places) and not row.labels and row.letter is None and row.number is None


def _places(row: Row, first: int | None, *, by_text: bool) -> set[int]:
    """Return the places of the choices that the key can be, from 0.

    Args:
        row: with the key.
        first: what the numbers among the keys of the file count from, where it is known.
        by_text: keys of the file are texts of choices.
    """
    if row.label is not None:
        return {row.label}
    if isinstance(row.key, int):
        return {row.key} & {*range(len(row.choices))}
    found = set(row.places)
    if row.letter and not (by_text and found):
        return {row.letters.index(row.letter)}
    if row.letter:
        found.add(row.letters.index(row.letter))
    if row.number is not None:
        found |= {row.number - start for start in ((0, 1) if first is None else (first,))}
    return found & {*range(len(row.choices))}


def _first(named: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the first of some names that a row has; of tables that were joined, the first with a value."""
    there = [name for name in names if name in named]
    return next((name for name in there if not _is_missing(named[name])), there[0] if there else None)


def _choices(given: Any, where: str) -> tuple[list[Any], list[Any]]:
    """Return the choices of a list, and their labels where it has them: a list of texts or of objects with text and
    label, an object of two such lists, or one with a choice under each label.
    """
    if isinstance(given, str):
        given = _json_list(given, where)
    if isinstance(given, Mapping) and "text" in given:
        return _list(given["text"], where), _list(given.get("label") or [], where)
    if isinstance(given, Mapping):
        return list(given.values()), list(given)
    given = _list(given, where)
    if given and all(isinstance(each, Mapping) and {*each} >= {"text", "label"} for each in given):
        return [each["text"] for each in given], [each["label"] for each in given]
    return given, []


def _list(given: Any, where: str) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise MutascopeError(f"{where}: choices must be a list of texts")
    return list(given)


def _json_list(text: str, where: str) -> Any:
    """Return the list in a cell of a table."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise MutascopeError(
            f"{where}: choices must be a list of texts, written as JSON, or stand in columns A, B, ..."
        ) from error
    except RecursionError as error:
        raise MutascopeError(f"{where} is no question: its lists are nested too deeply") from error


def _outside(key: Any, letters: str, where: str) -> str:
    return (
        f"{where} has the key {reprlib.repr(key)}, which is outside its choices {letters[0]} to {letters[-1]}"
    )


def _is_missing(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))
