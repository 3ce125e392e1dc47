"""Lines that one assay has alone: Fisher's exact test by hand, its level, and what is not tested."""

from math import comb

import numpy as np
import polars as pl
import pytest
from scipy import special

from mutascope.analysis.apart import conserved_apart


def lines_of(maps: dict[str, np.ndarray], kind: str = "gate") -> pl.DataFrame:
    """Lines of assays from bool arrays [layers, lines]."""
    parts = []
    for assay, called in maps.items():
        layer, index = np.indices(called.shape).reshape(2, -1)
        columns = {"layer": layer, "index": index, "enriched": called.ravel()}
        parts.append(
            pl.DataFrame(columns).with_columns(assay=pl.lit(assay), kind=pl.lit(kind), axis=pl.lit("col"))
        )
    return pl.concat(parts)


def test_one_line_by_hand():
    mmlu, java = np.zeros((2, 8, 12), dtype=bool)
    mmlu[:7, 3] = True  # seven layers of mmlu, one of java
    java[7, 3] = True
    mmlu[0, :2], java[1:3, 4:8] = True, True  # others: two against eight
    mmlu[4, 9] = java[4, 9] = True  # enriched in both: says nothing
    found = conserved_apart(lines_of({"mmlu": mmlu, "java": java}))
    row = found.filter(assay="mmlu", index=3).row(0, named=True)
    # 18 layers speak, 9 of them of mmlu; 8 are the line's, of which 7 or more are mmlu's
    ways = {k: comb(9, k) * comb(9, 8 - k) / comb(18, 8) for k in (7, 8)}
    assert row["p"] == pytest.approx(ways[8] + ways[7] / 2)
    assert (row["layers"], row["enriched"], row["elsewhere"]) == (8, 7, 1)
    assert row["expected"] == pytest.approx(8 * 9 / 18)
    assert set(found["index"]) == {3}  # two layers are not enough


def test_a_line_has_to_stand_apart_from_every_other_assay():
    random = np.random.default_rng(0)
    maps = {name: random.random((12, 40)) < 0.1 for name in ("a", "b", "c")}
    for name in ("a", "b"):
        maps[name][:, 7] = True
    maps["c"][:, 7] = False
    maps["a"][:, 8] = True
    maps["b"][:, 8] = maps["c"][:, 8] = False
    found = conserved_apart(lines_of(maps)).filter("apart")
    assert found.select("assay", "index").rows() == [("a", 8)]
    assert found["elsewhere"].item() == 0


@pytest.mark.parametrize("bases", [(-2, -2), (-3, -2)])
def test_the_level_is_kept_where_lines_are_conserved_alike(bases):
    random, sets = np.random.default_rng(1), []
    for number in range(40):  # lines with effects of their own, and layers with those of the assay
        line = random.normal(0, 1.5, 48)
        chances = [special.expit(base + line + random.normal(0, 0.5, (20, 1))) for base in bases]
        maps = {name: random.random((20, 48)) < chance for name, chance in zip("ab", chances, strict=True)}
        sets.append(lines_of(maps, f"k{number}"))
    found = conserved_apart(pl.concat(sets))
    assert len(found) > 500
    assert 0.03 <= np.mean(found["p"].to_numpy() <= 0.05) <= 0.07
    assert not found["apart"].any()


def test_layers_that_one_assay_lacks_are_left_out_and_one_assay_has_no_contrast():
    called = np.ones((9, 4), dtype=bool)
    called[:, 1:] = False
    maps = lines_of({"a": called, "b": called[:, [1, 0, 2, 3]]})
    found = conserved_apart(maps.filter((pl.col("assay") == "a") | (pl.col("layer") < 7)))
    assert found["layers"].unique().to_list() == [7]
    assert conserved_apart(maps.filter(assay="a")).is_empty()
