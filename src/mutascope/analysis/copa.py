"""COPA, the correlative complementary pattern of a locus, with nulls for its strength and asymmetry (METHOD, COPA).

Sites are coded +1 (max only), -1 (min only) and 0 (silent, both, unscreened). The *vectors* of an axis are the rows or
the columns of this map; r is Pearson's correlation of two vectors, 0 where one of them is constant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from scipy import stats
from threadpoolctl import threadpool_limits

from mutascope.analysis.enrichment import AXES, FDR
from mutascope.analysis.nulls import q_values
from mutascope.analysis.sign_nulls import shuffled_signs, traded_signs
from mutascope.analysis.sites import in_order, site_frame
from mutascope.analysis.status import Status
from mutascope.core.cores import available_cores
from mutascope.core.errors import MutascopeError
from mutascope.core.schema import LOCUS_KEY

MEASURES = ("strength", "asymmetry", "mirror")
SHUFFLES = 200
_COUNTED = 10
"""Null maps that must reach a value for p to be their share; below it, p is the tail of a fitted distribution."""
_BLOCK = 2**17
"""Correlations held at a time: what fits the cache of a processor goes several times as fast."""
_SHORT = 2**11
"""Vectors of signs up to this length have covariances that fit into float32."""
_STEPS = 1e5
"""Differences of chances are counted in such parts of 1: their sums are whole numbers."""
_DECIMALS = 9
"""Correlations that differ by less are equal: ties are decided by the index and not by rounding errors."""
_SCHEMA = {
    "layer": pl.Int16,
    "kind": pl.String,
    "axis": pl.String,
    "vectors": pl.Int64,
    "reference": pl.Int32,
    "left": pl.Int64,
}


@dataclass(frozen=True)
class Rearrangement:
    """How the vectors of an axis are put in order around the reference.

    Attributes:
        order: int64 [vectors], a permutation; ``np.take(status, order, axis)`` is the rearranged map.
        reference: index of the reference vector before the rearrangement.
        position: its place in ``order``, which is the number of vectors to its left.
    """

    order: np.ndarray
    reference: int
    position: int


def sign_map(status: np.ndarray) -> np.ndarray:
    """Return the codes of a status map: int8 of the same shape, +1 max only, -1 min only, 0 otherwise."""
    return (status == Status.MAX_ONLY).astype(np.int8) - (status == Status.MIN_ONLY).astype(np.int8)


def rearrange(signs: np.ndarray, axis: str) -> Rearrangement:
    """Return the order that shows the pattern (METHOD, COPA; the paper's Figure 4).

    The reference is the vector with the largest sum of |r| over the others, the lowest index on ties. To its right
    come the vectors with r >= 0, descending; to its left those with r < 0, the most negative nearest. Equal
    correlations keep the order of the index, outwards.

    Args:
        signs: int8 [rows, cols] of +1, -1 and 0.
        axis: ``col`` puts the columns in order, ``row`` the rows.

    Raises:
        MutascopeError: when the map has no site.
    """
    if not signs.size:
        raise MutascopeError("a map without a site has no order: give at least one row and one column")
    vectors = _vectors(signs, axis)[None]
    covariance, scale = _covariance(vectors)
    reference = int(_reference(_magnitude(covariance, scale))[0])
    r = covariance[0, reference] * scale[0, reference] * scale[0]
    others = np.delete(np.arange(vectors.shape[1]), reference)
    outwards = others[np.argsort(-np.abs(np.round(r[others], _DECIMALS)), kind="stable")]
    left = outwards[r[outwards] < 0][::-1]
    order = np.concatenate([left, [reference], outwards[r[outwards] >= 0]])
    return Rearrangement(order, reference, len(left))


def copa(
    records: pl.DataFrame,
    loci: pl.DataFrame,
    shuffles: int = SHUFFLES,
    seed: int = 0,
    measures: Sequence[str] = MEASURES,
) -> pl.DataFrame:
    """Return strength, asymmetry and mirror of the pattern of every locus, with nulls, for rows and for columns.

    Strength is the mean |r| over the pairs of non-constant vectors. Asymmetry looks at the map once rearranged: with
    the balance (n+ - n-) / (n+ + n-) of the sites of a side, 0 for a side without +1 and -1, it is half the
    difference of the balances right and left of the reference, as an absolute value: 0 where both sides have
    their share of both signs, 1 where one side is all max and the other all min. The null of both keeps every site that
    is +1 or -1 and shuffles the signs among them, and goes through choice of the reference and rearrangement again.

    Lines that lean, each to one sign, make strength and asymmetry large without any mirror image. *Mirror* is the share
    of pairs with r < 0, and its null keeps, besides the sites, the total of every row and of every column: under it the
    chance of a sign is made of a part of its row and a part of its column (a Rasch model), whatever they are.

    Values that at least 10 shuffled maps reach have the share of such maps as p, the observed map included. Beyond, p
    is the tail of a Pearson type III distribution with the null's mean, standard deviation and skewness (Winkler et
    al. 2016), because 200 maps cannot tell .005 from less.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        loci: columns layer, kind, site_rows, site_cols.
        shuffles: number of shuffled maps per locus.
        seed: of the shuffles; a locus gets the same ones whatever other loci and measures there are.
        measures: those that are wanted. The null of the mirror takes most of the time.

    Returns:
        Columns layer, kind, axis (``row`` or ``col``), vectors (non-constant ones), reference (index), left (number
        of vectors to its left), strength (null below two vectors), strength_null (mean of the shuffled maps),
        strength_z (distance from it in their standard deviations, null where they do not vary), strength_p (share
        of the maps, the observed one included, that are at least as strong), strength_q (Benjamini-Hochberg within the
        axis), and asymmetry, asymmetry_null, asymmetry_z, asymmetry_p, asymmetry_q likewise. No row for a locus
        without a ``max`` or ``min`` record.

    Raises:
        MutascopeError: for less than one shuffle.
    """
    if shuffles < 1:
        raise MutascopeError(f"the null of COPA needs at least one shuffle, not {shuffles}")
    # Loci go in parallel, because numpy lets go of the interpreter; matrices so small gain nothing from more threads.
    with threadpool_limits(1), ThreadPoolExecutor(available_cores()) as pool:
        of_locus = partial(_locus_rows, shuffles=shuffles, seed=seed, measures=measures)
        rows = [row for pair in pool.map(of_locus, _sign_maps(records, loci)) for row in pair]
    parts = ("", "_null", "_z", "_p")
    frame = pl.DataFrame(rows, _SCHEMA | {f"{name}{part}": pl.Float64 for name in measures for part in parts})
    for name in measures:
        frame = q_values(frame.rename({f"{name}_p": "p"}), ["axis"]).rename(
            {"p": f"{name}_p", "q": f"{name}_q"}
        )
    columns = [f"{name}{part}" for name in measures for part in (*parts, "_q")]
    return frame.select(*_SCHEMA, *columns)


def strong_patterns(records: pl.DataFrame, loci: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of :func:`copa`, with the strength alone, of patterns that are stronger than chance."""
    return copa(records, loci, measures=("strength",)).filter(pl.col("strength_q") <= FDR)


