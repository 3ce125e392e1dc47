"""Which token of the wild type's text NSMs leave at first, and what a map of one token alone looks like."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mutascope.analysis.bias import locus_bias
from mutascope.analysis.copa import strong_patterns
from mutascope.analysis.enrichment import nsm_enrichment
from mutascope.analysis.sites import MAP_MUTATIONS
from mutascope.core.schema import SITE_KEY

FRAGILE = 0.05
"""A token at which this share of the NSMs leave is looked at alone."""
_LINE = ("layer", "kind", "axis", "index")
_AXES = {"row": "rows", "col": "cols"}


def tokens_left_at(records: pl.DataFrame) -> pl.DataFrame:
    """Return how many NSMs leave the wild type at every token at which one does.

    Args:
        records: columns mutation, silent, first_divergence.

    Returns:
        Columns token (index in the continuation), nsm, share (of the NSMs), max_nsm, min_nsm, by token. NSMs whose
        first divergence is not known do not count.
    """
    left = records.filter(~pl.col("silent"), pl.col("first_divergence").is_not_null())
    counts = left.group_by(token="first_divergence", maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("nsm"),
        *((pl.col("mutation") == name).sum().cast(pl.Int64).alias(f"{name}_nsm") for name in MAP_MUTATIONS),
    )
    shares = counts.with_columns(share=pl.col("nsm") / pl.col("nsm").sum())
    return shares.select("token", "nsm", "share", "max_nsm", "min_nsm").sort("token")


def fragile_tokens(
    records: pl.DataFrame, pieces: Sequence[str | None], margins: Sequence[float | None]
) -> pl.DataFrame:
    """Return every token of the wild type's text with its margin, and how many NSMs leave there.

    Args:
        records: as in :func:`tokens_left_at`.
        pieces: text of every token; None where it is not known.
        margins: of every pick; None where it is not known.

    Returns:
        Columns token, piece, margin, then those of :func:`tokens_left_at`; a row per token of the text, and one for
        every other place where NSMs leave.
    """
    known = pl.DataFrame(
        {"token": range(len(pieces)), "piece": pieces, "margin": margins},
        schema={"token": pl.Int32, "piece": pl.String, "margin": pl.Float64},
    )
    counts = ("nsm", "max_nsm", "min_nsm", "share")
    found = known.join(
        tokens_left_at(records), on="token", how="full", coalesce=True, maintain_order="left_right"
    ).sort("token")
    return found.with_columns(pl.col(*counts).fill_null(0))


def at_token(records: pl.DataFrame, token: int) -> pl.DataFrame:
    """Return the records with only those NSMs as NSMs that leave the wild type at a token."""
    elsewhere = (pl.col("first_divergence") != token).fill_null(True)
    return records.with_columns(silent=pl.col("silent") | elsewhere)


def within_tokens(records: pl.DataFrame, loci: pl.DataFrame, least: float = FRAGILE) -> pl.DataFrame:
    """Return the structure of the maps of fragile tokens alone, beside that of the whole map.

    In the map of a token, a mutant counts as an NSM where it leaves the wild type at this token. Its tests are those of
    the whole map: of :mod:`mutascope.analysis.enrichment`, :mod:`mutascope.analysis.bias` and
    :mod:`mutascope.analysis.copa`.

    Args:
        records: columns layer, kind, row, col, mutation, silent, first_divergence.
        loci: columns layer, kind, site_rows, site_cols.
        least: share of the NSMs that leave at a fragile token.

    Returns:
        Columns token (null: the whole map), nsm, share, sites (with an NSM), rows, cols (enriched ones), rows_of_map,
        cols_of_map (of them, enriched in the whole map too), max_nsm, min_nsm, biased (loci that lean to ``max`` or
        ``min``), copa_rows, copa_cols (loci whose pattern is stronger than chance, q <= 0.05). The whole map comes
        first, then tokens by share.
    """
    fragile = tokens_left_at(records).filter(pl.col("share") >= least).sort("share", descending=True)
    lines = nsm_enrichment(records).filter("enriched")
    rows = [_structure(records, loci, None, lines)]
    rows += [_structure(at_token(records, token), loci, token, lines) for token in fragile["token"]]
    found = pl.DataFrame(rows, schema_overrides={"token": pl.Int32})
    return found.select(
        "token", "nsm", pl.all().exclude("token", "nsm"), share=pl.col("nsm") / pl.first("nsm")
    )


def _structure(
    records: pl.DataFrame, loci: pl.DataFrame, token: int | None, of_map: pl.DataFrame
) -> dict[str, object]:
    """Return a row of :func:`within_tokens`, without the share."""
    left = records.filter(~pl.col("silent"))
    lines = nsm_enrichment(records).filter("enriched")
    patterns = strong_patterns(records, loci)
    both = lines.join(of_map, on=_LINE, how="semi")
    return {
        "token": token,
        "nsm": len(left),
        "sites": left.select(SITE_KEY).n_unique(),
        **{name: int((lines["axis"] == axis).sum()) for axis, name in _AXES.items()},
        **{f"{name}_of_map": int((both["axis"] == axis).sum()) for axis, name in _AXES.items()},
        **{f"{name}_nsm": int((left["mutation"] == name).sum()) for name in MAP_MUTATIONS},
        "biased": int((locus_bias(records)["lean"] != "none").sum()),
        **{f"copa_{name}": int((patterns["axis"] == axis).sum()) for axis, name in _AXES.items()},
    }
