import numpy as np
import polars as pl
import pytest

from mutascope.analysis.status import Status, site_status

OUTCOMES = {
    (0, 0): {"max": False, "min": False},
    (0, 1): {"max": True, "min": False},
    (0, 2): {"max": False, "min": True},
    (1, 0): {"max": True, "min": True},
    (1, 1): {"zero": True, "noop": False, "random": True},
}
"""Which mutations are non-silent, by site of a locus of 2 x 3 sites; (1, 2) has no record at all."""

EXPECTED = [
    [Status.SILENT, Status.MAX_ONLY, Status.MIN_ONLY],
    [Status.BOTH, Status.UNSCREENED, Status.UNSCREENED],
]


def records_of(outcomes: dict[tuple[int, int], dict[str, bool]], layer: int = 3) -> pl.DataFrame:
    rows = [
        {"layer": layer, "kind": "v", "row": row, "col": col, "mutation": mutation, "silent": not non_silent}
        for (row, col), mutations in outcomes.items()
        for mutation, non_silent in mutations.items()
    ]
    schema = {"layer": int, "kind": str, "row": int, "col": int, "mutation": str, "silent": bool}
    return pl.DataFrame(rows, schema=schema)


def test_every_status_comes_from_max_and_min_alone():
    status = site_status(records_of(OUTCOMES), 2, 3)
    assert status.dtype == np.int8
    assert status.tolist() == EXPECTED


def test_other_mutations_of_a_site_do_not_change_its_status():
    outcomes = {site: {"zero": True, **mutations} for site, mutations in OUTCOMES.items()}
    assert site_status(records_of(outcomes), 2, 3).tolist() == EXPECTED


def test_the_order_and_the_column_types_of_the_records_do_not_matter():
    records = records_of(OUTCOMES).sample(fraction=1, shuffle=True, seed=1)
    records = records.with_columns(
        pl.col("mutation").cast(pl.Categorical), pl.col("row", "col").cast(pl.Int32)
    )
    assert site_status(records, 2, 3).tolist() == EXPECTED


def test_a_site_with_one_of_the_two_mutations_is_screened():
    status = site_status(
        records_of({(0, 0): {"max": True}, (0, 1): {"max": False}, (0, 2): {"min": True}}), 1, 3
    )
    assert status.tolist() == [[Status.MAX_ONLY, Status.SILENT, Status.MIN_ONLY]]


def test_no_records_leave_every_site_unscreened():
    assert site_status(records_of({}), 2, 2).tolist() == [[0, 0], [0, 0]]


def test_records_of_two_loci_are_refused():
    records = pl.concat([records_of(OUTCOMES, layer=1), records_of(OUTCOMES, layer=2)])
    with pytest.raises(ValueError, match="2 loci"):
        site_status(records, 2, 3)


@pytest.mark.parametrize("site", [(2, 0), (0, 3), (-1, 0)])
def test_a_site_outside_the_locus_is_refused(site):
    with pytest.raises(ValueError, match="outside"):
        site_status(records_of({site: {"max": True, "min": True}}), 2, 3)
