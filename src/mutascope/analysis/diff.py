"""Word-level difference of two texts, for terminals and web pages.

The texts are model output and not trusted: both renderings escape what could be read as markup, and show control
and other invisible formatting characters as backslash escapes.
"""

import html
import re
import unicodedata
from difflib import SequenceMatcher

from rich.text import Text

Diff = list[tuple[str, str]]

# White space goes with the word that follows it, as in the tokens of language models: a text that merely goes on
# longer than the other then differs by an insertion alone.
_WORD = re.compile(r"\s*\S+|\s+")
_STYLES = {"equal": "", "delete": "red strike", "insert": "bold green"}
_TAGS = {"delete": "del", "insert": "ins"}
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def word_diff(wild: str, mutant: str) -> Diff:
    """The steps from ``wild`` to ``mutant``: (op, text) with op in "equal", "delete", "insert".

    The texts of equal and delete steps join to exactly ``wild``, those of equal and insert steps to exactly ``mutant``.
    """
    a, b = _WORD.findall(wild), _WORD.findall(mutant)
    diff: Diff = []
    for op, a_start, a_end, b_start, b_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if op == "equal":
            diff.append(("equal", "".join(a[a_start:a_end])))
            continue
        if a_end > a_start:
            diff.append(("delete", "".join(a[a_start:a_end])))
        if b_end > b_start:
            diff.append(("insert", "".join(b[b_start:b_end])))
    return diff


def diff_to_rich(diff: Diff) -> Text:
    """The diff for a terminal: deleted text red and struck through, inserted text green and bold."""
    text = Text()
    for op, part in diff:
        shown = visible(part)
        if op != "equal" and part.isspace():
            # Colour alone does not show on blanks, and the two texts would look the same.
            shown = shown.replace(" ", "␣").replace("\n", "⏎\n")
        text.append(shown, style=_STYLES[op])
    return text


def diff_to_html(diff: Diff) -> str:
    """The diff as one HTML element: <del> for deleted and <ins> for inserted text, all else escaped."""
    parts = []
    for op, part in diff:
        escaped = html.escape(visible(part))
        tag = _TAGS.get(op)
        parts.append(f"<{tag}>{escaped}</{tag}>" if tag else escaped)
    return f'<div class="mutascope-diff" style="white-space: pre-wrap">{"".join(parts)}</div>'


def visible(text: str) -> str:
    """Return ``text`` with every character that a terminal or browser would act on, but not show, as an escape."""
    if text.isprintable():
        return text
    return "".join(_escaped(c) if _is_hidden(c) else c for c in text)


def _is_hidden(char: str) -> bool:
    return char not in "\n\t" and unicodedata.category(char) in _HIDDEN_CATEGORIES


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
