"""The levels of tests that shuffle, deal out or rank, each on 500 null data sets and more."""

import numpy as np
import polars as pl
import pytest
from scipy import special

from analysis.frames import loci_of, records_of_arrays
from mutascope.analysis.copa import copa, copa_contrasts
from mutascope.analysis.enrichment import nsm_enrichment
from mutascope.analysis.structure import compare_structure
from mutascope.analysis.writers import genre_summary, word_groups

pytestmark = pytest.mark.slow

SETS = 500
LOW, HIGH = 0.03, 0.07


def rejected(p: np.ndarray | pl.Series) -> float:
    return float((np.asarray(p) <= 0.05).mean())


def words_of(random: np.random.Generator) -> pl.DataFrame:
    """Rare words dealt out over sites that gather on rows; max and min of a site mostly share theirs."""
    rows = []
    for layer in range(2):
        dense = special.expit(random.normal(-2, 1, 48))
        for row, col in np.argwhere(random.random((48, 64)) < dense[:, None] / 4):
            word = random.choice(list("abcdefgh"))
            rows += [(layer, "down", row, col, "max", word)]
            if random.random() < 0.7:
                rows += [(layer, "down", row, col, "min", word)]
    names = ["layer", "kind", "row", "col", "mutation", "word"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(rare=pl.lit(True))


def test_words():
    """Numbers of distinct lines are whole, and fewer p come out below 5 % than of a continuous measure."""
    random = np.random.default_rng(1)
    found = [word_groups(words_of(random), permutations=199, seed=number) for number in range(SETS)]
    table = pl.concat(found)
    for axis in ("rows", "cols"):
        sums = table.filter(pl.col("word").is_null())[f"p_{axis}"]
        words = table.filter(pl.col("word").is_not_null())[f"p_{axis}"]
        assert LOW <= rejected(sums) <= HIGH, (axis, rejected(sums))
        assert 0.02 <= rejected(words) <= 0.055, (axis, rejected(words))


def random_maps(random: np.random.Generator, rate: float, number: int) -> dict[tuple[int, str], np.ndarray]:
    """Maps in which max and min are NSMs at this rate, anywhere."""
    nsm = random.random((number, 2, 16, 20)) < rate
    return {(layer, "q"): 1 + nsm[layer, 0] + 2 * nsm[layer, 1] for layer in range(number)}


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_strength_and_asymmetry(rate):
    maps = random_maps(np.random.default_rng(2), rate, SETS)
    measures = ["strength", "asymmetry"]
    found = copa(records_of_arrays(maps), loci_of(dict.fromkeys(maps, (16, 20))), measures=measures)
    for name in measures:
        for axis in ("row", "col"):
            share = rejected(found.filter(axis=axis)[f"{name}_p"])
            assert LOW <= share <= HIGH, (name, axis, share)


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.05, 0.5)])
def test_contrasts_of_strength(rates):
    """Neither screen has a pattern, and the maps of the one may be far sparser: 224 loci, drawn from 2,000."""
    random, drawn = np.random.default_rng(3), []
    for rate in rates:
        maps = random_maps(random, rate, 4 * SETS)
        found = copa(records_of_arrays(maps), loci_of(dict.fromkeys(maps, (16, 20))), measures=["strength"])
        excess = (pl.col("strength") - pl.col("strength_null")).mean()
        drawn.append(found.filter(axis="col").with_columns(strength=pl.col("strength") - excess))
    p = []
    for _ in range(2 * SETS):
        parts = [
            each.sample(224, with_replacement=True, seed=int(random.integers(2**31))).with_columns(
                layer=pl.int_range(224, dtype=pl.Int16), assay=pl.lit(name)
            )
            for each, name in zip(drawn, "ab", strict=True)
        ]
        p.append(copa_contrasts(pl.concat(parts))["p"].item())
    assert LOW <= rejected(np.array(p)) <= HIGH, rejected(np.array(p))


def test_structure_against_the_null_screens():
    random, p = np.random.default_rng(4), []
    for _ in range(2 * SETS):
        parts = [
            pl.DataFrame(
                {"layer": range(16), "kind": "q", "measure": "rate", "value": random.normal(size=16)}
            )
            for _ in range(2)
        ]
        p.append(compare_structure(*parts)["p"].item())
    assert LOW <= rejected(np.array(p)) <= HIGH


def test_literary_against_factual_words():
    random, p = np.random.default_rng(5), []
    for _ in range(SETS):
        rate = np.repeat(random.beta(1, 3, 12), 4)
        counts = {"literary": random.binomial(100, rate), "factual": random.binomial(50, rate)}
        words = np.repeat([f"w{number}" for number in range(12)], 4)
        genres = pl.DataFrame({"word": words, **counts}).with_columns(
            literary_prompts=100, factual_prompts=50
        )
        p.append(genre_summary(genres)["p"])
    assert LOW <= rejected(np.array(p)) <= HIGH


@pytest.mark.parametrize("rate, least", [(0.05, 0.02), (0.5, 0.02), (0.95, 0.0)])
@pytest.mark.parametrize("hit", ["any", "both"])
def test_enriched_lines(rate, least, hit):
    """An exact test of whole numbers calls at most 5 %: less where hits are few, none where lines are full."""
    random = np.random.default_rng(6)
    nsm = random.random((SETS, 48, 64)) < rate
    maps = {(layer, "q"): np.where(part, 4, 1) for layer, part in enumerate(nsm)}
    found = nsm_enrichment(records_of_arrays(maps), hit)
    for axis in ("row", "col"):
        share = rejected(found.filter(axis=axis)["p"])
        assert least <= share <= 0.05, (axis, share)
