"""The levels that p-values claim, on simulated maps whose rows and columns have effects of their own."""

import numpy as np
import polars as pl
import pytest
from scipy import special

from analysis.frames import records_of_arrays
from mutascope.analysis.copa import copa
from mutascope.analysis.covariates import explain_nsms, explain_severity
from mutascope.analysis.lines import line_sharing
from mutascope.analysis.status import Status

SETS = 500
LOW, HIGH = 0.03, 0.07
"""What a test of 5 % may reject of 500 null data sets: about two standard errors either side."""


LOCI = {"layer": pl.Int16, "kind": pl.String, "site_rows": pl.Int64, "site_cols": pl.Int64}


def lines_of(random: np.random.Generator, size: int, row: float, col: float) -> np.ndarray:
    """Random effects [size, size] of rows and columns with these standard deviations."""
    return random.normal(0, row, size)[:, None] + random.normal(0, col, size)


def sites_of(layer: int, size: int) -> dict[str, object]:
    row, col = (axis.ravel().astype(np.int32) for axis in np.mgrid[:size, :size])
    return {"layer": np.full(size**2, layer, np.int16), "kind": ["q"] * size**2, "row": row, "col": col}


def covariates_of(random: np.random.Generator, layer: int, size: int) -> pl.DataFrame:
    tile_norm = np.exp(random.normal(0, 0.3, (size, size)) + lines_of(random, size, 0.3, 0.3))
    change = tile_norm * np.exp(random.normal(0, 0.1, (size, size)))
    columns = {
        "tile_norm": tile_norm,
        "input_norm": np.broadcast_to(np.exp(random.normal(size=size)), (size, size)),
        "massive": np.broadcast_to(np.arange(size) == random.integers(size), (size, size)),
        "change_max": change,
        "change_min": 1.1 * change,
        "change_zero": tile_norm,
    }
    return pl.DataFrame({**sites_of(layer, size), **{name: part.ravel() for name, part in columns.items()}})


def screen_of(
    random: np.random.Generator, row: float, col: float, rate: float, size: int = 24, loci: int = 4
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records and covariates that have nothing to do with each other."""
    records, covariates = [], []
    for layer in range(loci):
        log_odds = (
            special.logit(rate) + random.normal(0, 0.5, (size, size)) + lines_of(random, size, row, col)
        )
        covariates.append(covariates_of(random, layer, size))
        for mutation in ("max", "min"):
            silent = (random.random((size, size)) >= special.expit(log_odds)).ravel()
            far = (log_odds + random.normal(size=(size, size))).ravel()
            told = pl.DataFrame(sites_of(layer, size))
            records.append(told.with_columns(mutation=pl.lit(mutation), silent=silent, far=far))
    return pl.concat(records), pl.concat(covariates)


def rejected(explain, row: float, col: float, rate: float, sets: int = SETS) -> dict[str, float]:
    random = np.random.default_rng(1)
    found = [explain(*screen_of(random, row, col, rate)) for _ in range(sets)]
    p = pl.concat(found).group_by("term").agg(share=(pl.col("p") < 0.05).mean())
    return dict(p.iter_rows())


@pytest.mark.parametrize(
    "row, col, rate, sets",
    [
        (0.0, 1.0, 0.5, SETS),
        pytest.param(0.0, 0.5, 0.5, SETS, marks=pytest.mark.slow),
        pytest.param(1.0, 1.0, 0.3, 3 * SETS, marks=pytest.mark.slow),
    ],
)
def test_regressions_of_nsms_keep_their_level(row, col, rate, sets):
    shares = rejected(explain_nsms, row, col, rate, sets)
    assert all(LOW <= share <= HIGH for share in shares.values()), shares


@pytest.mark.slow
@pytest.mark.parametrize("row, col", [(0.0, 1.0), (1.0, 1.0)])
def test_regressions_of_severity_keep_their_level(row, col):
    shares = rejected(lambda records, covariates: explain_severity(records, covariates, "far"), row, col, 0.5)
    assert all(LOW <= share <= HIGH for share in shares.values()), shares


def severe_screen(random: np.random.Generator, spread: float, size: int = 24, loci: int = 4) -> pl.DataFrame:
    """NSMs, frequent on some lines, with two sets that have nothing to do with each other.

    With a ``spread``, each set gathers on lines of its own; without one, it is a level of one severity, which the two
    mutants of a site share in part.
    """
    parts = []
    for layer in range(loci):
        dense = special.expit(special.logit(0.4) + lines_of(random, size, 1.5, 1.5))
        sets = [special.logit(share) + lines_of(random, size, spread, spread) for share in (0.08, 0.15)]
        site = random.normal(size=(size, size))
        for _ in range(2):
            severity = (site + random.normal(size=(size, size))) / np.sqrt(2)
            first, second = (random.random((size, size)) < special.expit(chance) for chance in sets)
            if not spread:
                first, second = severity > 1.6, severity > 0.9
            marks = {"nsm": random.random((size, size)) < dense, "first": first, "second": second}
            parts.append(
                pl.DataFrame(sites_of(layer, size)).with_columns(**{k: v.ravel() for k, v in marks.items()})
            )
    return pl.concat(parts).filter("nsm")


@pytest.mark.parametrize(
    "spread, sets",
    [(1.0, SETS // 2), *(pytest.param(spread, SETS, marks=pytest.mark.slow) for spread in (0.0, 1.0))],
)
def test_shared_lines_keep_their_level(spread, sets):
    random = np.random.default_rng(2)
    tables = [
        line_sharing(severe_screen(random, spread), pl.col("first"), pl.col("second")) for _ in range(sets)
    ]
    found = pl.concat(tables)
    for whole in (True, False):  # a test of all loci and four of one, along both axes, of every set
        p = found.filter(pl.col("layer").is_null() == whole)["p"].drop_nulls().to_numpy()
        share = (p < 0.05).mean()
        assert LOW <= share <= HIGH, (whole, share)


def leaning_map(
    random: np.random.Generator, spread: float = 1.5, size: int = 24, filled: float = 0.4
) -> np.ndarray:
    """Signs whose chances are made of a part of the row and a part of the column: no mirror image."""
    chance = special.expit(lines_of(random, size, spread, spread))
    signs = np.where(random.random((size, size)) < chance, 1, -1)
    return (signs * (random.random((size, size)) < filled)).astype(np.int8)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.5, 1.5])
def test_mirror_images_keep_their_level_in_maps_that_lean(spread):
    random = np.random.default_rng(3)
    statuses = np.array([Status.MIN_ONLY, Status.SILENT, Status.MAX_ONLY])
    maps = {(layer, "q"): statuses[leaning_map(random, spread) + 1] for layer in range(SETS)}
    loci = pl.DataFrame([(layer, "q", 24, 24) for layer in range(SETS)], schema=LOCI, orient="row")
    found = copa(records_of_arrays(maps), loci)
    for axis in ("row", "col"):
        share = (found.filter(axis=axis)["mirror_p"].to_numpy() < 0.05).mean()
        assert LOW <= share <= HIGH, (axis, share)
    if spread > 1:
        for name in ("strength_p", "asymmetry_p"):  # what leans is strong and asymmetric, and no mirror image
            assert (found[name].to_numpy() < 0.05).mean() > 0.2