def strength_of_differences(
    differences: np.ndarray, shuffles: int, random: np.random.Generator
) -> dict[str, tuple[float | None, float | None]]:
    """Return the strength of the pattern of rows and of columns of a map of numbers, and its p.

    Args:
        differences: of ``max`` and ``min`` at every site, float64 [rows, cols] from -1 to 1.
        shuffles: maps of the null, which keeps the size of every difference and shuffles the signs.
        random: shuffles them.

    Returns:
        By axis, mean |r| over the pairs of vectors that vary, and its :func:`tail`; None below two such vectors.
    """
    differences = np.round(differences * _STEPS)
    signs = np.broadcast_to(np.sign(differences).ravel(), (shuffles, differences.size))
    null = np.abs(differences) * random.permuted(signs, axis=1).reshape(shuffles, *differences.shape)
    found = {}
    for axis in AXES:
        observed = float(_measure(_vectors(differences[None], axis))["strength"][0])
        known = _measure(_vectors(null, axis))["strength"]
        found[axis] = (
            (None, None) if np.isnan(observed) else (observed, tail(observed, known[~np.isnan(known)]))
        )
    return found


def copa_contrasts(copa: pl.DataFrame, by: Sequence[str] = ("axis",)) -> pl.DataFrame:
    """Return whether the pattern is stronger in one assay than in another (the paper's Figure 4d, two seeds).

    The strengths of the same locus and axis in two assays are a pair, each less the mean of its own null, because a
    map with more +1 and -1 has another strength by chance alone. Wilcoxon's signed-rank test over the loci.

    Args:
        copa: of :func:`copa` for several assays (column assay, see :func:`~mutascope.analysis.sites.by_assay`).
        by: among axis, layer, kind.

    Returns:
        Columns ``by``, assay_a, assay_b (every pair once, in order of appearance), loci, excess_a, excess_b (mean
        strength above the null), p (two-sided; 1 where no pair differs), q (over all rows).
    """
    excess = copa.filter(pl.col("strength").is_not_null()).select(
        "assay", *LOCUS_KEY, "axis", excess=pl.col("strength") - pl.col("strength_null")
    )
    assays = excess["assay"].unique(maintain_order=True).to_list()
    rows = []
    for i, a in enumerate(assays):
        for b in assays[i + 1 :]:
            pairs = excess.filter(assay=a).join(
                excess.filter(assay=b), on=[*LOCUS_KEY, "axis"], suffix="_b", maintain_order="left"
            )
            for key, group in in_order(pairs).group_by(list(by), maintain_order=True):
                first, second = group["excess"].to_numpy(), group["excess_b"].to_numpy()
                p = _signed_rank(first, second)
                rows.append((*key, a, b, len(group), first.mean(), second.mean(), p))
    schema = {name: copa.schema[name] for name in by} | {"assay_a": pl.String, "assay_b": pl.String}
    numbers = {"loci": pl.Int64, **dict.fromkeys(("excess_a", "excess_b", "p"), pl.Float64)}
    return q_values(pl.DataFrame(rows, schema=schema | numbers, orient="row"))


