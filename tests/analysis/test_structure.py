"""Structure of maps: what shuffling sites leaves and destroys."""

import numpy as np
import polars as pl
import pytest

from mutascope.analysis.structure import compare_structure, locus_structure

COPA = pl.DataFrame(
    {
        "layer": [0, 0],
        "kind": ["v", "v"],
        "axis": ["row", "col"],
        "strength": [0.5, 0.2],
        "strength_null": [0.2, 0.2],
        "mirror": [0.5, 0.4],
        "mirror_null": [0.4, 0.4],
    },
    schema_overrides={"layer": pl.Int16},
)


def records(top: np.ndarray, bottom: np.ndarray, layer: int = 0) -> pl.DataFrame:
    """Records of a locus with these max and min NSMs, bool [rows, cols]."""
    row, col = np.indices(top.shape).reshape(2, -1)
    return pl.concat(
        pl.DataFrame({"row": row, "col": col, "silent": ~nsm.ravel()}).with_columns(
            layer=pl.lit(layer, pl.Int16), kind=pl.lit("v"), mutation=pl.lit(name)
        )
        for name, nsm in (("max", top), ("min", bottom))
    ).cast({"row": pl.Int32, "col": pl.Int32})


def values(found: pl.DataFrame) -> dict[str, float]:
    return dict(found.select("measure", "value").iter_rows())


def test_measures_of_a_map_by_hand():
    top = np.zeros((4, 4), dtype=bool)
    top[:, 1] = True
    found = values(locus_structure(records(top, np.zeros_like(top)), COPA))
    assert found["rate"] == pytest.approx(4 / 32)
    assert found["lean"] == pytest.approx(4 / 16)
    assert found["spread_row"] == 0, "every row has the mean"
    # columns: 4, 0, 0, 0 of mean 1; variance of a sum of 4 of 16 sites without replacement: 4 * 12/15 * 3/16
    assert found["spread_col"] == pytest.approx((9 + 3) / 4 / (4 * 12 / 15 * 3 / 16))
    assert found["strength_row"] == pytest.approx(0.3)
    assert found["mirror_col"] == pytest.approx(0)


def test_spread_is_one_by_chance_at_every_rate():
    random = np.random.default_rng(0)
    for rate in (0.05, 0.5, 0.95):
        maps = [records(*(random.random((2, 24, 24)) < rate), layer=layer) for layer in range(60)]
        found = locus_structure(pl.concat(maps), COPA)
        for axis in ("row", "col"):
            mean = found.filter(measure=f"spread_{axis}")["value"].mean()
            assert mean == pytest.approx(1, abs=0.1)


def test_a_difference_is_tested_over_the_loci_that_both_have():
    keys = {"layer": pl.Series(range(8), dtype=pl.Int16), "kind": ["v"] * 8, "measure": ["spread_col"] * 8}
    real = pl.DataFrame({**keys, "value": [2.0 + n for n in range(8)]})
    null = pl.DataFrame({**keys, "value": [1.0] * 7 + [None]})
    (row,) = compare_structure(real, null).to_dicts()
    assert row["loci"] == 7
    assert (row["value"], row["value_shuffled"]) == (5, 1)
    assert row["p"] == pytest.approx(2 / 2**7)
    alone = compare_structure(real.head(1), null)
    assert alone["p"].to_list() == [None]
