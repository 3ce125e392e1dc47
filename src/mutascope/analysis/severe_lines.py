"""Lines of severe mutants: of low cosine in several text assays, and with the lowest scores of a choice assay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.choice import MALIGNANT_COSINE
from mutascope.analysis.enrichment import AXES, FDR, conserved_across_assays, enriched_lines, nsm_sites
from mutascope.analysis.nulls import padded, poisson_binomial_tail, q_values
from mutascope.analysis.severity import marked_sites
from mutascope.analysis.sites import by_assay, in_order
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

_LINE = [*LOCUS_KEY, "axis", "index"]


def low_cosine_lines(
    texts: Mapping[str, pl.DataFrame], choice: pl.DataFrame | None, max_cosine: float = MALIGNANT_COSINE
) -> pl.DataFrame:
    """Return the lines with more low cosines than chance in some text assay, and in how many (the paper's Figure 5c).

    Sites with an NSM of low cosine are counted as NSM sites are in
    :func:`~mutascope.analysis.enrichment.enriched_lines`, and the assays as in
    :func:`~mutascope.analysis.enrichment.conserved_across_assays`.

    Args:
        texts: records by label, columns layer, kind, row, col, mutation, silent, cosine.
        choice: records of a choice assay, columns layer, kind, row, col, mutation, silent; None without one.
        max_cosine: exclusive bound of a low cosine.

    Returns:
        The columns of :func:`~mutascope.analysis.enrichment.conserved_across_assays`; ``choice_sites`` and
        ``choice_nsm``, the sites of the line that the choice assay screened, and NSM sites among these (Int64, null
        where it screened none).
    """

    def tested(records: pl.DataFrame) -> pl.DataFrame:
        low = marked_sites(records, pl.col("cosine") < max_cosine).select(*SITE_KEY, low=pl.lit(True))
        sites = nsm_sites(records).join(low, on=SITE_KEY, how="left", maintain_order="left")
        return enriched_lines(sites.with_columns(hit=pl.col("low").fill_null(False)).drop("low"))

    found = conserved_across_assays(by_assay(texts, tested))
    if choice is None:
        return found.with_columns(choice_sites=pl.lit(None, pl.Int64), choice_nsm=pl.lit(None, pl.Int64))
    counts = enriched_lines(nsm_sites(choice)).select(*_LINE, choice_sites="sites", choice_nsm="hits")
    return found.join(counts, on=_LINE, how="left", maintain_order="left")


def lowest_scores(records: pl.DataFrame) -> pl.DataFrame:
    """Return the lines that hold the lowest scores of their loci, over the layers of a kind.

    A site has the lower score of its NSMs. If the lowest ones of a locus were any of its NSM sites, a line with m of
    the n NSM sites would hold one of the t lowest with chance 1 - C(n - m, t) / C(n, t), and the number of layers M
    would be Poisson-binomial; as of conserved lines, p = P(M >= m | M >= 1). Lowest sites that gather on a line make p
    larger than need be.

    Args:
        records: of a choice assay, columns layer, kind, row, col, silent, score.

    Returns:
        Columns kind, axis, index; ``layers`` (in which the line has an NSM), ``lowest`` (of these, in which it holds
        a lowest score), Int64; ``expected``; ``least`` (lowest score on the line, Int64), ``mean_score`` (of its NSM
        sites); p, q (Benjamini-Hochberg within the axis), conserved (q <= 0.05 and lowest in two layers). Only lines
        that hold a lowest score.
    """
    sites = (
        records.filter(~pl.col("silent"))
        .group_by(SITE_KEY, maintain_order=True)
        .agg(pl.col("score").min().cast(pl.Int64))
        .with_columns(is_lowest=pl.col("score") == pl.col("score").min().over(LOCUS_KEY))
        .with_columns(n=pl.len().over(LOCUS_KEY), t=pl.col("is_lowest").sum().over(LOCUS_KEY))
    )
    lines = pl.concat(
        sites.group_by(*LOCUS_KEY, index=axis, maintain_order=True)
        .agg(
            *(pl.col(name).first() for name in ("n", "t")),
            m=pl.len(),
            holds=pl.col("is_lowest").any(),
            least=pl.col("score").min(),
            total=pl.col("score").sum(),
        )
        .with_columns(axis=pl.lit(axis))
        for axis in AXES
    )
    n, t, m = (lines[name].to_numpy().astype(np.int64) for name in ("n", "t", "m"))
    lines = lines.with_columns(chance=pl.Series(stats.hypergeom.sf(0, n, t, m), dtype=pl.Float64))
    keys = ["kind", "axis", "index"]
    found = (
        in_order(lines, "index")
        .group_by(keys, maintain_order=True)
        .agg(
            layers=pl.len().cast(pl.Int64),
            lowest=pl.col("holds").sum().cast(pl.Int64),
            expected=pl.col("chance").sum(),
            least=pl.col("least").min(),
            mean_score=pl.col("total").sum() / pl.col("m").sum(),
            chances=pl.col("chance"),
        )
        .filter(pl.col("lowest") > 0)
    )
    chances = padded(found["chances"])
    once = np.ones(len(found), dtype=int)
    p = poisson_binomial_tail(found["lowest"].to_numpy(), chances) / poisson_binomial_tail(once, chances)
    tested = found.drop("chances").with_columns(p=pl.Series(np.minimum(p, 1.0), dtype=pl.Float64))
    return q_values(tested, ["axis"]).with_columns(conserved=(pl.col("q") <= FDR) & (pl.col("lowest") >= 2))
