"""Literary against factual prompts: what changes in the outputs of mutants, by form and by quality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from mutascope.analysis.nulls import q_values
from mutascope.analysis.quality import MEASURES
from mutascope.analysis.two_way import item_contrast, unit_means, with_unit
from mutascope.core.schema import MUTANT_KEY

GENRES = ("literary", "factual")
_SCHEMA = {
    "who": pl.String,
    "measure": pl.String,
    "mutants": pl.Int64,
    "units": pl.Int64,
    **{f"{whose}{genre}": pl.Float64 for genre in GENRES for whose in ("wild_", "")},
    "change": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
}


def genre_changes(
    measured: pl.DataFrame, wild: pl.DataFrame, writers: pl.DataFrame, panel: pl.DataFrame
) -> pl.DataFrame:
    """Test whether mutants change their literary outputs otherwise than their factual ones.

    Every mutant is compared with the wild type prompt by prompt. What is tested is the mean change of the literary
    prompts less that of the factual ones, for other mutants and other prompts of these genres
    (:func:`~mutascope.analysis.two_way.item_contrast`). Units are loci, or the lines of a single one
    (:func:`~mutascope.analysis.two_way.with_unit`); each has one vote.

    Args:
        measured: columns layer, kind, row, col, mutation, prompt, and those of
            :data:`~mutascope.analysis.quality.MEASURES`; every mutant has every prompt.
        wild: the same of the wild type, without the columns of a mutant.
        writers: columns layer, kind, row, col, mutation, rare.
        panel: columns prompt, genre.

    Returns:
        A row per who (``rare``, ``common``: mutants with such a word) and measure: ``mutants``, ``units``;
        ``wild_literary``, ``literary``, ``wild_factual``, ``factual`` (means of the wild type and of the units);
        ``change`` = (literary - wild_literary) - (factual - wild_factual), ``low``, ``high`` (95 %), ``p`` (null with
        fewer than two units, or prompts of a genre), ``q`` (Benjamini-Hochberg over all rows).
    """
    asked = panel.filter(pl.col("genre").is_in(GENRES)).sort("prompt")
    wild = wild.join(asked.select("prompt"), on="prompt", how="semi").sort("prompt")
    measured = measured.join(asked.select("prompt"), on="prompt", how="semi")
    literary = (asked["genre"] == "literary").to_numpy()
    rows = []
    for who, rare in (("rare", True), ("common", False)):
        mutants = writers.filter(rare=rare)
        if mutants.is_empty() or not 0 < literary.sum() < len(literary):
            continue
        units = with_unit(mutants).select(*MUTANT_KEY, "unit")
        mine = measured.join(units, on=MUTANT_KEY, how="inner", maintain_order="left")
        counts = (len(mutants), units["unit"].n_unique())
        rows += [(who, name, *counts, *_compared(mine, wild, literary, name)) for name in MEASURES]
    return q_values(pl.DataFrame(rows, schema=_SCHEMA, orient="row"))


def _compared(
    mine: pl.DataFrame, wild: pl.DataFrame, literary: np.ndarray, name: str
) -> Sequence[float | None]:
    """Means, change, interval and p of one measure."""
    before, table = wild[name].cast(pl.Float64).to_numpy(), unit_means(mine, "prompt", name)
    means = [side.mean() for chosen in (literary, ~literary) for side in (before[chosen], table[:, chosen])]
    change = (means[1] - means[0]) - (means[3] - means[2])
    tested = item_contrast(table - before, literary)
    if tested is None:
        return [*map(float, means), float(change), None, None, None]
    return [*map(float, means), float(change), *tested.interval, tested.p]
