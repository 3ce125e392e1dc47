"""Files of questions: CSV, TSV, JSON, JSON Lines and Parquet, read row by row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from mutascope.assays.question_rows import KEYS, LISTS, TEXTS, Row, column_of, make_row, row_of
from mutascope.core.errors import MutascopeError
from mutascope.model.files import POINTER, pointer


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file whose suffix is among :data:`READERS`.

    Raises:
        MutascopeError: when it cannot be read, or for the first row that is no question.
    """
    return [row_of(fields, where) for where, fields in READERS[path.suffix.lower()](path)]


def read_bare_rows(path: Path) -> list[Row]:
    """Return the rows of a file that may be a CSV file without a header: question, choices, key, as MMLU has them.

    Raises:
        MutascopeError: as of :func:`read_rows`.
    """
    if path.suffix.lower() != ".csv":
        return read_rows(path)
    cells = list(read_cells(path))
    columns = {column_of(name) for name in cells[0][1]} if cells else set()
    if columns.intersection(TEXTS) and columns.intersection(KEYS):
        return read_rows(path)
    return [make_row(row[0], row[1:-1], row[-1], where) for where, row in cells]


def read_cells(path: Path, delimiter: str = ",") -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of a CSV file that are not blank, each after what an error calls it."""
    number = 0
    try:
        lines = io.StringIO(_text(path), newline="")
        for number, row in enumerate(csv.reader(lines, delimiter=delimiter, strict=True), 1):
            if len(row) > 1 or "".join(row).strip():
                yield f"{path}, row {number}", row
    except csv.Error as error:
        raise MutascopeError(
            f"{path}, row {number + 1} cannot be read: {error} (a quote within a cell is written twice, and the cell"
            " stands in quotes)"
        ) from error


def _read_csv(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    return _read_table(path, ",")


def _read_tsv(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    return _read_table(path, "\t")


def _read_table(path: Path, delimiter: str) -> Iterator[tuple[str, dict[str, str]]]:
    rows = read_cells(path, delimiter)
    _, header = next(rows, ("", []))
    columns = [column_of(name) for name in header]
    _check_header(path, header, columns, delimiter)
    for where, cells in rows:
        if len(cells) > len(columns):
            raise MutascopeError(
                f"{where} has {len(cells)} cells, and the header names {len(columns)}: put a cell with a comma in"
                " quotes"
            )
        yield where, dict(zip(columns, cells, strict=False))


def _check_header(path: Path, header: list[str], columns: list[str], delimiter: str) -> None:
    twice = [
        name for name, column in zip(header, columns, strict=True) if column and columns.count(column) > 1
    ]
    if twice:
        raise MutascopeError(
            f"{path} names the column {twice[-1]!r} twice: its header must name each one once"
        )
    other = next((each for each in ";\t|" if each != delimiter and each in "".join(columns)), None)
    if len(columns) == 1 and other:
        raise MutascopeError(f"{path} separates its columns with {other!r}: use commas (.csv) or tabs (.tsv)")
    letters = [name for name in columns if len(name) == 1]
    wanted = [(TEXTS, "question"), (KEYS, "answer")]
    missing = [told for names, told in wanted if not any(name in columns for name in names)]
    if not any(name in columns for name in LISTS):
        expected = [chr(ord("a") + place) for place in range(max(2, len(letters)))]
        missing += [letter.upper() for letter in expected if letter not in letters]
    if missing:
        raise MutascopeError(
            f"{path} has no column {missing[0]!r}: its header must name question, the choices A, B, ..., and answer"
        )


def _read_json(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the objects of a list, or of a file that is one object; else those of every line."""
    text = _text(path)
    if text.lstrip().startswith("["):
        for number, fields in enumerate(_json(text, str(path)), 1):
            yield f"{path}, item {number}", fields
    elif (whole := _whole(text)) is not None:
        yield f"{path}, line 1", whole
    else:
        for number, line in enumerate(text.split("\n"), 1):  # splitlines would cut inside texts
            if line.strip():
                where = f"{path}, line {number}"
                yield where, _json(line, where)


def _whole(text: str) -> Any:
    """Return the object that a text is, over several lines; None where it is none, or a line holds it all."""
    try:
        return json.loads(text) if text.strip().count("\n") else None
    except (ValueError, RecursionError):
        return None


def _read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        frame = pl.read_parquet(path)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        if path.is_file() and path.read_bytes().startswith(POINTER.encode()):
            raise MutascopeError(pointer(path)) from error
        raise MutascopeError(
            f"the questions {path} cannot be read: {str(error).partition(chr(10))[0]}"
        ) from error
    for number, fields in enumerate(frame.iter_rows(named=True), 1):
        yield f"{path}, row {number}", fields


READERS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".parquet": _read_parquet,
}
"""What reads a file, by its suffix: each yields what an error calls a row, and its fields."""


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise MutascopeError(f"{where} is not JSON: {error}") from error
    except RecursionError as error:
        raise MutascopeError(f"{where} is no question: its lists are nested too deeply") from error


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MutascopeError(f"the questions {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = bytes(error.object).count(b"\n", 0, error.start) + 1
        raise MutascopeError(
            f"the questions {path} are not UTF-8 text (line {line}): save the file as UTF-8"
        ) from error
    except ValueError as error:  # a NUL in the name
        raise MutascopeError(f"the questions {str(path)!r} cannot be read: {error}") from error
    if text.startswith(POINTER):
        raise MutascopeError(pointer(path))
    return text
