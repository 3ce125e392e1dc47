"""How the authors' files name matrices and write texts (docs/reference/authors.md)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mutascope.core.errors import MutascopeError
from mutascope.core.kinds import CODES

SEPARATOR = "%%%%%%"
NON_FINITE_TEXT = "non-finite"
"""Stands in a code file for an output without a text, which the authors' scripts cannot write."""

_BY_CODE = {code: name for name, code in CODES.items()}
_MATRIX = re.compile(rf"(?:.*\.)?layers\.(\d+)\.({'|'.join(map(re.escape, _BY_CODE))})\.weight")
_TEXT_ESCAPE = re.compile(r"ord\(([1-9]\d{2,6})\)")
_ANSWER_ESCAPE = re.compile(r"ord([1-9]\d{2,6})")
_BETWEEN_ANSWERS = "| |"
_TALLY = re.compile(r"right: .* wrong: .* total: (\d+|-)\|(?:\d+|-)\|\d+\s*")


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
    """The answers of a choice assay to its questions, and the score, None where it is not known."""

    answers: tuple[str, ...]
    score: int | None

    @property
    def text(self) -> str:
        """The text of the phenotype: one answer per line."""
        return "\n".join(self.answers)


def escape_answers(answers: Sequence[str], score: int | None) -> str:
    """Join answers and their tally as the authors' script does; how the score splits over the questions is not kept."""
    right, wrong = ("-", "-") if score is None else (score, len(answers) - score)
    tally = f"right: -|- wrong: -|- total: {right}|{wrong}|{len(answers)}"
    joined = _BETWEEN_ANSWERS.join([*(answer.replace("\n", "^n") for answer in answers), tally])
    return "".join(c if c.isascii() else f"ord{ord(c)}" for c in joined)


def unescape_answers(text: str) -> Answers:
    """Read answers and tally; white space is stripped, and a line break inside an answer becomes a space.

    Raises:
        MutascopeError: when there is no tally, or no answer.
    """
    *raw, tally = text.split(_BETWEEN_ANSWERS)
    match = _TALLY.fullmatch(tally)
    if match is None or not raw:
        raise MutascopeError("it is not answers and a tally joined by '| |'")
    answers = (
        " ".join(_ANSWER_ESCAPE.sub(_character, a).replace("^n", "\n").split("\n")).strip() for a in raw
    )
    return Answers(tuple(answers), None if match.group(1) == "-" else int(match.group(1)))


def _character(match: re.Match[str]) -> str:
    code = int(match.group(1))
    written = 128 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
    return chr(code) if written else match.group(0)
