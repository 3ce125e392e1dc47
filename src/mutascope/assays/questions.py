"""Multiple-choice questions: from a folder, a file, a Hub dataset, or built in."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from mutascope.core.errors import MutascopeError, nearest

GENERAL = "general"
"""Name of the built-in questions."""
_BUILT_IN = Path(__file__).parent / "data"
_SUBJECTS = {GENERAL: "general_knowledge"}


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
class Questions:
    """Questions of one subject: solved ``examples``, and those that are asked; all have as many choices."""

    subject: str | None
    examples: tuple[Question, ...]
    asked: tuple[Question, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """Letters of the choices."""
        return tuple(ascii_uppercase[: len(self.asked[0].choices)])


def load_questions(source: str, subject: str | None = None, shots: int = 5) -> Questions:
    """Return the questions of a source.

    Args:
        source: ``general`` (built in); a folder in the layout of the MMLU release; a CSV file with the columns
            question, A, B, ..., answer; a JSON Lines file with question, choices, answer; or a dataset of the Hub
            with the columns of ``cais/mmlu``.
        subject: which one, of a folder or a dataset; of a file, what its questions are about.
        shots: number of solved examples. A file's first questions serve as such, and are not asked.

    Raises:
        MutascopeError: for a missing file, subject, column or network, a damaged row, or questions with different
            numbers of choices.
    """
    path = Path(source)
    if source in _SUBJECTS:
        examples, asked = _read_folder(_BUILT_IN, subject or _SUBJECTS[source])
        found = Questions(subject or _SUBJECTS[source], examples[:shots], asked)
    elif os.path.isdir(source):  # False, not an error, for a name that no file can have
        if subject is None:
            raise MutascopeError(f"{source} holds questions by subject: say which with --subject")
        examples, asked = _read_folder(path, subject)
        found = Questions(subject, examples[:shots], asked)
    elif path.suffix in (".csv", ".jsonl"):
        rows = _read_file(path)
        found = Questions(subject, rows[:shots], rows[shots:])
    elif not os.path.exists(source) and source.count("/") == 1 and not source.startswith((".", "/")):
        examples, asked = _read_hub(source, subject)
        found = Questions(subject, examples[:shots], asked)
    else:
        raise MutascopeError(
            f"{source or 'an empty name'} is no source of questions: give a folder in the MMLU layout, a .csv or .jsonl"
            f" file, a dataset of the Hub, or {GENERAL!r}"
        )
    return _checked(found, source)


def _checked(found: Questions, source: str) -> Questions:
    if not found.asked:
        raise MutascopeError(f"{source} holds no question besides {len(found.examples)} examples")
    counts = {len(question.choices) for question in (*found.examples, *found.asked)}
    if len(counts) > 1:
        raise MutascopeError(
            f"the questions of {source} have {min(counts)} to {max(counts)} choices: all must have as many"
        )
    return found


def _read_folder(folder: Path, subject: str) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """Read ``dev/SUBJECT_dev.csv`` and ``test/SUBJECT_test.csv``: no header; question, choices, key."""
    known = sorted(path.name.removesuffix("_test.csv") for path in folder.glob("test/*_test.csv"))
    if not known:
        raise MutascopeError(
            f"{folder} is not in the layout of the MMLU release: it has no test/SUBJECT_test.csv"
        )
    if subject not in known:
        raise MutascopeError(f"{folder} has no subject {subject!r}; {nearest(subject, known)}")
    parts = []
    for part in ("dev", "test"):
        path = folder / part / f"{subject}_{part}.csv"
        parts.append(
            tuple(_question(row[0], row[1:-1], row[-1], where) for where, row in _read_csv_rows(path))
        )
    return parts[0], parts[1]


def _read_file(path: Path) -> tuple[Question, ...]:
    if path.suffix == ".jsonl":
        return tuple(_read_json_rows(path))
    rows = _read_csv_rows(path)
    _, columns = next(rows, ("", []))
    twice = [name for name in columns if name and columns.count(name) > 1]
    if twice:
        raise MutascopeError(
            f"{path} names the column {twice[0]!r} twice: its header must name each one once"
        )
    letters = [letter for letter in ascii_uppercase if letter in columns]
    missing = [name for name in ("question", "answer", "A", "B") if name not in columns]
    if missing or letters != list(ascii_uppercase[: len(letters)]):
        name = missing[0] if missing else next(x for x in ascii_uppercase if x not in letters)
        raise MutascopeError(
            f"{path} has no column {name!r}: its header must name question, the choices A, B, ..., and answer"
        )
    return tuple(_named_question(columns, cells, letters, where) for where, cells in rows)


def _named_question(columns: list[str], cells: list[str], letters: list[str], where: str) -> Question:
    if len(cells) > len(columns):
        raise MutascopeError(
            f"{where} has {len(cells)} cells, and the header names {len(columns)}: put a cell with a comma in quotes"
        )
    row = dict(zip(columns, cells, strict=False))
    return _question(row.get("question"), [row.get(letter) for letter in letters], row.get("answer"), where)


def _read_csv_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows that are not blank, each after what an error calls it."""
    number = 0
    try:
        for number, row in enumerate(csv.reader(io.StringIO(_text(path), newline="")), 1):
            if len(row) > 1 or "".join(row).strip():
                yield f"{path}, row {number}", row
    except csv.Error as error:
        raise MutascopeError(f"{path}, row {number + 1} cannot be read: {error}") from error


