"""Counts by hand, and sums that must agree with each other whatever the records."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analysis.frames import RECORDS, records_of
from mutascope.analysis.counts import count_nsms, count_statuses, silent_loci, zero_tables
from mutascope.core.schema import LOCUS_KEY

MAPS = {(0, "q"): "+#\n..", (0, "down"): "--", (1, "q"): ".. "}


def frame_of(rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=RECORDS, orient="row")


def test_counts_of_a_whole_screen_by_hand():
    assert count_nsms(records_of(MAPS)).row(0, named=True) == {
        "loci": 3,
        "silent_loci": 1,
        "sites": 8,
        "mutants": 16,
        "nsm": 5,
        "phenotypes": 5,
    }


def test_counts_by_group_by_hand():
    by_kind = count_nsms(records_of(MAPS), ["kind"])
    assert by_kind.rows() == [("q", 2, 1, 6, 12, 3, 3), ("down", 1, 0, 2, 4, 2, 2)]
    by_mutation = count_nsms(records_of(MAPS), ["mutation"])
    assert by_mutation.rows() == [("max", 3, 2, 8, 8, 2, 2), ("min", 3, 1, 8, 8, 3, 3)]
    by_locus = count_nsms(records_of(MAPS), [*LOCUS_KEY])
    assert by_locus.select("layer", "kind", "nsm").rows() == [(0, "q", 3), (0, "down", 2), (1, "q", 0)]


def test_a_phenotype_of_many_loci_is_one_and_the_wild_type_none():
    records = records_of(MAPS).with_columns(
        phenotype=pl.when("silent").then(pl.lit("w")).otherwise(pl.lit("a"))
    )
    assert count_nsms(records)["phenotypes"].item() == 1
    assert count_nsms(records, ["layer"])["phenotypes"].to_list() == [1, 0]


def test_silent_loci_are_those_with_records():
    assert silent_loci(records_of(MAPS)).rows() == [(1, "q", 2, 4)]
    zero = frame_of([(1, "q", 0, 0, "zero", False, "z")])
    assert silent_loci(pl.concat([records_of(MAPS), zero])).is_empty()


def test_statuses_by_hand():
    assert count_statuses(records_of(MAPS)).row(0) == (8, 4, 1, 2, 1)
    assert count_statuses(records_of(MAPS), ["kind"]).rows() == [
        ("q", 6, 4, 1, 0, 1),
        ("down", 2, 0, 0, 2, 0),
    ]
    only_zero = frame_of([(1, "q", 0, 0, "zero", False, "z")])
    assert count_statuses(only_zero).row(0) == (0, 0, 0, 0, 0)


def test_zero_against_max_and_min_by_hand():
    zero = frame_of(
        [(0, "q", row, col, "zero", (row, col) != (0, 0), "z") for row in (0, 1) for col in (0, 1)]
    )
    lone = frame_of(
        [
            (0, "q", 5, 5, "zero", False, "z"),
            (0, "q", 6, 6, "zero", False, "z"),
            (0, "q", 6, 6, "min", True, "w"),
        ]
    )
    tables = {
        row["against"]: row for row in zero_tables(pl.concat([records_of(MAPS), zero, lone])).to_dicts()
    }
    assert list(tables) == ["max", "min", "either"]
    cells = ("sites", "both", "zero_only", "other_only", "neither", "share", "other_rate")
    assert [tables["max"][name] for name in cells] == [4, 1, 0, 1, 2, 1.0, 0.5]
    assert [tables["min"][name] for name in cells] == [5, 0, 2, 1, 2, 0.0, 0.2]
    assert (tables["either"]["sites"], tables["either"]["both"], tables["either"]["share"]) == (5, 1, 0.5)


def test_no_zero_nsm_has_no_share():
    zero = frame_of([(0, "q", 0, 0, "zero", True, "w")])
    table = zero_tables(pl.concat([records_of(MAPS), zero]), ["kind"])
    assert table["share"].to_list() == [None, None, None]
    assert zero_tables(records_of(MAPS)).is_empty()


def test_nothing_is_counted_in_nothing():
    empty = records_of(MAPS).clear()
    assert count_nsms(empty).row(0) == (0, 0, 0, 0, 0, 0)
    assert count_nsms(empty, ["layer"]).is_empty()
    assert silent_loci(empty).is_empty()
    assert count_statuses(empty, ["kind"]).is_empty()


ROW = st.tuples(
    st.integers(0, 2),
    st.sampled_from(["q", "up", "x"]),
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["max", "min", "zero"]),
    st.booleans(),
    st.sampled_from("abc"),
)


@given(st.lists(ROW, min_size=1, unique_by=lambda row: row[:5]))
def test_groups_add_up_to_the_whole(rows):
    records = frame_of(rows)
    whole = count_nsms(records).row(0, named=True)
    for by in (["layer"], ["kind"], [*LOCUS_KEY]):
        parts = count_nsms(records, by)
        for name in ("loci", "silent_loci", "sites", "mutants", "nsm"):
            assert parts[name].sum() == whole[name]
        assert parts["phenotypes"].max() <= whole["phenotypes"] <= parts["phenotypes"].sum()
    assert whole["nsm"] == sum(not row[5] for row in rows)
    assert whole["silent_loci"] == len(silent_loci(records))
    maps = records.filter(pl.col("mutation") != "zero")
    statuses = count_statuses(records).row(0, named=True)
    assert statuses["max_only"] + statuses["min_only"] + 2 * statuses["both"] == (~maps["silent"]).sum()
