"""Rows and columns that hold more NSMs than chance, and those that are conserved (METHOD: Row and column enrichment).

The null of a line (a row or a column of a locus) deals the NSM sites of the locus out at random over its screened
sites. *Sites* are counted and not mutants: ``max`` and ``min`` of one site are NSMs together far more often than two
mutants of different sites, and a null that deals out mutants would take that for enrichment. A site is an NSM site
when any of its mutants is one; such sites are exchangeable under the null however its mutants depend on each other,
so that the hypergeometric tail is exact. False discoveries are controlled by Benjamini-Hochberg over all lines of one
axis of a screen: rows and columns are two questions, and a family per locus would give 448 chances of a false call.
The counts of the lines of one locus repel each other, under which Benjamini-Hochberg stays on the safe side, and so do
the steps of discrete p-values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy import stats

from mutascope.analysis.nulls import padded, poisson_binomial_tail, q_values
from mutascope.analysis.sites import BASE_KIND, MAP_MUTATIONS, in_order, site_frame
from mutascope.analysis.status import Status
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.core.kinds import RESIDUAL_AXIS
from mutascope.core.schema import LOCUS_KEY, SITE_KEY

FDR = 0.05
"""Share of false lines among those called that is tolerated."""
AXES = ("row", "col")


HITS = ("any", "both")
"""What counts as a hit of a site: that some of ``max`` and ``min`` is an NSM, or both are. Where nine sites in ten are
NSM sites, *any* cannot see a line of which all are; *both* can."""


def nsm_sites(records: pl.DataFrame, hit: str = "any") -> pl.DataFrame:
    """Return the sites that enrichment counts, and whether each is an NSM site.

    Args:
        records: columns layer, kind, row, col, mutation, silent.
        hit: one of :data:`HITS`.

    Returns:
        Columns layer, kind, row, col, hit (``any`` or ``both`` of the site's ``max`` and ``min`` mutants are NSMs; in
        records that have neither, its ``zero`` mutant is). Only sites with every one of these mutations that the
        records have: a site with fewer mutants has fewer chances to be hit. No row for ``both`` where the records have
        one mutation: it is the same as ``any``.
    """
    sites = site_frame(records)
    present = [f"{name}_nsm" for name in MAP_MUTATIONS if sites[f"{name}_nsm"].count()] or ["zero_nsm"]
    screened = pl.all_horizontal(pl.col(name).is_not_null() for name in present)
    if hit == "any":
        return sites.filter(screened).select(*SITE_KEY, hit=pl.any_horizontal(present))
    found = sites.filter(screened).select(*SITE_KEY, hit=pl.all_horizontal(present))
    return found if len(present) > 1 else found.clear()


def enriched_lines(sites: pl.DataFrame) -> pl.DataFrame:
    """Return the test of every row and column of every locus against the hypergeometric null of its locus.

    With N sites in the locus, K of them hits, and n sites in the line, k of them hits, p = P(X >= k) for X
    hypergeometric (N, K, n). The function knows nothing of NSMs: any yes or no per site can be tested, the status
    *both* or a severe phenotype for instance.

    Args:
        sites: a row per screened site, columns layer, kind, row, col, hit (Boolean).

    Returns:
        Columns layer, kind, axis (``row`` or ``col``), index (Int32, tile coordinate), sites, hits, expected
        (n K / N), fold (hits / expected, null where nothing is expected), p, q (within the axis), enriched
        (q <= 0.05), least_p (p if all sites of the line were hits), blind (Boolean: this is more than what the family
        calls, so that the test cannot see the line).
    """
    totals = sites.group_by(LOCUS_KEY, maintain_order=True).agg(
        all_sites=pl.len(), all_hits=pl.col("hit").sum()
    )
    lines = pl.concat(
        sites.group_by(*LOCUS_KEY, index=axis, maintain_order=True)
        .agg(sites=pl.len().cast(pl.Int64), hits=pl.col("hit").sum().cast(pl.Int64))
        .with_columns(axis=pl.lit(axis))
        for axis in AXES
    ).join(totals, on=LOCUS_KEY, maintain_order="left")
    n, k, N, K = (lines[name].to_numpy() for name in ("sites", "hits", "all_sites", "all_hits"))
    expected = pl.col("sites") * pl.col("all_hits") / pl.col("all_sites")
    tested = lines.select(
        *LOCUS_KEY,
        "axis",
        "index",
        "sites",
        "hits",
        expected=expected,
        fold=pl.when(expected > 0).then(pl.col("hits") / expected),
        p=pl.Series(np.minimum(stats.hypergeom.sf(k - 1, N, K, n), 1.0), dtype=pl.Float64),
    )
    full = np.minimum(stats.hypergeom.sf(np.minimum(n, K) - 1, N, K, n), 1.0)
    called = q_values(tested, ["axis"]).with_columns(
        enriched=pl.col("q") <= FDR, least_p=pl.Series(full, dtype=pl.Float64)
    )
    limit = pl.max_horizontal(pl.col("p").filter("enriched").max(), FDR / pl.len()).over("axis")
    called = called.with_columns(blind=pl.col("least_p") > limit)
    return in_order(called, "index").sort("axis", descending=True, maintain_order=True)


def nsm_enrichment(records: pl.DataFrame, hit: str = "any") -> pl.DataFrame:
    """Return the enrichment of NSM sites in every row and column (:func:`enriched_lines` of :func:`nsm_sites`)."""
    return enriched_lines(nsm_sites(records, hit))


def conserved_across_assays(lines: pl.DataFrame) -> pl.DataFrame:
    """Return, for every enriched line, in how many assays it is, against the number to expect by chance.

    If the enriched lines of each assay were any lines of the locus, a line would be enriched in an assay with the
    share of the locus's lines that are, and the number M of assays would be Poisson-binomial: the same as shuffling
    the lines of the locus, in each assay on its own. Only lines that are enriched at least once are asked, and p says
    so: P(M >= m | M >= 1). Without this, two assays could never show that a line is conserved, because the thousands
    of lines that are enriched nowhere would count as tests.

    Args:
        lines: of :func:`enriched_lines` for several assays (column assay, see
            :func:`~mutascope.analysis.sites.by_assay`).

    Returns:
        Columns hit (if given), layer, kind, axis, index, tested (assays with the line), enriched (assays), expected
        (assays, by the shares), p, q (within the axis), conserved (q <= 0.05 and enriched at least twice). No row for a
        line that is enriched nowhere; p is 1 for one that is enriched once.

    Raises:
        MutascopeError: without a column assay.
    """
    if "assay" not in lines.columns:
        raise MutascopeError("conservation across assays needs the lines of several assays in a column assay")
    return _conserved(
        lines, [*(name for name in _apart(lines) if name != "assay"), *LOCUS_KEY, "axis", "index"]
    )


def conserved_across_layers(lines: pl.DataFrame) -> pl.DataFrame:
    """Return, for every coordinate of a kind with an enriched line, in how many layers it has one, against chance.

    The null is that of :func:`conserved_across_assays`, with layers for assays.

    Args:
        lines: of :func:`enriched_lines`, perhaps of several assays (column assay), each tested on its own.

    Returns:
        Columns assay, hit (if given), kind, axis, index, tested (layers with the line), enriched (layers), expected, p,
        q (within the assay and axis), conserved (q <= 0.05 and enriched at least twice).
    """
    return _conserved(lines, [*_apart(lines), "kind", "axis", "index"])


def conserved_on_residual(lines: pl.DataFrame, loci: pl.DataFrame) -> pl.DataFrame:
    """Return, for every coordinate of the residual stream with an enriched line, in how many loci, against chance.

    Columns of q, k, v, gate and up read the residual stream, rows of o and down write to it, so that equal
    coordinates are the same features. The null is that of :func:`conserved_across_assays`, with loci for assays.

    Args:
        lines: of :func:`enriched_lines`, perhaps of several assays (column assay), each tested on its own.
        loci: columns layer, kind, rows, cols, site_rows, site_cols. Loci whose residual axis differs in length or in
            tiles from that of most loci are left out.

    Returns:
        Columns assay, hit (if given), index, tested (loci with the line), enriched (loci), kinds (those with an
        enriched line, in words), expected, p, q (within the assay), conserved (q <= 0.05 and enriched at least twice).

    Raises:
        NotHere: when no locus has an axis along the residual stream.
    """
    reading = BASE_KIND.replace_strict(RESIDUAL_AXIS, default=None, return_dtype=pl.String)
    axes = loci.with_columns(axis=reading).filter(pl.col("axis").is_not_null())
    if axes.is_empty():
        raise NotHere(
            f"no locus lies along the residual stream: that needs one of the kinds {', '.join(RESIDUAL_AXIS)}"
        )
    by_row = pl.col("axis") == "row"
    size = pl.struct(
        pl.when(by_row).then("rows").otherwise("cols").alias("elements"),
        pl.when(by_row).then("site_rows").otherwise("site_cols").alias("tiles"),
    )
    axes = axes.with_columns(size=size)
    usual = axes.filter(pl.col("size") == axes["size"].mode(maintain_order=True).first())
    chosen = lines.join(usual.select(*LOCUS_KEY, "axis"), on=[*LOCUS_KEY, "axis"], how="semi")
    keys = [*_apart(lines), "index"]
    hits = in_order(chosen.filter("enriched").select(*keys, "kind").unique())
    kinds = hits.group_by(keys, maintain_order=True).agg(kinds=pl.col("kind").str.join(" "))
    found = _conserved(chosen, keys).join(kinds, on=keys, how="left", maintain_order="left")
    told = pl.col("kinds").fill_null("")
    return found.select(*keys, "tested", "enriched", told, "expected", "p", "q", "conserved")


def sensitive_points(screens: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the sites that are *both* in every assay (METHOD, Statistics: Sensitive points).

    Args:
        screens: records by label, columns layer, kind, row, col, mutation, silent.

    Returns:
        Columns layer, kind, row, col. A site that an assay did not screen is not sensitive.

    Raises:
        MutascopeError: when there is no screen.
    """
    if not screens:
        raise MutascopeError("there is no screen to find sensitive points in: give at least one")
    maps = [site_frame(records).filter(status=Status.BOTH).select(SITE_KEY) for records in screens.values()]
    points = maps[0]
    for other in maps[1:]:
        points = points.join(other, on=SITE_KEY, how="semi", maintain_order="left")
    return points


