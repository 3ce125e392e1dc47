"""The frame of sites agrees with the status map of each locus; several assays are stacked; shapes are compared."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.frames import RECORDS, loci_of, records_of
from mutascope import MutascopeError
from mutascope.analysis.sites import by_assay, check_equal_shapes, in_order, site_frame
from mutascope.analysis.status import Status, site_status
from mutascope.core.schema import SITE_KEY


def test_statuses_by_hand():
    sites = site_frame(records_of({(0, "v"): ".+\n-#", (0, "q"): "# ."}))
    assert sites.columns == [*SITE_KEY, "status", "max_nsm", "min_nsm", "zero_nsm"]
    assert sites.schema["status"] == pl.Int8
    assert sites.rows() == [
        (0, "q", 0, 0, Status.BOTH, True, True, None),
        (0, "q", 0, 2, Status.SILENT, False, False, None),
        (0, "v", 0, 0, Status.SILENT, False, False, None),
        (0, "v", 0, 1, Status.MAX_ONLY, True, False, None),
        (0, "v", 1, 0, Status.MIN_ONLY, False, True, None),
        (0, "v", 1, 1, Status.BOTH, True, True, None),
    ]


def test_what_was_not_screened_is_null_and_zero_alone_is_no_status():
    rows = [
        (1, "up", 0, 0, "max", False, "a"),
        (1, "up", 0, 1, "zero", False, "a"),
        (1, "up", 0, 2, "noop", True, "w"),
    ]
    sites = site_frame(pl.DataFrame(rows, schema=RECORDS, orient="row"))
    assert sites["status"].to_list() == [Status.MAX_ONLY, Status.UNSCREENED, Status.UNSCREENED]
    assert sites["min_nsm"].to_list() == [None, None, None]
    assert sites["zero_nsm"].to_list() == [None, True, None]


def test_no_record_is_no_site():
    sites = site_frame(pl.DataFrame(schema=RECORDS))
    assert len(sites) == 0
    assert sites.schema["status"] == pl.Int8


ROW = st.tuples(
    st.just(0),
    st.just("k"),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from(["max", "min", "zero", "noop"]),
    st.booleans(),
)


@given(st.lists(ROW, unique_by=lambda row: row[:5]))
def test_the_status_is_that_of_the_map(rows):
    records = pl.DataFrame([(*row, "t") for row in rows], schema=RECORDS, orient="row")
    expected = site_status(records, 4, 3)
    sites = site_frame(records)
    assert len(sites) == len({row[:4] for row in rows})
    assert all(expected[row, col] == status for _, _, row, col, status, *_ in sites.rows())
    assert (expected != Status.UNSCREENED).sum() == (sites["status"] != Status.UNSCREENED).sum()


def test_kinds_come_in_canonical_order_and_strangers_last():
    frame = pl.DataFrame({"kind": ["zeta", "down", "q", "alpha", "v"], "n": range(5)})
    assert in_order(frame)["kind"].to_list() == ["q", "v", "down", "alpha", "zeta"]
    assert in_order(pl.DataFrame({"n": [2, 1]}), "n")["n"].to_list() == [1, 2]
    assert in_order(pl.DataFrame({"n": [2, 1]}))["n"].to_list() == [2, 1]


def test_assays_are_stacked_in_the_order_given():
    screens = {"b": records_of({(0, "q"): "+"}), "a": records_of({(0, "q"): "-."})}
    frame = by_assay(screens, site_frame)
    assert frame.columns[0] == "assay"
    assert frame["assay"].to_list() == ["b", "a", "a"]
    with pytest.raises(MutascopeError, match="no screen to analyse"):
        by_assay({}, site_frame)


def test_unequal_shapes_are_one_sentence():
    first, other = loci_of({(0, "q"): (2, 2), (1, "k"): (2, 2)}), loci_of({(1, "k"): (1, 2)})
    check_equal_shapes({"a": first, "b": first, "c": loci_of({(5, "k"): (9, 9)})})
    with pytest.raises(
        MutascopeError, match=r"a and c cannot be compared .* 1\.k has 8 x 8 .* 4 x 8 in 1 x 2"
    ):
        check_equal_shapes({"a": first, "b": first, "c": other})
    with pytest.raises(MutascopeError, match="cannot be compared"):
        check_equal_shapes(
            {"a": loci_of({(0, "q"): (2, 2)}, tile=8), "b": loci_of({(0, "q"): (4, 4)}, tile=4)}
        )
