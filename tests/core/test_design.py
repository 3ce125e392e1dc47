"""Which mutants a design consists of."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mutascope import Design, Genome, Locus, Mutant, MutascopeError, Tiling
from mutascope.core.design import parse_indices, read_mutants

GENOME = Genome(
    tuple(
        Locus(layer, kind, rows, cols, f"{layer}.{kind}")
        for layer in (0, 1)
        for kind, rows, cols in (("q", 20, 20), ("k", 10, 20), ("down", 20, 33))
    ),
    20,
)
TILE = Tiling(8)
GRIDS = {"q": (3, 3), "k": (2, 3), "down": (3, 5)}


def every_mutant(mutations=("max", "min")) -> list[Mutant]:
    return [
        Mutant(layer, kind, row, col, mutation)
        for layer in (0, 1)
        for kind, (rows, cols) in GRIDS.items()
        for row in range(rows)
        for col in range(cols)
        for mutation in mutations
    ]


def test_full_is_every_site_with_max_and_min_in_order():
    plan = Design().plan(GENOME, TILE)
    assert plan.mutants() == every_mutant()
    assert len(plan) == 2 * 2 * (9 + 6 + 15)
    assert plan.population == plan.sampled == {locus.name: TILE.sites(locus) for locus in GENOME}
    assert Design().described() == {"type": "full"}


def test_a_region_keeps_the_order_of_the_full_design():
    design = Design(layers=(1,), kinds=("down", "k"), rows=(2, 0), cols=(1, 4), mutations=("zero", "max"))
    expected = [
        m
        for m in every_mutant(("zero", "max"))
        if m.layer == 1 and m.kind in ("down", "k") and m.row in (0, 2) and m.col in (1, 4)
    ]
    plan = design.plan(GENOME, TILE)
    assert plan.mutants() == expected
    assert plan.population == {"1.k": 1, "1.down": 4}
    assert design.described()["type"] == "region"


@given(
    layers=st.none() | st.lists(st.integers(0, 1), min_size=1, max_size=4).map(tuple),
    kinds=st.none() | st.lists(st.sampled_from(["q", "k", "down"]), min_size=1, max_size=4).map(tuple),
    rows=st.none() | st.lists(st.integers(0, 1), min_size=1, max_size=4).map(tuple),
    cols=st.none() | st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple),
)
def test_a_region_has_each_of_its_mutants_once_whatever_is_named_twice(layers, kinds, rows, cols):
    plan = Design(layers=layers, kinds=kinds, rows=rows, cols=cols).plan(GENOME, TILE)
    chosen = [
        m
        for m in every_mutant()
        if (layers is None or m.layer in layers)
        and (kinds is None or m.kind in kinds)
        and (rows is None or m.row in rows)
        and (cols is None or m.col in cols)
    ]
    assert plan.mutants() == chosen


@given(sample=st.integers(1, 60), seed=st.integers(0, 2**32))
def test_a_sample_has_equal_shares_and_every_mutation_at_every_site(sample, seed):
    design = Design(sample=sample, sample_seed=seed, mutations=("max", "min", "zero"))
    plan = design.plan(GENOME, TILE)
    mutants = plan.mutants()
    sites = {(m.layer, m.kind, m.row, m.col) for m in mutants}
    assert len(sites) == sample
    assert len(mutants) == len(set(mutants)) == 3 * sample
    order = {mutant: i for i, mutant in enumerate(every_mutant(("max", "min", "zero")))}
    assert [order[m] for m in mutants] == sorted(order[m] for m in mutants)
    # equal shares: loci that are not exhausted differ by at most one site, exhausted ones have no more than those
    shares = {locus.name: plan.sampled.get(locus.name, 0) for locus in GENOME}
    open_shares = [share for name, share in shares.items() if share < plan.population[name]]
    if open_shares:
        assert max(open_shares) - min(open_shares) <= 1
        assert max(shares.values()) <= max(open_shares) + 1
    assert plan.digest == design.plan(GENOME, TILE).digest


def test_samples_of_other_seeds_differ_and_the_draw_is_uniform():
    """Over many seeds every site of a locus is drawn equally often, and so is the remainder's locus."""
    counts = np.zeros((3, 3))
    loci = dict.fromkeys((locus.name for locus in GENOME), 0)
    for seed in range(600):
        plan = Design(sample=8, sample_seed=seed).plan(GENOME, TILE)
        for locus, row, col, _ in plan.codes[::2].tolist():
            if plan.loci[locus].name == "0.q":
                counts[row, col] += 1
        for name, share in plan.sampled.items():
            loci[name] += share
    assert counts.sum() == pytest.approx(600 * 8 / 6, rel=0.1)
    assert abs(counts - counts.mean()).max() < 4 * np.sqrt(counts.mean())
    assert all(abs(count - 800) < 60 for count in loci.values())


