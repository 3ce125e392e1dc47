"""Read code, log, done and finished files of the authors' scripts; every complaint names the file and the place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mutascope.core.errors import MutascopeError
from mutascope.interop.authors.codec import (
    SEPARATOR,
    Answers,
    locus_in_file_name,
    matrix_locus,
    unescape_answers,
    unescape_text,
)

_LOG_LINE = (
    r"^(?P<mutation>[\w-]+) (?P<matrix>[^\s:]+):(?P<loc1>\d{1,9}),(?P<loc2>\d{1,9}):(?P<code>\d{1,9})$"
)
_SITE = re.compile(r"(\d{1,9}),(\d{1,9})\s*")
_HEADER = re.compile(r"([^\s:]+):(\d+)\n")
_PREAMBLE = re.compile(r"seed: *(-?\d+) +step: *(\d+)\nstandard output:\n")
_ENTRY_END = re.compile(rf"\n{SEPARATOR}\n(?=\Z|[^\s:]+:\d+\n)")
_TABLE = {"mutation": pl.String, "matrix": pl.String, "loc1": pl.Int32, "loc2": pl.Int32, "code": pl.Int32}


@dataclass(frozen=True)
class AuthorsFiles:
    """The files of one experiment.

    Attributes:
        logs: a line per NSM.
        codes: the texts that the logs refer to.
        done: names of the matrices that are complete.
        finished: the last site that was run, of the matrix that the file is named after.
    """

    logs: Sequence[Path]
    codes: Sequence[Path]
    done: Sequence[Path]
    finished: Sequence[Path] = ()


@dataclass(frozen=True)
class Codes:
    """What the code files of one experiment say.

    Attributes:
        seed: of the experiment.
        tile: side of a tile, in elements.
        texts: distinct texts, the standard output first.
        numbers: index into ``texts`` by (matrix name, code).
        loci: those that have a code file, with or without a text in it, as (layer, kind).
    """

    seed: int
    tile: int
    texts: list[str | Answers]
    numbers: dict[tuple[str, int], int]
    loci: set[tuple[int, str]]


def read_codes(paths: Sequence[Path], *, choice: bool) -> Codes:
    """Read the code files of one experiment.

    Args:
        paths: files.
        choice: the texts are answers of the choice assay.

    Raises:
        MutascopeError: for a file that is none, ends within an entry, holds several matrices, or is of another
            experiment than the first.
    """
    if not paths:
        raise MutascopeError("there is no code file: without it the texts of the logged mutants are unknown")
    first, _ = _code_entries(paths[0])
    seed, tile, standard = first
    distinct = {standard: 0}
    numbers: dict[tuple[str, int], int] = {}
    loci = set()
    for path in paths:
        preamble, entries = _code_entries(path)
        _check_one_matrix(path, [matrix for (matrix, _), _ in entries])
        loci.add(locus_in_file_name(path.name))
        for name, here, there in zip(("seed", "step", "standard output"), preamble, first, strict=True):
            if here != there:
                raise MutascopeError(
                    f"{path} has another {name} than {paths[0]}: give the files of one experiment"
                )
        for (matrix, code), raw in entries:
            number = distinct.setdefault(raw, len(distinct))
            if numbers.setdefault((matrix, code), number) != number:
                raise MutascopeError(
                    f"{path} has another text for code {code} of {matrix} than was read before"
                )
    names = {0: "the standard output"}
    for (matrix, code), number in numbers.items():
        names.setdefault(number, f"code {code} of {matrix}")
    texts = [_decoded(raw, choice, names[number]) for raw, number in distinct.items()]
    loci |= {matrix_locus(matrix) for matrix, _ in numbers}
    return Codes(seed, tile, texts, numbers, loci - {None})


def read_logs(paths: Sequence[Path]) -> pl.DataFrame:
    """Return the logged mutants, repeated lines once: mutation, matrix, loc1, loc2 (elements), code, ``file``.

    Lines of percent signs, which mark a restart, are skipped.

    Raises:
        MutascopeError: for a line of another form, or a log of several matrices.
    """
    frames = [_read_log(path) for path in paths]
    if not frames:
        return pl.DataFrame(schema={**_TABLE, "file": pl.String})
    return pl.concat(frames).unique(list(_TABLE), keep="first", maintain_order=True)


def read_done(paths: Sequence[Path]) -> set[str]:
    """Return the names of the complete matrices.

    Raises:
        MutascopeError: for a line that is no matrix.
    """
    names = set()
    for path in paths:
        for number, line in enumerate(_text_of(path).splitlines(), start=1):
            name = line.strip()
            if not name:
                continue
            try:
                matrix_locus(name)
            except MutascopeError as error:
                raise MutascopeError(f"{path}, line {number}: {error}") from error
            names.add(name)
    return names


def read_finished(paths: Sequence[Path]) -> dict[tuple[int, str], tuple[int, int, Path]]:
    """Return the last site that was run in every matrix: by (layer, kind), its elements loc1 and loc2, and the file.

    Raises:
        MutascopeError: for a file that is named after no matrix, or does not hold two numbers.
    """
    found = {}
    for path in paths:
        locus = locus_in_file_name(path.name)
        if locus is None:
            raise MutascopeError(
                f"{path} is named after no matrix, so that it does not say whose last site it holds"
            )
        match = _SITE.fullmatch(_text_of(path))
        if match is None:
            raise MutascopeError(f"{path} has not the form `loc1,loc2`, the last site that was run")
        found[locus] = (int(match.group(1)), int(match.group(2)), path)
    return found


def _check_one_matrix(path: Path, matrices: Iterable[str]) -> None:
    several = list(dict.fromkeys(matrices))
    if len(several) > 1:
        raise MutascopeError(
            f"{path} holds several matrices, {several[0]} and {several[1]}: a script that writes one file for all of"
            " them keeps one place to go on from for all of them too, and so passes over sites of every matrix after"
            " the first, which would be taken for silent; give files of one matrix each"
        )


def _code_entries(path: Path) -> tuple[tuple[int, int, str], list[tuple[tuple[str, int], str]]]:
    """Return (seed, step, standard output) and the entries of a code file, as they are written."""
    content = _text_of(path)
    match = _PREAMBLE.match(content)
    if match is None:
        raise MutascopeError(
            f"{path} is no code file: it does not open with a line `seed: ... step: ...` and the standard output"
        )
    standard, *entries = _ENTRY_END.split(content[match.end() :])
    if not entries or entries.pop() != "":
        raise MutascopeError(f"{path} ends within an entry: a line {SEPARATOR} is missing at its end")
    parsed = []
    for entry in entries:
        header = _HEADER.match(entry + "\n")
        assert header is not None  # what follows an end of an entry is a header, by the pattern of the end
        parsed.append(((header.group(1), int(header.group(2))), entry[header.end() :]))
    tile = int(match.group(2))
    if tile < 1:
        raise MutascopeError(f"{path} has step {tile}: a tile has at least one element")
    return (int(match.group(1)), tile, standard), parsed


def _decoded(raw: str, choice: bool, where: str) -> str | Answers:
    if not choice:
        return unescape_text(raw)
    try:
        return unescape_answers(raw)
    except MutascopeError as error:
        raise MutascopeError(f"{where} is no text of a choice assay: {error}") from error


def _read_log(path: Path) -> pl.DataFrame:
    lines = pl.DataFrame({"line": _text_of(path).split("\n")}).with_row_index("number", offset=1)
    lines = lines.with_columns(pl.col("line").str.strip_chars()).filter(
        ~pl.col("line").is_in(["", SEPARATOR])
    )
    table = lines.with_columns(pl.col("line").str.extract_groups(_LOG_LINE)).unnest("line")
    bad = table.filter(pl.col("code").is_null())
    if len(bad):
        number = bad["number"][0]
        text = lines.filter(number=number)["line"][0]
        raise MutascopeError(
            f"{path}, line {number}: {text[:60]!r} has not the form `max matrix name:loc1,loc2:code`"
        )
    _check_one_matrix(path, table["matrix"].unique(maintain_order=True))
    return table.select(pl.col(name).cast(kind) for name, kind in _TABLE.items()).with_columns(
        file=pl.lit(str(path))
    )


def _text_of(path: Path) -> str:
    try:
        # newline="" keeps the carriage returns that models put out.
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as error:
        raise MutascopeError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MutascopeError(f"{path} is no text file: byte {error.start} is not UTF-8") from error
