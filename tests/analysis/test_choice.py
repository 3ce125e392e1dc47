"""Severity of choice phenotypes by hand, and the paper's published table of malignant mutants."""

from pathlib import Path

import polars as pl
import pytest
from frames import records_of

from mutascope import MutascopeError
from mutascope.analysis.choice import (
    SCORE_THRESHOLDS,
    choice_frame,
    destruction_counts,
    malignant,
    malignant_against,
    mutants_by_locus,
)
from mutascope.analysis.lines import top_lines
from mutascope.analysis.severity import marked_sites
from mutascope.analysis.status import Status

WILD_TYPE = ("A", "B", "C", "D")
PHENOTYPES = pl.DataFrame(
    {
        "phenotype": ["wild", "other letters", "partly", "wholly", "empty", "non-finite"],
        "text": ["A\nB\nC\nD", "A\nA\nA\nD", "A\nC\nthe\n", "a\n1\nThe\nD.", "\n\n\n", None],
    }
)


def test_phenotypes_by_hand():
    frame = choice_frame(PHENOTYPES, WILD_TYPE)
    assert frame.rows() == [
        ("wild", 4, 4, 0, "none"),
        ("other letters", 4, 2, 2, "none"),
        ("partly", 2, 1, 3, "partly"),  # A as in the wild type, C instead of B
        ("wholly", 0, 0, 4, "wholly"),
        ("empty", 0, 0, 4, "wholly"),
        ("non-finite", 0, 0, 4, "wholly"),
    ]


def test_another_number_of_answers_is_an_error():
    with pytest.raises(MutascopeError, match="phenotype wild has 4 answers and the wild type 3"):
        choice_frame(PHENOTYPES, WILD_TYPE[:3])
    with pytest.raises(MutascopeError, match="has no answers"):
        choice_frame(PHENOTYPES, ())


def choice_records() -> pl.DataFrame:
    """Locus 0.q: sites 0 to 2, max and min; the max of site 2 is silent."""
    records = records_of({(0, "q"): "##-"})
    names = ["other letters", "partly", "wholly", "non-finite", "wild", "partly"]
    scores = [12, 9, 0, 0, 14, 8]
    return records.with_columns(phenotype=pl.Series(names), score=pl.Series(scores, dtype=pl.Int16))


def test_counts_by_hand():
    counts = destruction_counts(choice_records(), choice_frame(PHENOTYPES, WILD_TYPE))
    assert counts.row(0, named=True) == {
        **{"nsm": 5, "underperforming": 4, "destructive": 4, "wholly": 2, "partly": 2, "both": 4},
        **{"letters": 4, "agreeing": 2, "agreement": 0.5},
    }
    by_mutation = destruction_counts(choice_records(), choice_frame(PHENOTYPES, WILD_TYPE), ["mutation"])
    assert by_mutation.sort("mutation").select("mutation", "nsm", "destructive", "agreement").rows() == [
        ("max", 2, 1, None),  # its destructive mutant has no letter left
        ("min", 3, 3, 0.5),
    ]


def test_counts_of_a_silent_screen_are_zero():
    records = choice_records().with_columns(silent=True)
    counts = destruction_counts(records, choice_frame(PHENOTYPES, WILD_TYPE)).row(0)
    assert counts == (0, 0, 0, 0, 0, 0, 0, 0, None)


def test_score_and_destruction_maps():
    records = choice_records()
    maps = [marked_sites(records, pl.col("score") <= limit) for limit in SCORE_THRESHOLDS]
    assert [sites.select("col", "status").rows() for sites in maps] == [
        [(1, Status.BOTH)],
        [(1, Status.BOTH)],
        [(1, Status.BOTH), (2, Status.MIN_ONLY)],
    ]
    joined = records.join(choice_frame(PHENOTYPES, WILD_TYPE), on="phenotype")
    partly = marked_sites(joined, pl.col("destruction") == "partly")
    assert partly.select("col", "status").rows() == [(0, Status.MIN_ONLY), (2, Status.MIN_ONLY)]


def text_records() -> pl.DataFrame:
    """The same mutants in a text assay, its first and last silent."""
    records = records_of({(0, "q"): "-#+"})
    return records.with_columns(cosine=pl.Series([0.0, 0.4, 0.5, 0.49, 0.1, 0.1], dtype=pl.Float64))


def test_malignant_mutants_are_severe_and_non_silent_in_both():
    # By mutant: site 0 max is silent in the text assay, min scores 9; site 1 max is at the bound of the cosine, min
    # is malignant; site 2 max is silent in the choice assay, min is silent in the text assay.
    assert malignant(choice_records(), text_records()).rows() == [(0, "q", 0, 1, "min", 0, 0.49)]
    looser = malignant(choice_records(), text_records(), max_cosine=0.51, max_score=9)
    assert looser.select("col", "mutation").rows() == [(0, "min"), (1, "max"), (1, "min")]


def test_mutants_that_one_assay_did_not_screen_do_not_count():
    assert malignant(choice_records(), text_records().filter(pl.col("col") != 1)).is_empty()


def test_malignant_against_several_assays():
    screens = {"drosophila": text_records(), "newton": text_records().with_columns(cosine=pl.lit(0.0))}
    table = malignant_against(choice_records(), screens)
    assert table.select("assay", "col", "mutation").rows() == [
        ("drosophila", 1, "min"),
        ("newton", 1, "max"),
        ("newton", 1, "min"),
    ]


def test_by_locus_most_first():
    mutants = records_of({(0, "q"): "+", (1, "v"): "##", (0, "v"): "+"}).filter(~pl.col("silent"))
    assert mutants_by_locus(mutants).rows() == [(1, "v", 4, 4 / 6), (0, "q", 1, 1 / 6), (0, "v", 1, 1 / 6)]


@pytest.fixture
def published(shared: Path) -> pl.DataFrame:
    file = shared / "data" / "llama2_7b_mmlu21_severe.csv"
    table = pl.read_csv(file, schema_overrides={"drosophila_cosine": pl.String})
    cosine = pl.col("drosophila_cosine")
    return table.rename({"matrix": "kind", "mmlu21_score": "score"}).with_columns(
        silent=cosine == "standard",
        cosine=pl.when(cosine == "standard").then(1.0).otherwise(cosine.cast(pl.Float64, strict=False)),
    )


def test_the_published_table_of_malignant_mutants(published: pl.DataFrame):
    mutants = malignant(published.with_columns(silent=False), published)
    assert len(mutants) == 922
    by_locus = mutants_by_locus(mutants)
    assert len(by_locus) == 21
    # Four loci hold more than 90 % of them, on columns rather than rows.
    assert by_locus["share"].head(4).sum() > 0.9
    columns = top_lines(mutants).filter(axis="col")
    assert columns["mutants"].sum() == 922
    assert columns["share"][0] > top_lines(mutants).filter(axis="row")["share"][0]
