"""The classifier of forms, on texts made for it."""

import polars as pl
import pytest

from mutascope.analysis.forms import Form, classify_text, form_shares

POEM = """
watching the kettle grow old
a window of rain and of tea
the spoon remembers the sea
a winter that never was told

the clock has forgotten the hour
"""
DIALOGUE = """
mara: Have you fed the flies?
jon: Which flies?
mara: The ones in the kitchen.
jon: (pauses) I fed them
"""
NOVEL = (
    'He sat down. "You came late," she said. "The bus was late," he answered, and looked away.\n'
    '"It always is late," she said.'
)
FIRST_PERSON = (
    "I have kept flies for years. My first ones lived in a jar, and I’ve never told anyone of them."
)
PROSE = """The fruit fly passes through four stages: egg, larva, pupa and adult.

1. Egg: The female lays the eggs on fruit.
2. Larva: It hatches after a day.
3. Pupa: It rests.
4. Adult: It flies, and the cycle begins again with"""
CODE = """
def bubble_sort(values):
    n = len(values)
    for i in range(n):
        for j in range(n - i - 1):
            swap(values, j)
    return values
"""
HEADINGS = """Egg: a small oval.
Larva: a white worm.
Pupa: a brown case.
Adult: a fly."""
SHORT_SENTENCES = "It is an egg.\nIt is a larva.\nIt is a pupa.\nIt is a fly.\nIt is"


@pytest.mark.parametrize(
    "text, form",
    [
        (POEM, Form(poem=True, dialogue=False, first_person=False)),
        (DIALOGUE, Form(poem=False, dialogue=True, first_person=False)),
        (NOVEL, Form(poem=False, dialogue=True, first_person=False)),
        (FIRST_PERSON, Form(poem=False, dialogue=False, first_person=True)),
        (POEM + "i think of me and of mine", Form(poem=True, dialogue=False, first_person=True)),
        *((text, Form(False, False, False)) for text in (PROSE, CODE, HEADINGS, SHORT_SENTENCES, "", "\n\n")),
    ],
)
def test_forms(text: str, form: Form):
    assert classify_text(text) == form


@pytest.mark.parametrize(
    "text", ["The Egg and I is a book about hens", "add i to j, then add i to k and i to l"]
)
def test_a_single_or_lower_case_i_is_no_first_person(text: str):
    assert not classify_text(text).first_person


def test_shares_by_hand():
    outputs = pl.DataFrame(
        {"col": [0, 0, 0, 0, 1], "continuation": [POEM, POEM, DIALOGUE, None, FIRST_PERSON]},
        schema={"col": pl.Int32, "continuation": pl.String},
    )
    assert form_shares(outputs, ["col"]).rows() == [(0, 4, 0.5, 0.25, 0), (1, 1, 0, 0, 1)]
    assert form_shares(outputs).rows() == [(5, 0.4, 0.2, 0.2)]
    assert form_shares(outputs.clear()).rows() == [(0, None, None, None)]
    assert form_shares(outputs.clear(), ["col"]).is_empty()
