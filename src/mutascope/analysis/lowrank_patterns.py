"""How much of a map's patterns its low-rank form predicts: enriched lines, bias, COPA (docs/reference/why-copa.md)."""

from __future__ import annotations

import numpy as np
import polars as pl

from mutascope.analysis.bias import locus_bias
from mutascope.analysis.copa import correlations, sign_map
from mutascope.analysis.enrichment import AXES
from mutascope.analysis.lowrank import low_rank_calls
from mutascope.analysis.sites import in_order, site_frame
from mutascope.analysis.status import Status
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY

_FORMS = ("map", "form")


def low_rank_patterns(predictions: pl.DataFrame, calls: pl.DataFrame, rank: int = 1) -> pl.DataFrame:
    """Return, for every locus, how the patterns of a map compare with those of the low-rank form of its predictions.

    Args:
        predictions: of whole loci: columns layer, kind, row, col, mutation, margin; complete for max and min.
        calls: the map to be explained, exact or predicted: columns layer, kind, row, col, mutation, silent.
        rank: of the form (:func:`~mutascope.analysis.lowrank.low_rank_calls`).

    Returns:
        Columns layer, kind, rank, agreement (share of the max and min calls that the form gets right), and by axis
        (``row``, ``col``): ``lines_*`` (squared correlation of the numbers of NSM sites of the lines, null where they
        are all equal), ``pairs_*`` (squared correlation, over pairs of vectors that vary in both, of their Pearson
        correlations: COPA's pattern itself), ``strength_*`` and ``form_strength_*`` (mean |r| of COPA); and bias and
        form_bias (max NSMs less min NSMs, as a share of the sites).
    """
    form = low_rank_calls(predictions, rank)
    both = form.rename({"silent": "form"}).join(
        calls.select(*MUTANT_KEY, map="silent"), on=MUTANT_KEY, maintain_order="left"
    )
    rows = []
    for (layer, kind), group in both.group_by(LOCUS_KEY, maintain_order=True):
        of = {name: group.select(*MUTANT_KEY, silent=name) for name in _FORMS}
        statuses = {name: _statuses(records) for name, records in of.items()}
        row = {"layer": layer, "kind": kind, "rank": rank}
        row["agreement"] = float((group["map"] == group["form"]).mean())  # pyright: ignore[reportArgumentType]
        for at, axis in enumerate(AXES):
            hits = [(statuses[name] != Status.SILENT).sum(axis=1 - at) for name in _FORMS]
            row[f"lines_{axis}"] = _squared_correlation(*hits)
            pairs = [_pair_correlations(sign_map(statuses[name]), at) for name in _FORMS]
            known = ~(np.isnan(pairs[0]) | np.isnan(pairs[1]))
            row[f"pairs_{axis}"] = _squared_correlation(pairs[0][known], pairs[1][known])
            row |= dict(
                zip((f"strength_{axis}", f"form_strength_{axis}"), map(_strength, pairs), strict=True)
            )
        row |= {"bias": _lean(of["map"]), "form_bias": _lean(of["form"])}
        rows.append(row)
    return in_order(pl.DataFrame(rows, schema_overrides={"layer": pl.Int16}))


def low_rank_by_kind(shares: pl.DataFrame, patterns: pl.DataFrame) -> pl.DataFrame:
    """Return what low-rank forms explain, as medians over the loci of a kind and over all.

    Args:
        shares: of :func:`~mutascope.analysis.lowrank.low_rank_shares`.
        patterns: of :func:`low_rank_patterns`, of one or several ranks.

    Returns:
        Columns kind (``all`` last), rank, loci, odd_share, null_1, agreement, lines_row, lines_col, pairs_row,
        pairs_col (medians) and bias_explained (squared correlation of bias and form_bias over the loci, null for one
        locus).
    """
    names = [
        "odd_share",
        "null_1",
        "agreement",
        *(f"{what}_{axis}" for what in ("lines", "pairs") for axis in AXES),
    ]
    known = patterns.join(shares, on=LOCUS_KEY, maintain_order="left")
    parts = []
    for frame in (known, known.with_columns(kind=pl.lit("all"))):
        for (kind, rank), group in frame.group_by("kind", "rank", maintain_order=True):
            row = {"kind": kind, "rank": rank, "loci": len(group)}
            row |= {name: group[name].median() for name in names}
            explained = _squared_correlation(group["bias"].to_numpy(), group["form_bias"].to_numpy())
            parts.append({**row, "bias_explained": explained})
    return pl.DataFrame(parts, infer_schema_length=None)


def _statuses(records: pl.DataFrame) -> np.ndarray:
    """Return the status of every site of one locus, [site rows, site cols]."""
    sites = site_frame(records)
    shape = (int(sites["row"].max() or 0) + 1, int(sites["col"].max() or 0) + 1)  # pyright: ignore
    statuses = np.full(shape, Status.UNSCREENED, dtype=np.int8)
    statuses[sites["row"].to_numpy(), sites["col"].to_numpy()] = sites["status"].to_numpy()
    return statuses


def _pair_correlations(signs: np.ndarray, axis: int) -> np.ndarray:
    """Return Pearson's r of every pair of rows (axis 0) or columns (1), [pairs]; NaN where a vector is constant."""
    vectors = signs if axis == 0 else signs.T
    r = correlations(vectors[None])[0]
    constant = np.ptp(vectors, axis=1) == 0
    r[constant], r[:, constant] = np.nan, np.nan
    return r[np.triu_indices(len(r), 1)]


def _strength(pairs: np.ndarray) -> float | None:
    known = pairs[~np.isnan(pairs)]
    return float(np.abs(known).mean()) if len(known) else None


def _squared_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1] ** 2)


def _lean(records: pl.DataFrame) -> float:
    """Return the signed bias of one locus: max NSMs less min NSMs, as a share of the sites."""
    row = locus_bias(records).row(0, named=True)
    return (row["max_nsm"] - row["min_nsm"]) / row["sites"]
