"""How alike two assays are: overlap of their maps and correlation of their layers (METHOD, Statistics)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl

from mutascope.analysis.copa import tail
from mutascope.analysis.rates import nsm_rates
from mutascope.analysis.sites import check_equal_shapes, in_order, kinds_of, site_frame, site_number
from mutascope.analysis.status import Status
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.core.schema import LOCUS_KEY

_ONE = (Status.MAX_ONLY, Status.MIN_ONLY)
_SHAPE = (*LOCUS_KEY, "site_rows", "site_cols")
_SHUFFLES = 200


def status_score(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    """Return the score of a pair of statuses: 1 if equal, 0.5 if one is *both* and the other one-sided, else 0."""
    half = ((a == Status.BOTH) & b.is_in(_ONE)) | ((b == Status.BOTH) & a.is_in(_ONE))
    return pl.when(a == b).then(1.0).when(half).then(0.5).otherwise(0.0)


def overlap_matrix(
    screens: Mapping[str, pl.DataFrame],
    loci: Mapping[str, pl.DataFrame],
    by: Sequence[str] = (),
    *,
    pairs: Collection[tuple[str, str]] | None = None,
) -> pl.DataFrame:
    """Return the overlap of every pair of screens (METHOD, Statistics: Overlap; the paper's Figure 1b).

    Per site 1, 0.5 or 0 (:func:`status_score`), summed and divided by the number of sites. Only sites with ``max`` and
    ``min`` in both screens count. Pooled over loci, a locus weighs as many sites as its region has where both screens
    state the same region, so that two samples are compared as two complete screens would be; otherwise it weighs
    the sites compared.

    Args:
        screens: records by label, columns layer, kind, row, col, mutation, silent.
        loci: loci by the same labels, columns layer, kind, rows, cols, site_rows, site_cols, region_sites.
        by: among layer, kind; none for whole screens.
        pairs: labels of the two screens of each pair to compare, in the order of ``screens``; None for all.

    Returns:
        Columns assay_a, assay_b (every ordered pair, a screen with itself included), ``by``, loci, sites (compared),
        overlap, expected (the overlap if, in each locus, the statuses of the one screen were dealt out at random over
        the sites of the other). Without a site to compare, a pair has null overlap, or no row if there is ``by``.

    Raises:
        NotHere: when a locus has another shape or tile in the other screen of a pair.
        MutascopeError: when there is no screen.
    """
    if not screens:
        raise MutascopeError("there is no screen to compare: give at least one")
    kinds = kinds_of(*(frame["kind"] for frame in loci.values()))
    maps = {label: _keyed_statuses(records, kinds) for label, records in screens.items()}
    labels, found = list(screens), []
    for i, a in enumerate(labels):
        for b in labels[i:]:
            if pairs is not None and a != b and (a, b) not in pairs:
                continue
            check_equal_shapes({a: loci[a], b: loci[b]})
            weights = _weights(loci[a], loci[b])
            pair = _pool(_locus_overlaps(maps[a], maps[b], weights), by)
            for first, second in dict.fromkeys([(a, b), (b, a)]):
                names = (pl.lit(first).alias("assay_a"), pl.lit(second).alias("assay_b"))
                found.append((labels.index(first), labels.index(second), pair.select(*names, pl.all())))
    return pl.concat([pair for _, _, pair in sorted(found, key=lambda item: item[:2])])


def overlap_tests(
    screens: Mapping[str, pl.DataFrame],
    loci: Mapping[str, pl.DataFrame],
    pairs: Collection[tuple[str, str]],
    seed: int = 0,
) -> pl.DataFrame:
    """Return whether two maps overlap more than they would if the rows and columns of one were shuffled.

    Sites of a row, and of a column, have statuses alike, so that sites dealt out one by one overlap far less than
    maps that have nothing to do with each other. Whole rows and whole columns of one map are shuffled within every
    locus, 200 times; p is from these draws (:func:`~mutascope.analysis.copa.tail`).

    Args:
        screens: records by label, columns layer, kind, row, col, mutation, silent.
        loci: loci by the same labels, columns layer, kind, site_rows, site_cols.
        pairs: labels of the two screens of each pair.
        seed: of the shuffles.

    Returns:
        Columns assay_a, assay_b, p: null where the two have no locus of which both screened every site with ``max`` and
        ``min``.
    """
    maps = {
        label: _complete_maps(screens[label], loci[label])
        for label in dict.fromkeys(label for pair in pairs for label in pair)
    }
    rows = [(a, b, _overlap_p(maps[a], maps[b], seed)) for a, b in pairs]
    schema = {"assay_a": pl.String, "assay_b": pl.String, "p": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _complete_maps(records: pl.DataFrame, loci: pl.DataFrame) -> dict[tuple[int, str], np.ndarray]:
    """Statuses [rows, cols] of the loci of which every site has ``max`` and ``min``."""
    sites = site_frame(records).filter(pl.all_horizontal(pl.col("max_nsm", "min_nsm").is_not_null()))
    shapes = {(layer, kind): shape for layer, kind, *shape in loci.select(*_SHAPE).iter_rows()}
    return {
        key: group.sort("row", "col")["status"].to_numpy().reshape(shapes[key])
        for key, group in sites.group_by(LOCUS_KEY, maintain_order=True)
        if len(group) == np.prod(shapes[key])
    }


def _overlap_p(
    first: dict[tuple[int, str], np.ndarray], second: dict[tuple[int, str], np.ndarray], seed: int
) -> float | None:
    common = [key for key in first if key in second]
    if not common:
        return None
    random = np.random.default_rng(seed)
    total = np.zeros(_SHUFFLES + 1)
    for key in common:
        a, b = first[key], second[key]
        for draw in range(_SHUFFLES + 1):  # the last one is the map as it is
            shuffled = (
                b if draw == _SHUFFLES else b[random.permutation(len(b))][:, random.permutation(b.shape[1])]
            )
            total[draw] += _score(a, shuffled)
    return tail(float(total[-1]), total[:-1])


def _score(first: np.ndarray, second: np.ndarray) -> float:
    """Sum of the scores (:func:`status_score`) of the sites of two complete maps."""
    a, b = first - Status.SILENT, second - Status.SILENT  # a bit for max, and one for min
    other = a ^ b
    half = (other != 0) & (other != 3) & ((a | b) == 3)
    return float(np.count_nonzero(other == 0) + np.count_nonzero(half) / 2)


def layer_counts(records: pl.DataFrame, loci: pl.DataFrame) -> pl.DataFrame:
    """Return the number of NSMs of every layer, all mutations together, estimated where sites were sampled.

    A complete screen gives the counts themselves. In a sample the weighted rate of a layer
    (:func:`~mutascope.analysis.rates.nsm_rates`) is scaled up to the sites of its region, so that layers are
    comparable although loci of all sizes were sampled alike. A list of mutants gives the counts of the list.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        loci: columns layer, kind, region_sites (null where sites were not drawn at random).

    Returns:
        Columns layer, nsm (Float64), by layer; no row for a layer without a record.
    """
    if records.is_empty():
        return pl.DataFrame(schema={"layer": records.schema["layer"], "nsm": pl.Float64})
    rates = nsm_rates(records, loci, ["layer", "mutation"])
    region = loci.group_by("layer", maintain_order=True).agg(
        region=pl.when(pl.col("region_sites").null_count() == 0).then(pl.col("region_sites").sum())
    )
    nsm = pl.coalesce(pl.col("rate") * pl.col("region"), pl.col("nsm").cast(pl.Float64))
    return (
        rates.join(region, on="layer", how="left", maintain_order="left")
        .group_by("layer", maintain_order=True)
        .agg(nsm=nsm.sum())
        .sort("layer")
    )


def layer_correlations(counts: pl.DataFrame) -> pl.DataFrame:
    """Return Pearson's correlation of the per-layer NSM counts of every pair of assays (METHOD: Layer correlation).

    Args:
        counts: columns assay, layer, nsm (a number); several rows of one assay and layer, such as counts by locus,
            are summed.

    Returns:
        Columns assay_a, assay_b (every ordered pair, in order of appearance), layers, r, r_squared. Both are null
        below two layers, or where an assay has the same count in all layers.

    Raises:
        NotHere: when two assays do not have the same layers.
    """
    sums = counts.group_by("assay", "layer", maintain_order=True).agg(pl.col("nsm").sum().cast(pl.Float64))
    groups = {
        str(name[0]): group.sort("layer") for name, group in sums.group_by("assay", maintain_order=True)
    }
    rows = []
    for a, first in groups.items():
        for b, second in groups.items():
            _check_layers(a, first["layer"].to_list(), b, second["layer"].to_list())
            r = _pearson(first["nsm"].to_numpy(), second["nsm"].to_numpy())
            rows.append((a, b, len(first), r, None if r is None else r * r))
    schema = {"assay_a": pl.String, "assay_b": pl.String, "layers": pl.Int64, "r": pl.Float64}
    return pl.DataFrame(rows, schema={**schema, "r_squared": pl.Float64}, orient="row")


def _keyed_statuses(records: pl.DataFrame, kinds: list[str]) -> pl.DataFrame:
    """Statuses of sites with ``max`` and ``min``, under one number per site."""
    sites = site_frame(records).filter(pl.all_horizontal(pl.col("max_nsm", "min_nsm").is_not_null()))
    return sites.select(*LOCUS_KEY, "status", key=site_number(kinds))


def _weights(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    both = first.join(
        second.select(*LOCUS_KEY, other="region_sites"), on=LOCUS_KEY, how="inner", maintain_order="left"
    )
    return both.select(
        *LOCUS_KEY, region=pl.when(pl.col("region_sites") == pl.col("other")).then("region_sites")
    )


def _locus_overlaps(first: pl.DataFrame, second: pl.DataFrame, weights: pl.DataFrame) -> pl.DataFrame:
    """Columns layer, kind, sites, overlap, expected, weight of every locus with a site in both."""
    pairs = first.join(second.select("key", other="status"), on="key", how="inner", maintain_order="left")
    table = pairs.group_by(*LOCUS_KEY, "status", "other", maintain_order=True).agg(n=pl.len())
    margins = [
        table.group_by(*LOCUS_KEY, name, maintain_order=True).agg(pl.col("n").sum().alias(f"n_{name}"))
        for name in ("status", "other")
    ]
    score = status_score(pl.col("status"), pl.col("other"))
    chance = (
        margins[0]
        .join(margins[1], on=LOCUS_KEY, maintain_order="left")
        .group_by(LOCUS_KEY, maintain_order=True)
    )
    expected = chance.agg(expected=(score * pl.col("n_status") * pl.col("n_other")).sum())
    return (
        table.group_by(LOCUS_KEY, maintain_order=True)
        .agg(sites=pl.col("n").sum().cast(pl.Int64), overlap=(score * pl.col("n")).sum())
        .join(expected, on=LOCUS_KEY, maintain_order="left")
        .join(weights, on=LOCUS_KEY, how="left", maintain_order="left")
        .select(
            *LOCUS_KEY,
            "sites",
            overlap=pl.col("overlap") / pl.col("sites"),
            expected=pl.col("expected") / pl.col("sites").cast(pl.Float64).pow(2),
            weight=pl.coalesce("region", "sites"),
        )
    )


def _pool(overlaps: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    weight = pl.col("weight") / pl.col("weight").sum()
    pooled = [
        pl.len().cast(pl.Int64).alias("loci"),
        pl.col("sites").sum(),
        *(pl.when(pl.len() > 0).then((pl.col(n) * weight).sum()).alias(n) for n in ("overlap", "expected")),
    ]
    return (
        in_order(overlaps.group_by(list(by), maintain_order=True).agg(pooled))
        if by
        else overlaps.select(pooled)
    )


def _check_layers(a: str, first: list[int], b: str, second: list[int]) -> None:
    if first != second:
        lacking = sorted(set(first).symmetric_difference(second))
        raise NotHere(
            f"the layers of {a} and {b} do not match ({len(first)} and {len(second)} layers; layer {lacking[0]} is in"
            " one of them only): correlate screens of the same layers"
        )


def _pearson(first: np.ndarray, second: np.ndarray) -> float | None:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
