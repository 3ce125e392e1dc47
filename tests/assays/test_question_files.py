"""Files of questions: what a row may hold, and what is refused with its number."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
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


def asked(question: Any = "a?", choices: Any = ("x", "y"), answer: Any = 0) -> str:
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


# what people's files call question, choices and key


def row(text: Any = "a?", choices: Any = ("x", "y", "z"), key: Any = "B") -> dict[str, Any]:
    held = choices if isinstance(choices, dict) else list(choices)
    return {"question": text, "choices": held, "answer": key}


ARC = {
    "question": "a?",
    "choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]},
    "answerKey": "2",
}
RAW_ARC = {
    "question": {
        "stem": "a?",
        "choices": [{"text": t, "label": n} for t, n in zip("xyz", "ABC", strict=True)],
    },
    "answerKey": "B",
}
MMLU_PRO = {"question": "a?", "options": [*"abcdefghij"], "answer": "I", "answer_index": 8, "category": "law"}
MEDQA = {"question": "a?", "options": {"A": "x", "B": "y", "C": "z"}, "answer": "y", "answer_idx": "B"}
OPENBOOKQA = {"question_stem": "a?", "choices": {"text": [*"xyz"], "label": [*"ABC"]}, "answerKey": "B"}
LETTERED = {"input": "a?", "A": "x", "B": "y", "C": "z", "target": "B"}
ACCEPTED = {
    "ARC, numbered": ([ARC], "B"),
    "ARC, five choices after three": ([ARC, row(choices=[*"vwxyz"], key="E")], "BE"),
    "ARC as it was released": ([RAW_ARC], "B"),
    "MMLU-Pro": ([MMLU_PRO], "I"),
    "MMLU-Pro, some choices removed": (
        [MMLU_PRO, {**MMLU_PRO, "options": [*"abc"], "answer": "C", "answer_index": 2}],
        "IC",
    ),
    "MedQA": ([MEDQA], "B"),
    "OpenBookQA": ([OPENBOOKQA], "B"),
    "columns in JSON": ([LETTERED], "B"),
    "the text of a choice": ([row(key="y")], "B"),
    "a lower-case letter": ([row(key="b")], "B"),
    "a letter in brackets": ([row(key="(C)")], "C"),
    "a letter with a point": ([row(key="A.")], "A"),
    "no choice at the end": ([row(choices=["x", "y", None]), row(choices=["x", "y", float("nan")])], "BB"),
    "a choice that reads None": ([row(choices=["None", "NaN", "NA"])], "B"),
    "digits from 1": ([row(key="1"), row(key="3")], "AC"),
    "digits from 0": ([row(key="0"), row(key="2")], "AC"),
    "a number that is a choice": ([row(choices=["4", "5", "6"], key="5")], "B"),
    "letters that are choices too": ([row(choices=["B", "A", "O"], key="A")], "A"),
    "whole numbers as floats": ([row(key=1.0), row(key=0.0)], "BA"),
    "whole numbers as floats in texts": ([row(key="1.0"), row(key="0.0")], "BA"),
    "a number that is a label": ([row(choices={"text": [*"xyz"], "label": ["1", "2", "3"]}, key=1)], "A"),
    "labels that are numbers": ([row(choices={"text": [*"xyz"], "label": [1, 2, 3]}, key=3)], "C"),
    "labels in another order": ([row(choices={"text": [*"xyz"], "label": ["b)", "a)", "c)"]}, key="A")], "B"),
    "labels that are missing": ([row(choices={"text": [*"xyz"], "label": [None] * 3})], "B"),
    "no labels": ([row(choices={"text": [*"xyz"]})], "B"),
    "two keys that agree": ([{**row(), "target": "y", "answer_idx": 1}], "B"),
    "an index as a text": ([{**MMLU_PRO, "answer_index": "8"}], "I"),
    "a key that is missing beside another": ([{**row(key=None), "answerKey": "C"}], "C"),
    "a passage that is missing": ([{**row(), "passage": None}], "B"),
    "a letter of something else": ([{**LETTERED, "n": 4}], "B"),
    "the same choice twice": ([row(choices=["x", "x", "y"], key="C")], "C"),
}


@pytest.mark.parametrize("rows, keys", ACCEPTED.values(), ids=ACCEPTED)
def test_forms_that_are_read(tmp_path, rows, keys):
    for name, content in (
        ("q.jsonl", "\n".join(map(json.dumps, rows))),
        ("q.json", json.dumps(rows, indent=1)),
        ("lines.json", "\n".join(map(json.dumps, rows))),
        ("list.jsonl", json.dumps(rows)),
    ):
        (tmp_path / name).write_text(content)
        found = load_questions(str(tmp_path / name), shots=0)
        assert "".join(question.key for question in found.asked) == keys
        assert found.asked[0].text == "a?"
        assert len(found.letters) == max(len(question.choices) for question in found.asked)


REFUSED = {
    "digits that start nowhere": ([row(key="1"), row(key="2")], "has the key '1', which could be A or B"),
    "a digit that is a choice too": (
        [row(choices=["2", "3", "4"], key="2"), row(choices=["x", "y"], key="2")],
        "line 1 has the key '2', which could be A or B",
    ),
    "a text of two choices": (
        [row(choices=["x", "y", "y"], key="y")],
        "has the key 'y', which could be B or C",
    ),
    "a letter that is a choice, among texts": (
        [row(key="y"), row(choices=["B", "A", "O"], key="A")],
        "line 2 has the key 'A', which could be A or B",
    ),
    "a text of no choice": ([row(key="w")], "has the key 'w', which is outside its choices A to C"),
    "a missing choice": ([row(choices=["x", None, "z"])], "a cell is missing"),
    "NaN among the choices": ([row(choices=["x", float("nan"), "z"])], "a cell is missing"),
    "the choice of the key is missing": (
        [row(choices=["x", "y", None], key="C")],
        "has the key 'C', which is outside its choices A to B",
    ),
    "a question that is NaN": ([row(text=float("nan"))], "a cell is missing"),
    "a key that is NaN": ([row(key=float("nan"))], "a cell is missing"),
    "a key that is true": ([row(key=True)], "has the key True"),
    "several right choices": ([row(key=["A", "B"])], "has the key ['A', 'B']"),
    "a key without a choice left": ([row(key="")], "a cell is missing"),
    "an index of another choice": (
        [{**MMLU_PRO, "answer_index": 3}],
        "the keys 'I' and 3, which are two",
    ),
    "two labels alike": (
        [{**ARC, "choices": {"text": [*"xyz"], "label": ["1", "1", "2"]}}],
        "labels two choices alike",
    ),
    "the list of a printed array": (
        [{**row(), "choices": "['x' 'y' 'z']"}],
        "choices must be a list of texts",
    ),
    "two keys that do not agree": (
        [{**row(key="y"), "answer_idx": "A"}],
        "the keys 'y' and 'A', which are two",
    ),
    "two targets": ([{**row(), "target": "C"}], "the keys 'B' and 'C', which are two"),
    "a field twice": ([{**row(), "Question": "b?"}], "has 'question' twice"),
    "a passage that would not be asked": (
        [{**row(), "article": "long"}],
        "has 'article' beside the question",
    ),
    "labels of fewer choices": (
        [row(choices={"text": [*"xyz"], "label": ["A", "B"]})],
        "has 3 choices and 2 labels",
    ),
    "choices in one text": (
        [row(choices={"text": "xyz", "label": "ABC"})],
        "choices must be a list of texts",
    ),
    "choices that are missing": (
        [row(choices={"text": None, "label": None})],
        "choices must be a list of texts",
    ),
    "half an index": ([row(key=1.5)], "has the key 1.5"),
    "no end of an index": ([row(key=float("inf"))], "has the key inf"),
    "no choices": ([{"question": "a?", "answer": "yes"}], "has no 'choices'"),
    "a number": ([7], "has no 'question'"),
}


@pytest.mark.parametrize("rows, says", REFUSED.values(), ids=REFUSED)
def test_forms_that_are_refused(tmp_path, rows, says):
    check_refused(tmp_path / "q.jsonl", "\n".join(map(json.dumps, rows)), says)


def test_a_table_of_columns_with_lists(tmp_path):
    """As data sets write themselves: Parquet with lists, or a CSV file with a list in a cell."""
    path = tmp_path / "q.parquet"
    pl.DataFrame([row(key=2), row("b?", key=0)]).write_parquet(path)
    assert [question.key for question in load_questions(str(path), shots=0).asked] == ["C", "A"]
    (tmp_path / "q.csv").write_text('Question,choices,Answer\na?,"[""x"", ""y""]",B\n')
    assert load_questions(str(tmp_path / "q.csv"), shots=0).asked[0].choices == ("x", "y")


def test_an_object_over_several_lines(tmp_path):
    for name in ("q.json", "q.jsonl"):
        (tmp_path / name).write_text(json.dumps(row(), indent=1))
        assert len(load_questions(str(tmp_path / name), shots=0).asked) == 1


@pytest.mark.parametrize("kind", [pl.Float64, pl.Decimal(5, 0), pl.UInt8])
def test_keys_of_a_table_in_another_type(tmp_path, kind):
    frame = pl.DataFrame([row(key=2), row(key=0)]).with_columns(pl.col("answer").cast(kind))
    frame.write_parquet(tmp_path / "q.parquet")
    assert [q.key for q in load_questions(str(tmp_path / "q.parquet"), shots=0).asked] == ["C", "A"]


TABLES = {
    "tabs": ("q.tsv", "question\tA\tB\tanswer\na, b?\tx\ty\tB\n"),
    "choices by name": ("q.csv", 'Question,Option A,option_b,Answer\n"a, b?",x,y,B\n'),
    "fewer choices in a row": ("q.csv", 'question,A,B,C,answer\n"a, b?",x,y,,B\n'),
    "a byte order mark": ("q.csv", '\ufeffquestion,A,B,answer\n"a, b?",x,y,B\n'),
    "other columns": ("q.csv", 'id,subject,question,A,B,answer\n1,law,"a, b?",x,y,B\n'),
    "upper-case suffix": ("Q.CSV", 'question,A,B,answer\n"a, b?",x,y,B\n'),
}


@pytest.mark.parametrize("name, content", TABLES.values(), ids=TABLES)
def test_tables_that_are_read(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    (question,) = load_questions(str(tmp_path / name), shots=0).asked
    assert (question.text, question.choices, question.key) == ("a, b?", ("x", "y"), "B")


BAD_FILES = {
    "a quote behind a backslash": (
        "q.csv",
        b'question,A,B,answer\n"a \\"b\\" c?",x,y,B\n',
        "row 2 cannot be read: ',' expected after",
    ),
    "a quote that does not end": (
        "q.csv",
        b'question,A,B,answer\n"a?,x,y,B\nb?,x,y,A\n',
        "cannot be read: unexpected end of data",
    ),
    "a pointer of Git LFS as a table": (
        "q.csv",
        b"version https://git-lfs.github.com/spec/v1\n",
        "git lfs pull",
    ),
    "a list nested without end in a cell": (
        "q.csv",
        b"question,choices,answer\na?," + b"[" * 100_000 + b",B\n",
        "nested too deeply",
    ),
    "a list within an object": ("q.json", b'{\n"data": []\n}', "has no 'question'"),
    "semicolons": ("q.csv", b"question;A;B;answer\na?;x;y;A\n", "separates its columns with ';'"),
    "Latin-1": (
        "q.csv",
        "question,A,B,answer\na?,x,y,A\nol\xe9?,x,y,A\n".encode("latin-1"),
        "not UTF-8 text (line 3)",
    ),
    "UTF-16": ("q.csv", "question,A,B,answer\n".encode("utf-16"), "not UTF-8 text (line 1)"),
    "no header": ("q.csv", b"a?,x,y,A\n", "has no column 'question'"),
    "a column by two names": (
        "q.csv",
        b"question,A,option_a,B,answer\n",
        "names the column 'option_a' twice",
    ),
    "no Parquet": ("q.parquet", b"PAR1", "cannot be read"),
    "a Git LFS pointer": ("q.parquet", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "half a list": ("q.json", b'[{"question": "a?"', "is not JSON"),
    "an empty file": ("q.jsonl", b"", "holds no question besides 0 examples"),
    "an object of columns": (
        "q.json",
        b'{"question": ["a?"], "choices": [["x", "y"]], "answer": [0]}',
        "is no question",
    ),
}


@pytest.mark.parametrize("name, content, says", BAD_FILES.values(), ids=BAD_FILES)
def test_files_that_are_refused(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MutascopeError) as told:
        load_questions(str(path), shots=0)
    assert says in str(told.value)
    assert name in str(told.value)
    assert "\n" not in str(told.value)