def _apart(lines: pl.DataFrame) -> list[str]:
    """Columns of the lines whose values are tested apart."""
    return [name for name in ("assay", "hit") if name in lines.columns]


def _conserved(lines: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Test the number of enriched lines under each key against the shares of enriched lines of their loci."""
    locus = [*_apart(lines), *LOCUS_KEY, "axis"]
    trials = lines.with_columns(chance=pl.col("enriched").mean().over(locus))
    found = (
        trials.group_by(list(keys), maintain_order=True)
        .agg(
            tested=pl.len().cast(pl.Int64),
            enriched=pl.col("enriched").sum().cast(pl.Int64),
            expected=pl.col("chance").sum(),
            chances="chance",
        )
        .filter(pl.col("enriched") > 0)
    )
    chances = padded(found["chances"])
    once = np.ones(len(found), dtype=int)
    p = poisson_binomial_tail(found["enriched"].to_numpy(), chances) / poisson_binomial_tail(once, chances)
    tested = found.drop("chances").with_columns(p=pl.Series(np.minimum(p, 1.0), dtype=pl.Float64))
    called = q_values(tested, [name for name in ("assay", "hit", "axis") if name in keys])
    return called.with_columns(conserved=(pl.col("q") <= FDR) & (pl.col("enriched") >= 2))
