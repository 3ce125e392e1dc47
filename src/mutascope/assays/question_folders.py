"""Folders of questions, a file per subject: the MMLU release, and plain folders of files.

Where there are files ``SUBJECT_test``, in ``test/`` as in the MMLU release or in the folder itself, these are asked,
and the examples are those of ``SUBJECT_dev`` in ``dev/``, or beside them; in ``test/`` and ``dev/`` a file may be
called after its subject alone. Otherwise every file is a subject, and its first questions serve as examples. A CSV file
may lack a header, as those of the MMLU release do.
"""

from __future__ import annotations

from pathlib import Path

from mutascope.assays.question_files import READERS, read_bare_rows
from mutascope.assays.question_rows import Question, keyed
from mutascope.core.errors import MutascopeError, nearest

_ASKED, _SOLVED = "_test", "_dev"


def subjects_of(folder: Path) -> list[str]:
    """Return the subjects of a folder, by name.

    Raises:
        MutascopeError: when it holds no file of questions, or two of one subject.
    """
    return sorted(_asked_files(folder))


def read_folder(folder: Path, subject: str, shots: int) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """Return the first ``shots`` examples of a subject, and the questions that are asked.

    Raises:
        MutascopeError: for an unknown subject, a missing file, a damaged row, or a key that can be read in two ways.
    """
    known = _asked_files(folder)
    if subject not in known:
        raise MutascopeError(f"{folder} has no subject {subject!r}; {nearest(subject, sorted(known))}")
    questions = keyed(read_bare_rows(known[subject]))
    solved = _solved_file(folder, known[subject])
    if solved is None:
        return questions[:shots], questions[shots:]
    examples = keyed(read_bare_rows(solved)) if shots else ()
    return examples[:shots], questions


def _asked_files(folder: Path) -> dict[str, Path]:
    """The files that are asked, by subject."""
    beneath = folder / "test"
    files = [
        path for path in sorted((beneath if beneath.is_dir() else folder).glob("*")) if _is_readable(path)
    ]
    tests = [path for path in files if path.stem.endswith(_ASKED)]
    named = {path: path.stem.removesuffix(_ASKED) for path in tests or files}
    if not named:
        raise MutascopeError(
            f"{folder} holds no questions by subject: it must have test/SUBJECT_test.csv, as the MMLU release, or a"
            f" file ({', '.join(READERS)}) per subject"
        )
    found: dict[str, Path] = {}
    for path, subject in named.items():
        if subject in found:
            raise MutascopeError(f"{found[subject]} and {path} are of one subject: leave one of them")
        found[subject] = path
    return found


def _solved_file(folder: Path, asked: Path) -> Path | None:
    """The file of the examples that go with one that is asked; None where the first questions serve as such.

    One that is not there is told when it is read.
    """
    subject, beside = asked.stem.removesuffix(_ASKED), asked.parent == folder
    if beside and subject == asked.stem:
        return None
    place, stems = (folder, [subject + _SOLVED]) if beside else (folder / "dev", [subject + _SOLVED, subject])
    found = (place / f"{stem}{suffix}" for stem in stems for suffix in (asked.suffix, *READERS))
    return next((path for path in found if path.is_file()), place / f"{subject}{_SOLVED}{asked.suffix}")


def _is_readable(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in READERS and not path.name.startswith(".")
