"""Files of questions: what a row may hold, and what is refused with its number."""

from __future__ import annotations

import json

import pytest

from mutascope import MutascopeError
from mutascope.assays.questions import load_questions

ODD = "a\u2028b\x0cc\x85d\x1de\x0bf"
"""A text with every character that ``str.splitlines`` takes for the end of a line and a file does not."""


def test_only_line_feeds_end_a_row(tmp_path):
    cells = f'{ODD}?,{ODD},"y\nz",B\n'
    (tmp_path / "q.csv").write_text(f"question,A,B,answer\r\n\r\n{cells}", newline="")
    row = json.dumps({"question": f"{ODD}?", "choices": [ODD, "y\nz"], "answer": 1}, ensure_ascii=False)
    (tmp_path / "q.jsonl").write_text(f"{row}\r\n\r\n{row}", newline="")
    for part in ("dev", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / f"law_{part}.csv").write_text(cells)
    for source, subject in (("q.csv", None), ("q.jsonl", None), ("", "law")):
        found = load_questions(str(tmp_path / source), subject, shots=0).asked[-1]
        assert (found.text, found.choices, found.key) == (f"{ODD}?", (ODD, "y\nz"), "B")


HEADER = "question,A,B,answer\n"


def check_refused(path, content, says):
    path.write_text(content)
    with pytest.raises(MutascopeError) as told:
        load_questions(str(path), shots=0)
    assert says in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 500


@pytest.mark.parametrize(
    "rows, says",
    [
        ("a?,x,y,A\na, b?,x,y,A\n", "row 3 has 5 cells, and the header names 4"),
        ("a?,x,y,A\n  ,x,y,A\n", "row 3 is no question: a cell holds only blanks"),
        ("a?,x, \t,A\n", "row 2 is no question: a cell holds only blanks"),
        (f"a?,x,{'y' * 140_000},A\n", "row 2 cannot be read: field larger than field limit"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_csv_rows_that_are_refused(tmp_path, rows, says):
    check_refused(tmp_path / "q.csv", HEADER + rows, says)


def test_lines_of_blanks_are_skipped(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text(f" \n{HEADER}a?,x,y,A\n\nb?,x,y,B\n  \n")
    assert [question.text for question in load_questions(str(path), shots=0).asked] == ["a?", "b?"]


def test_a_column_named_twice_is_refused(tmp_path):
    content = "question,A,B,A,answer\na?,x,y,z,A\n"
    check_refused(tmp_path / "q.csv", content, "names the column 'A' twice")


def asked(question="a?", choices=("x", "y"), answer=0):
    return json.dumps({"question": question, "choices": choices, "answer": answer})


@pytest.mark.parametrize(
    "line, says",
    [
        (asked(choices=["x"] * 27, answer=26), "line 2 has 27 choices: there are letters for 26"),
        (asked(choices=["x"] * 27, answer=0), "line 2 has 27 choices: there are letters for 26"),
        (asked(question="a\ud800?"), "line 2 holds half of a surrogate pair"),
        (asked(choices=["x", "\udc00"]), "line 2 holds half of a surrogate pair"),
        ("[" * 100_000, "line 2 is no question: its lists are nested too deeply"),
        (asked(answer=0)[:-2] + "[" * 500 + "]" * 500 + "}", "line 2 has the key [[[["),
        (asked(answer="B" * 1000), "line 2 has the key 'BBBB"),
        (asked(question=["a?"]), "line 2 is no question: it must be a text"),
        (asked(question=7), "line 2 is no question: it must be a text"),
        (
            asked(choices=["x", {"y": 1}]),
            "line 2 is no question: it must be a text, and its choices texts or",
        ),
        (asked(choices=["x", " "]), "line 2 is no question: a cell holds only blanks"),
        (asked(choices=["x"]), "line 2 is no question with two choices or more"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_lines_that_are_refused(tmp_path, line, says):
    check_refused(tmp_path / "q.jsonl", f"{asked()}\n{line}\n", says)


def test_numbers_are_choices(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(asked(choices=[1, 2.5]))
    assert load_questions(str(path), shots=0).asked[0].choices == ("1", "2.5")


@pytest.mark.parametrize(
    "source, says",
    [
        ("x" * 400, "x is no source of questions"),
        ("x" * 400 + ".csv", "cannot be read: File name too long"),
        ("a\0b.csv", "cannot be read: embedded null"),
        ("a\0b", "is no source of questions"),
        ("", "an empty name is no source of questions"),
    ],
    ids=["long", "long file", "NUL in file", "NUL", "empty"],
)
def test_names_that_no_source_has(source, says):
    with pytest.raises(MutascopeError, match=says):
        load_questions(source)
