"""Writer panel: initial words, the rule for common ones, and the tests of rare ones, by hand and on planted data."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mutascope.analysis.writers import (
    NO_WORD,
    common_words,
    genre_summary,
    genres_of_writers,
    initial_words,
    rare_and_low_cosine_lines,
    rarity_by_cosine,
    top_words,
    word_groups,
    writers_by_locus,
    writers_by_score,
    writers_frame,
)
from mutascope.core.schema import MUTANT_KEY

TYPES = {"layer": pl.Int16, "kind": pl.String, "row": pl.Int32, "col": pl.Int32, "mutation": pl.String}


def mutant(col: int, layer: int = 0, row: int = 0) -> tuple:
    return (layer, "down", row, col, "max")


def outputs_of(texts: dict[tuple, list[str | None]]) -> pl.DataFrame:
    rows = [(*key, prompt, text) for key, column in texts.items() for prompt, text in enumerate(column)]
    return pl.DataFrame(rows, schema={**TYPES, "prompt": pl.Int32, "continuation": pl.String}, orient="row")


def wild_of(texts: list[str | None]) -> pl.DataFrame:
    types = {"prompt": pl.Int32, "continuation": pl.String}
    return pl.DataFrame({"prompt": range(len(texts)), "continuation": texts}, schema=types)


def writers_of(rows: Sequence[tuple[int, int, int, str | None]]) -> pl.DataFrame:
    """Rows of (layer, row, col, rare word, None for a common one)."""
    frame = [
        (layer, "down", row, col, "max", word or "The", word is not None) for layer, row, col, word in rows
    ]
    return pl.DataFrame(frame, schema={**TYPES, "word": pl.String, "rare": pl.Boolean}, orient="row")


@pytest.mark.parametrize(
    "text, word",
    [
        ("The fly", "The"),
        (" \n\tthe,\nfly", "the,"),
        ("otta: I am", "otta:"),
        ("", NO_WORD),
        (" \n ", NO_WORD),
        (None, NO_WORD),
    ],
)
def test_initial_word(text: str | None, word: str):
    assert initial_words(wild_of([text]))["word"].to_list() == [word]


@given(st.text(max_size=10))
def test_initial_word_is_the_first_that_python_splits(text: str):
    control = {"\x1c", "\x1d", "\x1e", "\x1f"}  # white space to Python alone
    if not control & set(text):
        assert initial_words(wild_of([text]))["word"][0] == (text.split() or [NO_WORD])[0]


def test_top_word_by_hand():
    texts = {
        mutant(0): ["a fly", "b fly", "b", "c"],
        mutant(1): ["b", "a", "a", "b"],  # a tie: b occurs first
        mutant(2): [None, "", "a", None],
    }
    shuffled = initial_words(outputs_of(texts)).sort("prompt", descending=True)
    tops = top_words(shuffled)
    assert {row[3]: row[5:] for row in tops.rows()} == {0: ("b", 2, 4), 1: ("b", 2, 4), 2: (NO_WORD, 3, 4)}
    assert tops["col"].to_list() == [0, 1, 2]
    assert top_words(initial_words(wild_of(["x", "y", "y"])), by=()).rows() == [("y", 2, 3)]


def tops_of(counts: dict[str, int]) -> pl.DataFrame:
    return pl.DataFrame({"word": [word for word, count in counts.items() for _ in range(count)]})


@pytest.mark.parametrize(
    "counts, common",
    [
        ({"The": 10, "It": 489}, ["The"]),  # 499 NSMs: the wild type's word alone
        ({"The": 490, "It": 10}, ["The"]),  # 98 % already
        ({"The": 489, "It": 9, "A": 2}, ["The", "It"]),  # 97.8 %, then 99.6 %
        ({"The": 300, "It": 180, "A": 10, "B": 10}, ["The", "It", "A"]),  # 96, 98 %: A before B
        ({"It": 495, "A": 5}, ["The", "It"]),  # no NSM shares the wild type's word
    ],
)
def test_common_words(counts: dict[str, int], common: list[str]):
    assert common_words(tops_of(counts), "The") == common


def test_writers_frame_by_hand():
    outputs = outputs_of({mutant(0): ["The a", "The b", "x"], mutant(1): ["staring", "staring at", "The"]})
    frame = writers_frame(outputs, wild_of(["The", "The", "It"]))
    assert frame.select("col", "word", "outputs", "prompts", "rare").rows() == [
        (0, "The", 2, 3, False),
        (1, "staring", 2, 3, True),
    ]
    assert writers_frame(outputs.clear(), wild_of([])).columns == [
        *MUTANT_KEY,
        "word",
        "outputs",
        "prompts",
        "rare",
    ]


def test_histogram_by_hand():
    writers = pl.DataFrame(
        {
            "cosine": [0.0, 0.1, 0.5, 0.95, 1.0000000000000002, None],
            "rare": [True, True, True, False, False, True],
        }
    )
    table = rarity_by_cosine(writers)
    assert table["rare"].to_list() == [1, 1, 0, 0, 0, 1, 0, 0, 0, 0]
    assert table["common"].to_list() == [0, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert (table["low"][0], table["high"][9]) == (0, 1)
    assert rarity_by_cosine(writers.clear(), bins=4)["rare"].to_list() == [0, 0, 0, 0]


def test_by_locus():
    writers = writers_of([(1, 0, 0, "a"), (1, 0, 1, "b"), (1, 0, 2, "b"), (0, 0, 0, None)])
    assert writers_by_locus(writers).rows() == [(0, "down", 1, 0, 0), (1, "down", 3, 3, 2)]


def test_mutants_of_a_word_that_share_a_row_are_found():
    # Three words in two loci, each on a row of its own and on scattered columns.
    random = np.random.default_rng(1)
    rows = [
        (layer, row, int(col), word)
        for layer in (1, 30)
        for row, word in ((3, "staring"), (8, "otta"), (9, "betrayal"))
        for col in random.choice(64, 5, replace=False)
    ]
    table = word_groups(writers_of([*rows, (5, 5, 5, "once"), (5, 6, 6, None)]))
    assert table["word"].to_list() == ["betrayal", "otta", "staring", None]
    assert table.select("mutants", "loci", "rows").rows() == [(10, 2, 1)] * 3 + [(30, 6, 3)]
    assert (table["p_rows"] < 0.005).all()
    assert (table["p_cols"] > 0.05).all()
    assert table["expected_rows"][3] == pytest.approx(9, abs=0.3)  # shuffled, every word is on every row


def test_groups_by_hand():
    # In one locus: a, a, b on rows 0, 0, 1. Of the three ways to place the b, one leaves both a on one row.
    table = word_groups(writers_of([(0, 0, 0, "a"), (0, 0, 1, "a"), (0, 1, 2, "b")]), permutations=3999)
    assert table.select("word", "mutants", "rows", "cols").rows() == [("a", 2, 1, 2), (None, 2, 1, 2)]
    assert table["expected_rows"][0] == pytest.approx(1 / 3 + 2 * 2 / 3, abs=0.04)
    assert table["p_rows"][0] == pytest.approx(1 / 3, abs=0.04)
    assert table["p_cols"][0] == 1


def test_words_are_shuffled_within_loci_only():
    # Each word fills a locus of its own with one row: nothing to shuffle, nothing found.
    rows = [(0, 4, col, "a") for col in range(5)] + [(1, 7, col, "b") for col in range(5)]
    table = word_groups(writers_of(rows))
    assert table["rows"].to_list() == [1, 1, 2]
    assert (table["p_rows"] == 1).all()


def test_max_and_min_of_a_site_with_the_same_word_are_no_finding():
    # Every word is said by the two mutants of one site: they share its row by themselves.
    random, p_values = np.random.default_rng(1), []
    for draw in range(60):
        cells = random.choice(400, 12, replace=False)
        pairs = [(0, int(cell) // 20, int(cell) % 20, f"w{number}") for number, cell in enumerate(cells)]
        table = word_groups(writers_of(pairs + pairs), permutations=199, seed=draw)
        p_values += [table["p_rows"][-1], table["p_cols"][-1]]
    assert min(p_values) == 1


def test_p_values_of_scattered_words_are_not_small():
    random = np.random.default_rng(0)
    p_values = []
    for draw in range(200):
        places = random.integers(0, 12, (40, 2))
        words = random.choice(["a", "b", "c"], 40)
        rows = [
            (i % 2, int(r), int(c), str(w)) for i, ((r, c), w) in enumerate(zip(places, words, strict=True))
        ]
        p_values.append(word_groups(writers_of(rows), permutations=199, seed=draw)["p_rows"][-1])
    assert np.mean(np.array(p_values) <= 0.05) <= 0.08


def test_no_rare_word():
    for writers in (writers_of([(0, 0, 0, None)]), writers_of([(0, 0, 0, "once")]), writers_of([])):
        table = word_groups(writers)
        assert table.is_empty()
        assert table.columns[-6:] == [
            "expected_rows",
            "p_rows",
            "q_rows",
            "expected_cols",
            "p_cols",
            "q_cols",
        ]


def test_rare_columns_against_low_cosine_columns():
    rare = [(1, row, col, "a") for row in range(4) for col in (5, 16)]
    writers = writers_of([*rare, (1, 9, 16, None)])
    places = [(row, col) for row in range(20) for col in range(20)]
    records = pl.DataFrame(
        [(1, "down", row, col, "max", False, 0.1 if col in (5, 16) else 0.9) for row, col in places],
        schema={**TYPES, "silent": pl.Boolean, "cosine": pl.Float64},
        orient="row",
    )
    column = rare_and_low_cosine_lines(records, writers).filter(axis="col").row(0, named=True)
    # Sixteen other mutants of each column have a low cosine; the panelled one with a common word is among them.
    assert (column["first"], column["second"], column["shared"]) == (8, 32, 32)
    assert column["expected"] == 0
    silent = records.with_columns(silent=True)
    assert rare_and_low_cosine_lines(silent, writers).is_empty()


def test_by_score():
    writers = writers_of([(0, 0, 0, "a"), (0, 0, 1, "a"), (0, 0, 2, None), (0, 0, 3, "b")])
    scores = pl.DataFrame(
        [(*mutant(0), True, 14), (*mutant(1), False, 3), (*mutant(2), False, 3)],
        schema={**TYPES, "silent": pl.Boolean, "score": pl.Int16},
        orient="row",
    )
    assert writers_by_score(writers, scores).rows() == [
        (True, "a", 3, 1, 0),
        (True, "a", 14, 1, 1),
        (False, None, 3, 1, 0),
    ]


PANEL = pl.DataFrame(
    {"prompt": range(11), "text": ["?"] * 11, "genre": ["drosophila", *["literary"] * 6, *["factual"] * 4]},
    schema_overrides={"prompt": pl.Int32},
)


def test_literary_against_factual_by_hand():
    outputs = outputs_of(
        {
            mutant(0): ["a", *["a"] * 6, *["The"] * 4],
            mutant(1): ["The", *["a"] * 4, "The", "The", *["a"] * 2, *["The"] * 2],
            mutant(2): ["The"] * 11,
        }
    )
    writers = writers_frame(outputs, wild_of(["The"]))
    table = genres_of_writers(outputs, writers, PANEL)
    names = ("col", "word", "literary", "literary_prompts", "factual", "factual_prompts")
    assert table.select(names).rows() == [(0, "a", 6, 6, 0, 4), (1, "a", 4, 6, 2, 4)]
    expected = [stats.fisher_exact([[6, 0], [0, 4]])[1], stats.fisher_exact([[4, 2], [2, 2]])[1]]
    assert table["p"].to_list() == pytest.approx(expected)
    assert table["p"][0] == pytest.approx(1 / 210)  # one of the 10 choose 4 tables
    assert table["q"][0] == pytest.approx(2 / 210)
    # One word: mean shares of its two mutants.
    summary = genre_summary(table)
    assert (summary["words"], summary["literary"], summary["factual"]) == (1, (1 + 4 / 6) / 2, 0.25)
    assert summary["p"] == 1


def test_genres_without_writers():
    outputs = outputs_of({mutant(2): ["The"] * 11})
    table = genres_of_writers(outputs, writers_frame(outputs, wild_of(["The"])), PANEL)
    assert table.is_empty()
    assert genre_summary(table) == {"words": 0, "literary": None, "factual": None, "p": None, "least_p": None}


def test_words_that_do_not_differ_between_genres_have_no_p():
    outputs = outputs_of({mutant(0): ["a"] * 11})
    table = genres_of_writers(outputs, writers_frame(outputs, wild_of(["The"])), PANEL)
    assert table["p"].to_list() == [1]
    assert genre_summary(table) == {"words": 1, "literary": 1, "factual": 1, "p": None, "least_p": None}
