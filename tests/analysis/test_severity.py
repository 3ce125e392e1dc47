"""Severity of text phenotypes: hand-computed cosines, and maps at thresholds."""

import math

import polars as pl
import pytest
from frames import records_of
from hypothesis import given
from hypothesis import strategies as st

from mutascope import MutascopeError
from mutascope.analysis.severity import (
    bag_of_words_cosine,
    low_sites,
    marked_sites,
    severity_frame,
    strangest,
    tokenise,
    with_severity,
)
from mutascope.analysis.status import Status

WORDS = st.lists(st.sampled_from(["egg", "larva", "pupa", "(adult)", "4"]), max_size=12).map(" ".join)


def phenotypes_of(continuations: dict[str, str | None]) -> pl.DataFrame:
    texts = [None if text is None else f"prompt {text}" for text in continuations.values()]
    return pl.DataFrame(
        {"phenotype": list(continuations), "text": texts, "continuation": list(continuations.values())},
        schema={"phenotype": pl.String, "text": pl.String, "continuation": pl.String},
    )


@pytest.mark.parametrize(
    "text, words",
    [
        ("The egg,the LARVA.\nwhat? why!", ["the", "egg", "the", "larva", "what", "why"]),
        ("(fruit flies) [a] {b} ((c))", ["fruit", "flies", "a", "b", "c"]),
        ("1 (2) 24 4th 3.5 x2", ["4th", "x2"]),
        ("a:b; c-d\te", ["a:b;", "c-d\te"]),
        ("() [] . , ", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]):
    assert tokenise(text) == words


@pytest.mark.parametrize(
    "text, cosine",
    [
        ("egg egg larva", 1.0),
        ("Egg. Larva? egg!", 1.0),  # order, case and marks do not count
        ("egg", 2 / math.sqrt(5)),  # (2, 1) and (1, 0)
        ("egg larva larva", 4 / 5),  # (2, 1) and (1, 2)
        ("egg larva pupa pupa", 3 / math.sqrt(5 * 6)),  # (2, 1, 0) and (1, 1, 2)
        ("pupa", 0.0),
        ("12 13.", 0.0),
        ("", 0.0),
    ],
)
def test_cosine_by_hand(text: str, cosine: float):
    assert bag_of_words_cosine([text], "egg egg larva") == pytest.approx([cosine])


def test_cosine_against_a_wild_type_without_words_is_zero():
    assert bag_of_words_cosine(["egg", ""], "1.").tolist() == [0, 0]


@given(first=WORDS, second=WORDS)
def test_cosine_is_symmetric_and_one_on_itself(first: str, second: str):
    one, other = bag_of_words_cosine([second, first], first)
    assert one == pytest.approx(bag_of_words_cosine([first], second)[0])
    assert 0 <= one <= 1 + 1e-12
    assert other == pytest.approx(1.0 if tokenise(first) else 0.0)


def test_severity_frame():
    phenotypes = phenotypes_of({"wild": "egg egg", "far": "pupa", "cut": "egg", "non-finite": None})
    severity = severity_frame(phenotypes, "egg egg")
    assert severity.schema == {
        "phenotype": pl.String,
        **dict.fromkeys(["cosine", "chrf", "edit"], pl.Float64),
    }
    assert severity["phenotype"].to_list() == phenotypes["phenotype"].to_list()
    assert severity["cosine"].to_list() == pytest.approx([1, 0, 1, 0])
    # "egg" is three letters of seven; "pupa" to "egg egg": 7 edits, no letter in common.
    assert severity["edit"].to_list() == pytest.approx([0, 1, 4 / 7, 1])
    assert severity["chrf"][0] == pytest.approx(100)
    assert severity["chrf"][1] == severity["chrf"][3] == 0
    assert 0 < severity["chrf"][2] < 100


def test_phenotypes_of_several_prompts_have_no_severity():
    phenotypes = pl.DataFrame({"phenotype": ["a"], "text": ["A\nB"], "continuation": [None]}).cast(pl.String)
    assert severity_frame(phenotypes, "egg").row(0) == ("a", None, None, None)


def test_severity_of_nothing():
    assert severity_frame(phenotypes_of({}), "egg").shape == (0, 4)


def severe_records() -> pl.DataFrame:
    """Sites (0,0) to (0,3): cosines of max and min; the last site also has a severe zero mutant."""
    records = records_of({(0, "q"): "##.+"})
    cosines = {(0, "max"): 0.05, (0, "min"): 0.55, (1, "max"): 0.15, (1, "min"): 0.05, (3, "max"): 0.9}
    zero = records.tail(1).with_columns(mutation=pl.lit("zero"), silent=False)
    records = pl.concat([records, zero])
    values = [cosines.get((row["col"], row["mutation"]), 0.0) for row in records.iter_rows(named=True)]
    return records.with_columns(cosine=pl.Series(values, dtype=pl.Float64))


def test_low_sites_have_the_cosines_of_their_nsms():
    found = low_sites(severe_records(), "cosine", 0.6)
    assert found.columns == ["layer", "kind", "row", "col", "cosine_max", "cosine_min", "cosine_zero"]
    assert found.drop("layer", "kind", "row").rows() == [
        (0, 0.05, 0.55, None),
        (1, 0.15, 0.05, None),
        (3, 0.9, None, 0.0),  # zero alone is severe there
    ]
    assert low_sites(severe_records(), "cosine", 0.05)["col"].to_list() == [3]


@pytest.mark.parametrize("limit", [0.1, 0.2, 0.6])
def test_maps_at_thresholds_follow_from_low_sites(limit):
    records = severe_records().filter(pl.col("mutation") != "zero")
    found = low_sites(records, "cosine", 0.6)
    code = (pl.col("cosine_max") < limit).fill_null(False) + 2 * (pl.col("cosine_min") < limit).fill_null(
        False
    )
    mapped = found.select("col", status=Status.SILENT + code).filter(pl.col("status") != Status.SILENT)
    assert mapped.rows() == marked_sites(records, pl.col("cosine") < limit).select("col", "status").rows()


def test_silent_and_unknown_are_never_severe():
    assert low_sites(severe_records().with_columns(silent=True), "cosine", 1.0).is_empty()
    unknown = severe_records().with_columns(cosine=pl.lit(None, pl.Float64))
    assert low_sites(unknown, "cosine", 1.0).is_empty()
    assert marked_sites(severe_records(), pl.lit(None, pl.Boolean)).is_empty()


def test_a_screen_of_zero_alone_has_marked_sites_without_a_status():
    sites = marked_sites(severe_records().filter(mutation="zero"), pl.col("cosine") < 0.5)
    assert sites.select("col", "status", "zero_nsm").rows() == [(3, Status.UNSCREENED, True)]


def test_marked_sites_take_any_expression():
    sites = marked_sites(severe_records(), pl.col("mutation") == "min")
    assert sites.select("col", "status").rows() == [(0, Status.MIN_ONLY), (1, Status.MIN_ONLY)]


def test_records_keep_their_order_and_a_missing_phenotype_is_an_error():
    records = pl.DataFrame({"phenotype": ["b", "a", "b"]})
    severity = severity_frame(phenotypes_of({"a": "egg", "b": "pupa"}), "egg")
    assert with_severity(records, severity)["cosine"].to_list() == [0, 1, 0]
    with pytest.raises(MutascopeError, match="1 records have a phenotype without a severity, 'c'"):
        with_severity(pl.DataFrame({"phenotype": ["a", "c"]}), severity)


def test_strangest_phenotypes_first():
    # Both "far" and "farther" have cosine 0; the first has letters in place, the second none.
    texts = {"wild": "egg egg", "same words": "egg", "far": "pgg egq", "farther": "pupa", "non-finite": None}
    phenotypes = phenotypes_of(texts)
    severity = severity_frame(phenotypes, "egg egg")
    records = records_of({(0, "q"): "++", (1, "v"): "+"}).with_columns(
        phenotype=pl.Series(["far", "wild", "same words", "wild", "far", "farther"])
    )
    records = pl.concat([records, records.head(1).with_columns(phenotype=pl.lit("non-finite"))])
    records = records.with_columns(silent=pl.col("phenotype") == "wild")
    table = strangest(records, severity, phenotypes)
    assert table["phenotype"].to_list() == ["farther", "far", "same words"]
    assert table.select("mutants", "loci", "layer", "kind", "col", "mutation", "continuation").row(1) == (
        *(2, 2, 0, "q", 0, "max"),
        "pgg egq",
    )
    assert strangest(records, severity, phenotypes, count=1)["phenotype"].to_list() == ["farther"]