def _read_json_rows(path: Path) -> Iterator[Question]:
    for number, line in enumerate(_text(path).split("\n"), 1):  # splitlines would cut inside texts
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise MutascopeError(f"{where} is not JSON: {error}") from error
        except RecursionError as error:
            raise MutascopeError(f"{where} is no question: its lists are nested too deeply") from error
        yield _question_of(row, where)


def _read_hub(name: str, subject: str | None) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    instead = f"give --questions a folder in the MMLU layout, a file, or {GENERAL!r}"
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise MutascopeError(
            f"questions from the Hub ({name}) need the package datasets (pip install 'mutascope[hub]'); or {instead}"
        ) from error
    if subject is None:
        raise MutascopeError(f"{name} holds questions by subject: say which with --subject")
    try:
        parts = {part: list(datasets.load_dataset(name, subject, split=part)) for part in ("dev", "test")}
    except ValueError as error:  # what datasets raises for a configuration that does not exist
        raise MutascopeError(f"{name} has no subject {subject!r}: {str(error).splitlines()[0]}") from error
    except Exception as error:  # its errors for a missing network have no common base
        raise MutascopeError(
            f"{name} cannot be fetched ({type(error).__name__}: {str(error).partition(chr(10))[0][:200]});"
            f" {instead}"
        ) from error
    examples, asked = (
        tuple(_question_of(row, f"{name}, {subject}, {part} {number}") for number, row in enumerate(rows))
        for part, rows in parts.items()
    )
    return examples, asked


def _question_of(row: Any, where: str) -> Question:
    """Return the question in a mapping with question, choices and answer (a letter, or an index from 0)."""
    missing = [n for n in ("question", "choices", "answer") if not isinstance(row, Mapping) or n not in row]
    if missing:
        raise MutascopeError(f"{where} has no {missing[0]!r}: it must have question, choices and answer")
    choices, answer = row["choices"], row["answer"]
    if isinstance(choices, str) or not isinstance(choices, Sequence):
        raise MutascopeError(f"{where}: choices must be a list of texts")
    letters = ascii_uppercase[: len(choices)]
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(letters):
        answer = letters[answer]
    return _question(row["question"], choices, answer, where)


def _question(text: Any, choices: Sequence[Any], key: Any, where: str) -> Question:
    if len(choices) > len(ascii_uppercase):
        raise MutascopeError(
            f"{where} has {len(choices)} choices: there are letters for {len(ascii_uppercase)}"
        )
    told = [text, *choices]
    if len(choices) < 2 or any(cell is None or cell == "" for cell in (*told, key)):
        raise MutascopeError(f"{where} is no question with two choices or more and a key: a cell is missing")
    if not isinstance(text, str) or any(not isinstance(choice, (str, int, float)) for choice in choices):
        raise MutascopeError(f"{where} is no question: it must be a text, and its choices texts or numbers")
    if any(not str(cell).strip() for cell in told):
        raise MutascopeError(f"{where} is no question: a cell holds only blanks")
    if any(not _is_unicode(str(cell)) for cell in told):
        raise MutascopeError(f"{where} holds half of a surrogate pair, which is no text")
    letters = ascii_uppercase[: len(choices)]
    if not (isinstance(key, str) and len(key.strip()) == 1 and key.strip() in letters):
        raise MutascopeError(
            f"{where} has the key {reprlib.repr(key)}, which is outside its choices {letters[0]} to {letters[-1]}"
        )
    return Question(text, tuple(map(str, choices)), key.strip())


def _is_unicode(text: str) -> bool:
    """Whether a text can be encoded: the escapes of JSON may leave half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MutascopeError(f"the questions {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MutascopeError(f"the questions {path} are not UTF-8 text") from error
    except ValueError as error:  # a NUL in the name
        raise MutascopeError(f"the questions {str(path)!r} cannot be read: {error}") from error