def _signed_rank(first: np.ndarray, second: np.ndarray) -> float:
    if (first == second).all():
        return 1.0
    found: Any = stats.wilcoxon(first, second)
    return float(found.pvalue)


def _locus_rows(
    locus: tuple[int, str, np.ndarray], shuffles: int, seed: int, measures: Sequence[str]
) -> list[dict[str, Any]]:
    """A row per axis of one locus: layer, kind and codes [rows, cols]."""
    layer, kind, signs = locus
    random = np.random.default_rng([seed, layer, *kind.encode()])
    shuffled = shuffled_signs(signs, shuffles, random)
    traded = traded_signs(signs, shuffles, random) if "mirror" in measures else None
    rows = []
    for axis in AXES:
        vectors, arrangement = _vectors(signs, axis), rearrange(signs, axis)
        row = {"layer": layer, "kind": kind, "axis": axis, "vectors": int(_varies(vectors).sum())}
        row |= {"reference": arrangement.reference, "left": arrangement.position}
        # A vector without a sign has none in a shuffled map either: it correlates with nothing and counts nowhere,
        # except that the first one is the reference where nothing correlates.
        signed = np.asarray(vectors.any(axis=-1))
        signed[0] = True
        observed, null = _measure(vectors[None]), _measure(_vectors(shuffled, axis)[:, signed])
        if traded is not None:
            observed["mirror"] = _mirror(vectors[None])
            null["mirror"] = _mirror(_vectors(traded, axis)[:, signed])
        for name in measures:
            row |= _against_null(name, float(observed[name][0]), null[name])
        rows.append(row)
    return rows


def _sign_maps(records: pl.DataFrame, loci: pl.DataFrame) -> Iterator[tuple[int, str, np.ndarray]]:
    """Layer, kind and codes [rows, cols] of every locus with a status."""
    sites = site_frame(records).filter(pl.col("status") != Status.UNSCREENED)
    shapes = {(r["layer"], r["kind"]): (r["site_rows"], r["site_cols"]) for r in loci.iter_rows(named=True)}
    for key, group in sites.group_by(LOCUS_KEY, maintain_order=True):
        layer, kind = int(str(key[0])), str(key[1])
        status = np.zeros(shapes[layer, kind], dtype=np.int8)
        status[group["row"].to_numpy(), group["col"].to_numpy()] = group["status"].to_numpy()
        yield layer, kind, sign_map(status)


def _vectors(signs: np.ndarray, axis: str) -> np.ndarray:
    """The vectors of an axis [..., vectors, length] of maps [..., rows, cols]."""
    return np.swapaxes(signs, -1, -2) if axis == "col" else signs


def _varies(vectors: np.ndarray) -> np.ndarray:
    return vectors.min(axis=-1) < vectors.max(axis=-1)


def correlations(vectors: np.ndarray) -> np.ndarray:
    """Return Pearson's r of every pair of vectors [maps, vectors, length]; 0 for constant ones.

    r = 0 comes out as 0, with no sign.
    """
    covariance, scale = _covariance(vectors)
    return covariance * scale[..., :, None] * scale[..., None, :]


