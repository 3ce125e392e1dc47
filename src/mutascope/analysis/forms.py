"""Poem, dialogue or first person: a simple classifier of the form of a text.

Three yes-or-no answers from the layout and the words of a text, without a model, so that a reader can check each by
eye. They are meant for shares over many outputs of one panel, mutant against wild type, not for single texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

_SPEAKER = re.compile(r"\W{0,2}([^\W\d_][\w.']*(?: [\w.']+){0,2})\W{0,2}: *\S")
_QUOTE = re.compile(r"“[^“”]*\s[^“”]*”|\"[^\"\n]*\s[^\"\n]*\"")
_LISTED = re.compile(r"\s*(?:[-*•#>|]|\(?\w{1,3}[.)])\s")
_CODE = re.compile(r"[={}<>;\\]|\w\(|:$|</")
_WORD = re.compile(r"[\w’']+")
_FIRST_PERSON = frozenset({"I", "me", "my", "mine", "myself"}) | {
    f"i{apostrophe}{rest}" for apostrophe in "'’" for rest in ("m", "ve", "d", "ll")
}


class Form(NamedTuple):
    """What a text is; none, one or several."""

    poem: bool
    dialogue: bool
    first_person: bool


def classify_text(text: str) -> Form:
    """Return the form of a continuation.

    - *dialogue*: three lines or more open with a speaker (one to three words and a colon), with two speakers or more
      of whom one speaks twice; or three quotations or more of at least two words.
    - *poem*: no dialogue, four lines or more that are not empty, of which at least three in four are short (at most
      ten words and 60 characters), at most one in four ends with a full stop, and at most one in four is an item of a
      list or looks like code. The last line is left out, because the length limit may have cut it.
    - *first person*: no dialogue, at least two words, and at least one in fifty, are I, me, my, mine or myself.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    dialogue = _is_dialogue(text, lines)
    return Form(not dialogue and _is_poem(lines), dialogue, not dialogue and _is_first_person(text))


def _is_dialogue(text: str, lines: Sequence[str]) -> bool:
    speakers = Counter(match.group(1).lower() for line in lines if (match := _SPEAKER.match(line)))
    spoken = speakers.total() >= 3 and len(speakers) >= 2 and max(speakers.values()) >= 2
    return spoken or len(_QUOTE.findall(text)) >= 3


def _is_poem(lines: Sequence[str]) -> bool:
    whole = lines[:-1]
    if len(lines) < 4:
        return False
    short = sum(len(line) <= 60 and len(line.split()) <= 10 for line in whole)
    stopped = sum(line.endswith(".") for line in whole)
    foreign = sum(bool(_LISTED.match(line) or _CODE.search(line)) for line in whole)
    return short >= 0.75 * len(whole) and max(stopped, foreign) <= 0.25 * len(whole)


def _is_first_person(text: str) -> bool:
    # A lone lower-case i is more often an index or a numeral than a person.
    words = [word if len(word) == 1 else word.lower() for word in _WORD.findall(text)]
    own = sum(word in _FIRST_PERSON for word in words)
    return own >= 2 and own >= 0.02 * len(words)


def form_shares(outputs: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Return the share of outputs of each form.

    Args:
        outputs: columns continuation (null is none of the forms) and those of ``by``.
        by: columns that make the groups, such as those of a mutant; none for one row over all, the wild type's.

    Returns:
        Columns of ``by``; ``outputs`` (UInt32); ``poem``, ``dialogue``, ``first_person`` (Float64 shares, null where
        there is no output); groups in the order of their first row.
    """
    distinct = outputs.select("continuation").drop_nulls().unique(maintain_order=True)
    forms = pl.DataFrame(
        [classify_text(text) for text in distinct["continuation"]],
        schema=dict.fromkeys(Form._fields, pl.Boolean),
        orient="row",
    )
    told = outputs.join(
        pl.concat([distinct, forms], how="horizontal"), on="continuation", how="left", maintain_order="left"
    )
    shares = {name: pl.col(name).fill_null(False).mean() for name in Form._fields}
    counts = {"outputs": pl.len().cast(pl.UInt32), **shares}
    return told.group_by(by, maintain_order=True).agg(**counts) if by else told.select(**counts)
