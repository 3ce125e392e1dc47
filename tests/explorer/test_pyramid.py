import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mutascope.analysis.status import Status
from mutascope.explorer.pyramid import coarser, packed_levels, pyramid, status_counts

maps = arrays(np.int8, array_shapes(min_dims=2, max_dims=2, max_side=23), elements=st.integers(0, 4))


@given(maps)
def test_counts_add_up_at_every_level(status):
    whole = [int((status == value).sum()) for value in Status]
    for counts in pyramid(status):
        assert counts.sum(axis=(0, 1)).tolist() == whole


@given(maps)
def test_every_cell_is_the_sum_of_those_below_it(status):
    levels = pyramid(status)
    for fine, coarse in itertools.pairwise(levels):
        for row, col in np.ndindex(coarse.shape[:2]):
            below = fine[2 * row : 2 * row + 2, 2 * col : 2 * col + 2]
            assert (below.sum(axis=(0, 1)) == coarse[row, col]).all()


@given(maps)
def test_a_pyramid_goes_from_sites_to_one_cell(status):
    levels = pyramid(status)
    assert (levels[0].argmax(axis=2) == status).all()
    assert levels[-1].shape == (1, 1, len(Status))


@given(maps, st.integers(1, 30))
def test_levels_that_fit_are_kept_without_loss(status, side):
    levels = pyramid(status)
    kept = packed_levels(status, side)
    assert set(kept) == {n for n, counts in enumerate(levels) if max(counts.shape[:2]) <= side}
    for number, counts in kept.items():
        assert (counts == (levels[number] if number else status)).all()


def test_a_large_block_does_not_overflow():
    counts = status_counts(np.full((512, 512), Status.BOTH, dtype=np.int8))
    while len(counts) > 1:
        counts = coarser(counts)
    assert counts[0, 0, Status.BOTH] == 512 * 512