def _covariance(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What r is made of: squared length times covariance, [maps, vectors, vectors], and the factors [maps, vectors].

    The former is a whole number, which floats hold exactly; a factor is 0 for a constant vector.
    """
    length = vectors.shape[-1]
    signs = vectors.dtype == np.int8 and length <= _SHORT
    exact = vectors.astype(np.float32 if signs else np.float64)
    sums = exact.sum(axis=-1)
    covariance = exact @ np.swapaxes(exact, -1, -2)
    squares = np.diagonal(covariance, axis1=-2, axis2=-1).astype(np.float64)
    covariance *= length
    covariance -= sums[..., :, None] * sums[..., None, :]
    deviation = np.sqrt(length * squares - sums.astype(np.float64) ** 2)
    return covariance, np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)


def _blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """Maps [maps, vectors, length] in parts of as many as have their correlations in the cache."""
    block = max(1, _BLOCK // vectors.shape[1] ** 2)
    return (vectors[start : start + block] for start in range(0, len(vectors), block))


def _reference(magnitude: np.ndarray) -> np.ndarray:
    """Index of the reference [maps], from the sums [maps, vectors] of |r| over the other vectors."""
    return np.round(magnitude, _DECIMALS).argmax(axis=1)


def _measure(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Strength and asymmetry [maps] of maps [maps, vectors, length]; strength is NaN below two non-constant vectors."""
    strengths, asymmetries = [], []
    for part in _blocks(vectors):
        covariance, scale = _covariance(part)
        magnitude = _magnitude(covariance, scale)
        strengths.append(_per_pair(magnitude.sum(axis=1), scale))
        reference = _reference(magnitude)
        asymmetries.append(_asymmetry(part, reference, covariance[np.arange(len(part)), reference]))
    return {"strength": np.concatenate(strengths), "asymmetry": np.concatenate(asymmetries)}


def _mirror(vectors: np.ndarray) -> np.ndarray:
    """Share of the pairs with r < 0 [maps] of maps [maps, vectors, length]; NaN below two non-constant vectors."""
    known = (_covariance(part) for part in _blocks(vectors))
    return np.concatenate([_per_pair((r < 0).sum(axis=(1, 2)), scale) for r, scale in known])


def _magnitude(covariance: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Sums of |r| over the other vectors, [maps, vectors]."""
    products = np.abs(covariance, dtype=np.float64) @ scale[..., None]
    return scale * products[..., 0] - (scale > 0)


def _per_pair(total: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """A sum [maps] over the ordered pairs of non-constant vectors, divided by their number; NaN where there is none."""
    varying = (scale > 0).sum(axis=1)
    pairs = varying * (varying - 1)
    return np.divide(total, pairs, out=np.full(len(scale), np.nan), where=pairs > 0)


def _asymmetry(vectors: np.ndarray, reference: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Half the difference of the balances of signs right and left of the reference, [maps]; r may have any scale."""
    net = vectors.sum(axis=2, dtype=np.int64)
    signed = np.abs(vectors).sum(axis=2, dtype=np.int64)
    balances = []
    for side in (r >= 0, r < 0):
        side[np.arange(len(r)), reference] = False
        sites = (signed * side).sum(axis=1)
        balances.append(np.divide((net * side).sum(axis=1), sites, out=np.zeros(len(r)), where=sites > 0))
    return np.abs(balances[0] - balances[1]) / 2


def _against_null(name: str, observed: float, null: np.ndarray) -> dict[str, float | None]:
    if np.isnan(observed):
        return {name: None}
    null = null[~np.isnan(null)]
    mean, spread = (float(null.mean()), float(null.std())) if len(null) else (np.nan, 0.0)
    varies = spread > 10**-_DECIMALS
    return {
        name: observed,
        f"{name}_null": None if np.isnan(mean) else mean,
        f"{name}_z": (observed - mean) / spread if varies else None,
        f"{name}_p": tail(observed, null),
    }


def tail(observed: float, null: np.ndarray) -> float:
    """Return the chance of a value at least as large as the observed one, from draws of the null.

    Their share, the observed one included, where 10 draws reach it or the draws are all alike; else the tail of a
    Pearson type III distribution with their first three moments (:func:`copa`).
    """
    reached = np.count_nonzero(null >= observed - 10**-_DECIMALS)
    share = (1 + reached) / (1 + len(null))
    if reached >= _COUNTED or len(null) < 10 * _COUNTED or null.std() <= 10**-_DECIMALS:
        return share
    fitted = stats.pearson3.sf(observed, stats.skew(null), null.mean(), null.std())
    return float(min(max(fitted, np.finfo(float).tiny), share))
