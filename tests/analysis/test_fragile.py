"""Fragile tokens: counts by hand, and the map of one token."""

import polars as pl
import pytest

from mutascope.analysis.fragile import at_token, fragile_tokens, tokens_left_at, within_tokens
from mutascope.analysis.silence import silence_by_kind
from stores import SHAPES, random_records


def records(*rows: tuple[int, str, bool, int | None]) -> pl.DataFrame:
    """Column, mutation, silent and first divergence of mutants of one row."""
    names = {"col": pl.Int32, "mutation": pl.String, "silent": pl.Boolean, "first_divergence": pl.Int32}
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(layer=pl.lit(0, pl.Int16), kind=pl.lit("v"), row=pl.lit(0, pl.Int32))


SMALL = records(
    (0, "max", False, 2),
    (0, "min", False, 2),
    (1, "max", False, 0),
    (1, "min", True, None),
    (2, "max", False, 2),
    (2, "min", True, 2),  # other tokens, the same text
    (3, "max", False, None),  # not known
)


def of_shapes(records: pl.DataFrame) -> pl.DataFrame:
    """Loci as large as their records need."""
    largest = records.group_by("layer", "kind").agg(pl.col("row").max() + 1, pl.col("col").max() + 1)
    return largest.rename({"row": "site_rows", "col": "site_cols"})


def test_counts_are_of_nsms_by_the_token_that_they_leave_at():
    assert tokens_left_at(SMALL).rows() == [(0, 1, 0.25, 1, 0), (2, 3, 0.75, 2, 1)]


def test_every_token_of_the_text_has_a_row():
    found = fragile_tokens(SMALL, ["The", " fly"], [0.5, 0.25])
    assert found.select("token", "piece", "margin", "nsm").rows() == [
        (0, "The", 0.5, 1),
        (1, " fly", 0.25, 0),
        (2, None, None, 3),
    ]
    unknown = fragile_tokens(SMALL, [None], [None])
    assert unknown["piece"].null_count() == unknown["margin"].null_count() == 2


def test_the_map_of_a_token_holds_its_nsms_alone():
    assert at_token(SMALL, 2)["silent"].to_list() == [False, False, True, True, False, True, True]


def test_structure_within_a_token_is_that_of_its_map():
    drawn = random_records(2, SHAPES, 0)
    column = (pl.col("col") == 2) & ~pl.col("silent")
    told = drawn.with_columns(
        first_divergence=pl.when(column).then(7).when(~pl.col("silent")).then(pl.col("first_divergence") % 5)
    ).with_columns(pl.col("first_divergence").cast(pl.Int32))
    found = within_tokens(told, of_shapes(told))
    assert found["token"][0] is None
    assert found["share"][0] == 1.0
    assert found["nsm"][0] == (~told["silent"]).sum()
    of_column = found.filter(token=7).row(0, named=True)
    assert of_column["cols"] == 6  # column 2 of every locus, and no other line
    assert of_column["cols_of_map"] == 2  # the other columns are as crowded in the whole map
    assert of_column["rows"] == 0
    assert found["share"][1:].sum() == pytest.approx(1.0)


def test_nothing_is_within_a_token_where_nothing_leaves():
    quiet = SMALL.with_columns(silent=pl.lit(True))
    assert within_tokens(quiet, of_shapes(quiet))["nsm"].to_list() == [0]


def test_luck_is_what_silence_leaves_to_the_noise():
    chances = [0.0, 1.0, 0.5, 0.5, None, 1.0]
    found = silence_by_kind(
        pl.DataFrame(
            {"kind": [*"vvvvv", "q"], "silent": [False, True, True, False, True, True], "silence": chances},
            schema_overrides={"silence": pl.Float32},
        )
    )
    assert found["kind"].to_list() == ["q", "v", None]
    assert found.row(0)[1:] == (1, 0, 0.0, 1.0, 0.0, None)
    assert found.row(1)[1:] == (4, 2, 2.0, 0.5, 0.5, 0.5)
    assert found.row(2)[1:5] == (5, 2, 2.0, 0.6)
