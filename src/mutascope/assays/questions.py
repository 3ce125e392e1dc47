"""Multiple-choice questions: from a folder, a file, a Hub dataset, or built in."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from mutascope.assays.question_files import READERS, read_rows
from mutascope.assays.question_folders import read_folder, subjects_of
from mutascope.assays.question_rows import Question, keyed, row_of
from mutascope.core.errors import MutascopeError

GENERAL = "general"
"""Name of the built-in questions."""
_BUILT_IN = Path(__file__).parent / "data"
_SUBJECTS = {GENERAL: "general_knowledge"}


@dataclass(frozen=True)
class Questions:
    """Questions of one subject: solved ``examples``, and those that are asked."""

    subject: str | None
    examples: tuple[Question, ...]
    asked: tuple[Question, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """Letters of the choices of the question that has most."""
        return tuple(ascii_uppercase[: max(len(question.choices) for question in self.asked)])


def load_subjects(source: str, subject: str | None = None, shots: int = 5) -> tuple[Questions, ...]:
    """Return the questions of a source by subject: of a folder, where none is named, all subjects by name.

    Args:
        source: as of :func:`load_questions`.
        subject: the only one.
        shots: number of solved examples of each.

    Raises:
        MutascopeError: as of :func:`load_questions`.
    """
    if pools_subjects(source, subject):
        return tuple(load_questions(source, each, shots) for each in subjects_of(Path(source)))
    return (load_questions(source, subject, shots),)


def pools_subjects(source: str, subject: str | None) -> bool:
    """Return whether the questions of a source are those of all subjects of a folder."""
    return subject is None and os.path.isdir(source)


def load_questions(source: str, subject: str | None = None, shots: int = 5) -> Questions:
    """Return the questions of a source.

    Args:
        source: ``general`` (built in); a folder of files by subject (:mod:`mutascope.assays.question_folders`), such as
            the MMLU release; a CSV, TSV, JSON, JSON Lines or Parquet file with question, choices (a list, or columns
            A, B, ...) and answer; or a dataset of the Hub with the columns of ``cais/mmlu``.
        subject: which one, of a folder or a dataset; of a file, what its questions are about.
        shots: number of solved examples. A file's first questions serve as such, and are not asked.

    Raises:
        MutascopeError: for a missing file, subject, column or network, a damaged row, or a key that can be read in two
            ways.
    """
    path = Path(source)
    if source in _SUBJECTS:
        named = subject or _SUBJECTS[source]
        found = Questions(named, *read_folder(_BUILT_IN, named, shots))
    elif os.path.isdir(source):  # False, not an error, for a name that no file can have
        if subject is None:
            raise MutascopeError(f"{source} holds questions by subject: say which with --subject")
        found = Questions(subject, *read_folder(path, subject, shots))
    elif path.suffix.lower() in READERS:
        questions = keyed(read_rows(path))
        found = Questions(subject, questions[:shots], questions[shots:])
    elif not os.path.exists(source) and source.count("/") == 1 and not source.startswith((".", "/")):
        examples, asked = _read_hub(source, subject)
        found = Questions(subject, examples[:shots], asked)
    else:
        raise MutascopeError(
            f"{source or 'an empty name'} is no source of questions: give a folder of files by subject, a file"
            f" ({', '.join(READERS)}), a dataset of the Hub, or {GENERAL!r}"
        )
    if not found.asked:
        told = f"{source}{f', subject {subject},' if os.path.isdir(source) else ''}"
        raise MutascopeError(f"{told} holds no question besides {len(found.examples)} examples")
    return found


def _read_hub(name: str, subject: str | None) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    instead = f"give --questions a folder of files by subject, a file, or {GENERAL!r}"
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
    except ValueError as error:  # what datasets raises for a configuration or a split that does not exist
        raise MutascopeError(
            f"{name} has no subject {subject!r} with the parts dev and test: {str(error).splitlines()[0]}"
        ) from error
    except Exception as error:  # its errors for a missing network have no common base
        raise MutascopeError(
            f"{name} cannot be fetched ({type(error).__name__}: {str(error).partition(chr(10))[0][:200]});"
            f" {instead}"
        ) from error
    examples, asked = (
        keyed([row_of(row, f"{name}, {subject}, {part} {number}") for number, row in enumerate(rows)])
        for part, rows in parts.items()
    )
    return examples, asked
