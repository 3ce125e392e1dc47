"""How the authors' files name matrices and write texts (docs/reference/authors.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mutascope.core.errors import MutascopeError
from mutascope.core.kinds import CODES

SEPARATOR = "%%%%%%"
NON_FINITE_TEXT = "non-finite"
"""Stands in a code file for an output without a text, which the authors' scripts cannot write."""

_BY_CODE = {code: name for name, code in CODES.items()}
_NAME = rf"layers\.(\d+)\.({'|'.join(map(re.escape, _BY_CODE))})\.weight"
_MATRIX = re.compile(rf"(?:.*\.)?{_NAME}")
_TEXT_ESCAPE = re.compile(r"ord\(([1-9]\d{2,6})\)")
_ANSWER_ESCAPE = re.compile(r"ord([1-9]\d{2,6})")
_BETWEEN_ANSWERS = "| |"
_TALLY = re.compile(
    r"right: (?:(\d+)\|(\d+)|-\|-) wrong: (?:\d+|-)\|(?:\d+|-) total: (\d+|-)\|(?:\d+|-)\|\d+\s*"
)


def matrix_locus(name: str) -> tuple[int, str]:
    """Return (layer, kind) of a matrix such as ``model.layers.12.self_attn.v_proj.weight``.

    Raises:
        MutascopeError: for a name of another form.
    """
    match = _MATRIX.fullmatch(name)
    if match is None:
        raise MutascopeError(
            f"{name!r} is no matrix of a Llama-like model, such as model.layers.12.self_attn.v_proj.weight"
        )
    return int(match.group(1)), _BY_CODE[match.group(2)]


def locus_in_file_name(name: str) -> tuple[int, str] | None:
    """Return (layer, kind) of the matrix that a file is named after; None where it is named after none."""
    match = re.search(_NAME, name)
    return None if match is None else (int(match.group(1)), _BY_CODE[match.group(2)])


def matrix_name(layer: int, kind: str) -> str:
    """Return the authors' name of a locus.

    Raises:
        MutascopeError: for a kind that the paper's models do not have.
    """
    if kind not in CODES:
        raise MutascopeError(
            f"the authors' format has no name for {layer}.{kind}; it knows {', '.join(CODES)}"
        )
    return f"model.layers.{layer}.{CODES[kind]}.weight"


def escape_text(text: str) -> str:
    """Write every non-ASCII character as ``ord(N)``, N its code point."""
    return "".join(c if c.isascii() else f"ord({ord(c)})" for c in text)


def unescape_text(text: str) -> str:
    """Undo :func:`escape_text`. ``ord(N)`` of an ASCII character was never written by it and stays."""
    return _TEXT_ESCAPE.sub(_character, text)


@dataclass(frozen=True)
class Answers:
    """The answers of a choice assay to its questions, and their tally; None is what is not known.

    Attributes:
        answers: one per question.
        score: answers equal to the key.
        kept: of these, on questions that the wild type answers right.
        gained: of these, on questions that the wild type answers wrong.
    """

    answers: tuple[str, ...]
    score: int | None
    kept: int | None = None
    gained: int | None = None

    @property
    def text(self) -> str:
        """The text of the phenotype: one answer per line."""
        return "\n".join(self.answers)


def escape_answers(found: Answers, asked: tuple[int, int] | None = None) -> str:
    """Join answers and their tally as the authors' script does.

    Args:
        found: the answers.
        asked: numbers of questions that the wild type answers right and wrong; None where they are not known.
    """
    number = len(found.answers)
    right, wrong, total = "-|-", "-|-", "-|-"
    if found.score is not None:
        total = f"{found.score}|{number - found.score}"
    if asked and found.kept is not None and found.gained is not None:
        right, wrong = f"{found.kept}|{found.gained}", f"{asked[0] - found.kept}|{asked[1] - found.gained}"
    tally = f"right: {right} wrong: {wrong} total: {total}|{number}"
    joined = _BETWEEN_ANSWERS.join([*(answer.replace("\n", "^n") for answer in found.answers), tally])
    return "".join(c if c.isascii() else f"ord{ord(c)}" for c in joined)


def unescape_answers(text: str) -> Answers:
    """Read answers and tally; white space is stripped, and within an answer a single blank, as in screens of our own.

    Raises:
        MutascopeError: when there is no tally, or no answer.
    """
    *raw, tally = text.split(_BETWEEN_ANSWERS)
    match = _TALLY.fullmatch(tally)
    if match is None or not raw:
        raise MutascopeError("it is not answers and a tally joined by '| |'")
    answers = (" ".join(_ANSWER_ESCAPE.sub(_character, a).replace("^n", "\n").split()) for a in raw)
    kept, gained, score = (None if told in (None, "-") else int(told) for told in match.groups())
    return Answers(tuple(answers), score, kept, gained)


def _character(match: re.Match[str]) -> str:
    code = int(match.group(1))
    written = 128 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
    return chr(code) if written else match.group(0)
