"""Coordinates: tiles partition a locus, names round-trip, impossible ones are refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutascope import Genome, Locus, Mutant, MutascopeError, Tiling
from mutascope.core.genome import auto_tile

sides = st.integers(1, 90)


@given(rows=sides, cols=sides, tile=st.integers(1, 100))
def test_tiles_partition_a_locus(rows, cols, tile):
    locus, tiling = Locus(0, "q", rows, cols, "w"), Tiling(tile)
    covered = np.zeros((rows, cols), dtype=int)
    site_rows, site_cols = tiling.grid(locus)
    for row in range(site_rows):
        for col in range(site_cols):
            top, bottom, left, right = tiling.bounds(locus, row, col)
            assert top == row * tile
            assert left == col * tile
            assert 0 < bottom - top <= tile
            assert 0 < right - left <= tile
            covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    assert tiling.sites(locus) == site_rows * site_cols == math.ceil(rows / tile) * math.ceil(cols / tile)


@given(heads=st.integers(1, 9), width=st.integers(1, 9), parts=st.integers(1, 4))
def test_interleaved_loci_partition_the_features_of_their_parameter(heads, width, parts):
    total = heads * width * parts
    owner = np.arange(total).reshape(heads, parts, width)
    features = []
    for part in range(parts):
        locus = Locus(0, "x", heads * width, 5, "w", False, part * width, width, parts * width)
        mine = locus.features(0, locus.rows)
        assert mine == owner[:, part].ravel().tolist()
        assert locus.features(1, min(4, locus.rows)) == mine[1:4]
        features += mine
    assert sorted(features) == list(range(total))


@pytest.mark.parametrize(
    "hidden, tile", [(4096, 64), (576, 8), (2048, 32), (768, 16), (64, 1), (48, 1), (8192, 128)]
)
def test_auto_tile_gives_about_64_tiles_across(hidden, tile):
    assert auto_tile(hidden) == tile


@given(
    mutant=st.builds(
        Mutant,
        st.integers(0, 999),
        st.sampled_from(["q", "down", "gate", "my-kind_2", "up.e17"]),
        st.integers(0, 9999),
        st.integers(0, 9999),
        st.sampled_from(["max", "noop", "x-y_z1"]),
    )
)
def test_a_mutant_is_read_back_from_its_name(mutant):
    assert Mutant.parse(str(mutant)) == mutant
    assert Mutant.parse(f"  {mutant}\n") == mutant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "15.down",
        "15.down:3,7",
        "down:3,7:max",
        "15.down:3:max",
        "15.down:-3,7:max",
        "15.down:3,7:max:min",
    ],
)
def test_what_is_no_mutant_is_refused(text):
    with pytest.raises(MutascopeError, match=r"is not a mutant; write layer\.kind:row,col:mutation"):
        Mutant.parse(text)


@pytest.mark.parametrize("tile", [0, -1])
def test_a_tile_has_at_least_one_element(tile):
    with pytest.raises(MutascopeError, match="at least 1"):
        Tiling(tile)


def test_a_mutant_must_lie_on_the_grid():
    genome = Genome((Locus(0, "v", 30, 50, "w"), Locus(1, "o", 30, 50, "w2")), 50)
    genome.check_mutant(Mutant(0, "v", 2, 4, "max"), Tiling(12))
    for mutant, words in (
        (Mutant(0, "v", 3, 0, "max"), "rows 0 to 2 and columns 0 to 4"),
        (Mutant(0, "v", 0, 5, "max"), "impossible site"),
        (Mutant(0, "v", -1, 0, "max"), "impossible site"),
        (Mutant(2, "v", 0, 0, "max"), "layer 2 is out of range"),
        (Mutant(0, "w", 0, 0, "max"), "unknown kind 'w'"),
        (Mutant(1, "v", 0, 0, "max"), "layer 1 of this model has no v"),
    ):
        with pytest.raises(MutascopeError, match=words):
            genome.check_mutant(mutant, Tiling(12))
