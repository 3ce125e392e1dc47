import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mutascope.analysis.diff import diff_to_html, diff_to_rich, word_diff

WORDS = st.lists(
    st.sampled_from(["the", "fly", "egg", " ", "\n", "  ", "[bold]", "<b>", "\x1b[31m"]), max_size=30
)
TEXTS = st.one_of(st.text(), WORDS.map("".join), WORDS.map(" ".join))


class Segments(HTMLParser):
    """Reads a diff page back as (op, text), as a browser would."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.op = "equal"
        self.tags: list[str] = []
        self.segments: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.op = {"del": "delete", "ins": "insert"}.get(tag, self.op)

    def handle_endtag(self, tag):
        if tag in {"del", "ins"}:
            self.op = "equal"

    def handle_data(self, data):
        self.segments.append((self.op, data))


def read_html(page: str) -> Segments:
    parser = Segments()
    parser.feed(page)
    parser.close()
    return parser


def join(diff, *ops: str) -> str:
    return "".join(text for op, text in diff if op in ops)


@given(TEXTS, TEXTS)
def test_the_diff_joins_to_both_texts(wild, mutant):
    diff = word_diff(wild, mutant)
    assert join(diff, "equal", "delete") == wild
    assert join(diff, "equal", "insert") == mutant
    assert all(text for _, text in diff)


@given(TEXTS)
def test_a_text_equals_itself(text):
    assert word_diff(text, text) == ([("equal", text)] if text else [])


def test_words_are_the_unit():
    assert word_diff("The egg hatches soon.", "The larva hatches\nsoon.") == [
        ("equal", "The"),
        ("delete", " egg"),
        ("insert", " larva"),
        ("equal", " hatches"),
        ("delete", " soon."),
        ("insert", "\nsoon."),
    ]


def test_a_longer_text_is_one_insertion():
    assert word_diff("one two", "one two three\nfour") == [("equal", "one two"), ("insert", " three\nfour")]


def test_frequent_words_still_match():
    repeated = "na " * 500
    assert word_diff(repeated + "end", repeated + "stop")[0] == ("equal", repeated.removesuffix(" "))


def test_rich_styles_and_text():
    text = diff_to_rich(word_diff("a b", "a c"))
    assert text.plain == "a b c"
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles == {" b": "red strike", " c": "bold green"}


def test_markup_in_the_text_is_printed_as_it_is():
    assert diff_to_rich([("insert", "[bold red]x[/] :smile:")]).plain == "[bold red]x[/] :smile:"


@given(TEXTS, TEXTS)
def test_nothing_that_a_terminal_acts_on_is_printed(wild, mutant):
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=False, color_system=None)
    console.print(diff_to_rich(word_diff(wild, mutant)))
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", out.getvalue()
    )


def test_escape_sequences_are_shown():
    assert diff_to_rich([("equal", "a\x1b[2Jb\r\n\x9b\u202ec")]).plain == "a\\x1b[2Jb\\r\n\\x9b\\u202ec"


@pytest.mark.parametrize("blank, shown", [(" ", "␣"), ("\n\n", "⏎\n⏎\n")])
def test_a_change_of_blanks_alone_can_be_seen(blank, shown):
    assert diff_to_rich(word_diff("end", "end" + blank)).plain == "end" + shown


@given(TEXTS, TEXTS)
def test_html_reads_back_as_the_diff(wild, mutant):
    diff = word_diff(wild, mutant)
    parser = read_html(diff_to_html(diff))
    assert parser.tags[0] == "div"
    assert set(parser.tags[1:]) <= {"del", "ins"}
    for op in ("equal", "delete", "insert"):
        shown = join(parser.segments, op)
        assert shown == diff_to_rich([("equal", join(diff, op))]).plain


def test_html_escapes_and_keeps_newlines():
    page = diff_to_html([("equal", "<script>\n"), ("delete", 'a & "b"'), ("insert", "</ins>\x1b")])
    assert "<del>a &amp; &quot;b&quot;</del><ins>&lt;/ins&gt;\\x1b</ins>" in page
    assert "&lt;script&gt;\n" in page
    assert "white-space: pre-wrap" in page
    assert "<script>" not in page