def test_a_sample_of_everything_is_the_full_design():
    assert Design(sample=60).plan(GENOME, TILE).mutants() == every_mutant()
    with pytest.raises(MutascopeError, match="asks for 61 sites, but the region has only 60"):
        Design(sample=61).plan(GENOME, TILE)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_list_is_taken_in_its_order_and_each_mutant_once(tmp_path, suffix):
    wanted = [Mutant(1, "down", 2, 4, "zero"), Mutant(0, "q", 0, 1, "max"), Mutant(1, "down", 2, 4, "max")]
    frame = pl.DataFrame([*wanted, wanted[0]]).with_columns(note=pl.lit("x"))
    path = tmp_path / f"list.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    assert read_mutants(path) == wanted
    design = Design(mutants=str(path))
    plan = design.plan(GENOME, TILE)
    assert plan.mutants() == wanted
    assert Design(mutants=(*wanted, wanted[0])).plan(GENOME, TILE).mutants() == wanted
    assert plan.population == {}
    assert plan.sampled == {"0.q": 1, "1.down": 1}
    assert design.described() == {"type": "list"}


def test_the_digest_is_of_the_mutants_not_of_the_words(tmp_path):
    path = tmp_path / "list.csv"
    pl.DataFrame(every_mutant()).write_csv(path)
    full = Design().plan(GENOME, TILE).digest
    assert Design(mutants=str(path)).plan(GENOME, TILE).digest == full
    assert Design(layers=(0, 1)).plan(GENOME, TILE).digest == full
    assert Design(mutations=("min", "max")).plan(GENOME, TILE).digest != full
    assert Design(layers=(0,)).plan(GENOME, TILE).digest != full
    assert (
        Design(sample=5).plan(GENOME, TILE).digest
        != Design(sample=5, sample_seed=1).plan(GENOME, TILE).digest
    )


def test_slices_of_a_plan_join_to_the_whole():
    plan = Design(sample=23).plan(GENOME, TILE)
    parts = [plan.mutants(start, start + 7) for start in range(0, len(plan), 7)]
    assert sum(parts, []) == plan.mutants()  # noqa: RUF017


@pytest.mark.parametrize(
    "design, words",
    [
        (Design(layers=(2,)), "layer 2 is out of range: this model has layers 0 to 1"),
        (Design(kinds=("gate",)), "unknown kind 'gate'"),
        (Design(rows=(3,)), "row 3 is out of range"),
        (
            Design(kinds=("q",), cols=(0, 4)),
            "column 4 is out of range: at this tile the loci have columns 0 to 2",
        ),
        (Design(kinds=("q", "down"), rows=(), cols=(0,)), "selects no mutant"),
        (Design(mutations=()), "selects no mutant"),
        (Design(layers=()), "selects no mutant"),
    ],
)
def test_a_design_that_the_genome_does_not_have(design, words):
    with pytest.raises(MutascopeError, match=words):
        design.plan(GENOME, TILE)


@pytest.mark.parametrize("fields", [{"sample": 0}, {"rows": (-1,)}, {"cols": (-2,)}, {"smaple": 3}])
def test_a_design_that_makes_no_sense(fields):
    with pytest.raises(ValidationError):
        Design(**fields)


@pytest.mark.parametrize(
    "text, indices",
    [(None, None), ("3", (3,)), ("0,3,8-11", (0, 3, 8, 9, 10, 11)), (" 1 , 1-2", (1, 2)), ("5-5", (5,))],
)
def test_indices_are_numbers_and_ranges(text, indices):
    assert parse_indices(text) == indices


@pytest.mark.parametrize("text", ["0-99999999999", "1" * 5000, "3,123456789-123456790"])
def test_indices_beyond_any_matrix_are_refused_before_they_are_counted(text):
    with pytest.raises(MutascopeError, match="is beyond any layer, row or column"):
        parse_indices(text)


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1", "1,,2", "1.5", "²"])
def test_what_is_no_list_of_indices_is_refused(text):
    with pytest.raises(MutascopeError, match="not a list of numbers and ranges"):
        parse_indices(text)
