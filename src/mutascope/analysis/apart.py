"""Lines that are conserved over layers in one assay and not in the others (the paper's Figure 3d), as a contrast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.enrichment import FDR
from mutascope.analysis.nulls import q_values
from mutascope.analysis.sites import in_order


def conserved_apart(lines: pl.DataFrame) -> pl.DataFrame:
    """Test whether a line of a kind is enriched in more layers of one assay than of every other one.

    Layers in which a line is enriched in one of two assays alone are the first one's or the second one's. If every line
    had the same odds ratio between the assays, whatever its own odds, these layers would be split as those of all other
    lines are. Fisher's exact test, one-sided, with half the chance of the observed table (mid-p): with more layers for
    the first assay than the others' share, the line stands apart. Against several assays, p is the largest. Only lines
    that enough layers speak for are tested: those where p could be .05 or less, whichever assay the layers are of.

    Args:
        lines: of :func:`~mutascope.analysis.enrichment.enriched_lines` for several assays, columns assay, hit (if
            given), layer, kind, axis, index, enriched.

    Returns:
        Columns assay, hit (if given), kind, axis, index, layers (of all assays), enriched (of these, in the assay),
        elsewhere (the most in another assay), expected (layers in the assay, against the other one with the largest p),
        p, q (Benjamini-Hochberg within assay, hit and axis), apart (q <= 0.05).
    """
    keys = [name for name in ("hit", "kind", "axis") if name in lines.columns]
    assays = lines["assay"].unique(maintain_order=True).to_list()
    rows = [
        (assays[number], *key, *found)
        for key, group in in_order(lines, "axis").group_by(keys, maintain_order=True)
        for number, found in _contrasts(_cube(group, assays))
    ]
    schema: dict[str, Any] = {"assay": pl.String, **dict.fromkeys(keys, pl.String), "index": pl.Int32}
    schema |= dict.fromkeys(("layers", "enriched", "elsewhere"), pl.Int64)
    schema |= dict.fromkeys(("expected", "p"), pl.Float64)
    found = pl.DataFrame(rows, schema=schema, orient="row")
    family = [name for name in ("assay", "hit", "axis") if name in found.columns]
    return q_values(found, family).with_columns(apart=(pl.col("q") <= FDR).fill_null(False))


def _cube(lines: pl.DataFrame, assays: list[str]) -> np.ndarray:
    """Whether lines are enriched, [assays, layers, lines]; NaN where an assay does not have the line."""
    layers = lines["layer"].unique().sort().to_list()
    cube = np.full((len(assays), len(layers), int(lines["index"].to_numpy().max()) + 1), np.nan)
    at = (
        lines["assay"].replace_strict(assays, range(len(assays))).to_numpy(),
        lines["layer"].replace_strict(layers, range(len(layers))).to_numpy(),
        lines["index"].to_numpy(),
    )
    cube[at] = lines["enriched"].to_numpy()
    lacking = np.isnan(cube).all(axis=2)
    return cube[:, ~np.any(lacking, axis=0)]


def _contrasts(cube: np.ndarray) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield the number of an assay with index, layers, enriched, elsewhere, expected and p of its tested lines."""
    if not cube.size or len(cube) < 2:
        return
    known = ~np.isnan(cube).any(axis=0)
    called = np.asarray((cube > 0) & known)
    for first in range(len(cube)):
        tests = [_against(called[first], called[other]) for other in range(len(cube)) if other != first]
        p, least, expected = (np.stack(part) for part in zip(*tests, strict=True))
        worst = p.argmax(axis=0)
        others = np.delete(called, first, axis=0).sum(axis=1).max(axis=0)
        for index in np.flatnonzero((least <= FDR).all(axis=0)):
            yield (
                first,
                (
                    int(index),
                    int(np.sum(known, axis=0)[index]),
                    int(called[first, :, index].sum()),
                    int(others[index]),
                    float(expected[worst[index], index]),
                    float(p[:, index].max()),
                ),
            )


def _against(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mid-p [lines] of one assay against another, the least it could be, and the layers to expect for the first.

    ``first`` and ``second``: bool [layers, lines], whether a line is enriched.
    """
    won, alone = (first & ~second).sum(axis=0), (first ^ second).sum(axis=0)
    table = (alone.sum(), won.sum(), alone)
    p = stats.hypergeom.sf(won, *table) + stats.hypergeom.pmf(won, *table) / 2
    least = stats.hypergeom.pmf(np.minimum(alone, won.sum()), *table) / 2
    share = won.sum() / max(alone.sum(), 1)
    return p, least, alone * share + (first & second).sum(axis=0)
