"""Two screens by hand, the exact test against SciPy's, and its error rate with dependent mutants."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from analysis.frames import loci_of, records_of, records_of_arrays
from mutascope import MutascopeError
from mutascope.analysis.comparison import compare_mutants, count_changes

LOCI = loci_of({(0, "q"): (1, 5), (1, "down"): (1, 2)})
BASE = records_of({(0, "q"): "#+-.#", (1, "down"): "++"})
TUNED = records_of({(0, "q"): "#-..  ", (1, "down"): "##"})


def changes(a: pl.DataFrame, b: pl.DataFrame, *by: str) -> pl.DataFrame:
    return count_changes(compare_mutants({"a": a, "b": b}, {"a": LOCI, "b": LOCI}), by)


def test_outcomes_by_hand():
    frame = compare_mutants({"base": BASE, "tuned": TUNED}, {"base": LOCI, "tuned": LOCI})
    q = frame.filter(kind="q")
    assert q.select("col", "mutation", "outcome").rows() == [
        (0, "max", "shared"),
        (0, "min", "shared"),
        (1, "max", "lost"),
        (1, "min", "gained"),
        (2, "max", "silent"),
        (2, "min", "lost"),
        (3, "max", "silent"),
        (3, "min", "silent"),
    ]
    assert q["same_phenotype"].to_list() == [True, True, *[None] * 6]
    renamed = TUNED.with_columns(phenotype=pl.col("phenotype") + "!")
    other = compare_mutants({"a": BASE, "b": renamed}, {"a": LOCI, "b": LOCI})
    assert other.filter(outcome="shared")["same_phenotype"].to_list() == [False] * 4


def test_counts_by_hand():
    row = changes(BASE, TUNED).row(0, named=True)
    assert row["mutants"] == 12
    assert (row["nsm_a"], row["nsm_b"]) == (6, 7)
    assert (row["lost"], row["gained"], row["shared"], row["same_phenotype"]) == (2, 3, 4, 4)
    # column 1 of q loses one and gains one: no change of the site
    assert (row["sites_lost"], row["sites_gained"]) == (1, 2)
    assert row["p"] == 1
    by_kind = changes(BASE, TUNED, "kind")
    assert by_kind.select("kind", "lost", "gained").rows() == [("q", 2, 1), ("down", 0, 2)]
    assert by_kind["p"].to_list() == [1, 0.5]
    assert by_kind["q"].to_list() == [1, 1]
    by_mutation = changes(BASE, TUNED, "mutation")
    assert by_mutation.select("mutation", "sites_lost", "sites_gained").rows() == [
        ("max", 1, 0),
        ("min", 1, 3),
    ]


@given(*[npst.arrays(np.int8, (1, 5), elements=st.integers(1, 4))] * 2)
def test_the_other_way_round_loses_what_was_gained(first, second):
    a, b = (records_of_arrays({(0, "q"): m}) for m in (first, second))
    there, back = changes(a, b).row(0, named=True), changes(b, a).row(0, named=True)
    assert (there["lost"], there["gained"], there["nsm_a"]) == (back["gained"], back["lost"], back["nsm_b"])
    assert there["p"] == back["p"]
    lost, gained = there["sites_lost"], there["sites_gained"]
    assert there["p"] == pytest.approx(stats.binomtest(lost, lost + gained).pvalue if lost + gained else 1)
    itself = changes(a, a).row(0, named=True)
    assert (itself["lost"], itself["gained"], itself["p"]) == (0, 0, 1)
    assert itself["shared"] == itself["same_phenotype"] == (~a["silent"]).sum()


def test_dependent_mutants_of_a_site_do_not_make_differences():
    """Both mutations of a site mostly change together; of 200 comparisons at most 5 % (and chance) are called."""
    random, called = np.random.default_rng(0), 0
    for _ in range(200):
        sites = random.choice([1, 4], (2, 60))
        sites = np.where(random.random((2, 60)) < 0.1, random.integers(1, 5, (2, 60)), sites)
        a, b = (records_of_arrays({(0, "q"): row[None]}) for row in sites)
        loci = loci_of({(0, "q"): (1, 60)})
        called += count_changes(compare_mutants({"a": a, "b": b}, {"a": loci, "b": loci}))["p"].item() <= 0.05
    assert called <= 15


def test_screens_that_cannot_be_compared():
    both = {"a": LOCI, "b": LOCI}
    with pytest.raises(MutascopeError, match="two screens, not 1"):
        compare_mutants({"a": BASE}, both)
    with pytest.raises(MutascopeError, match="a and b have no mutant in common"):
        compare_mutants({"a": BASE, "b": BASE.with_columns(mutation=pl.lit("zero"))}, both)
    with pytest.raises(MutascopeError, match="equal shape and tile"):
        compare_mutants({"a": BASE, "b": BASE}, {"a": LOCI, "b": loci_of({(0, "q"): (2, 5)})})
