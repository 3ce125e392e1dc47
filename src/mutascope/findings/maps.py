"""Tables of the maps: counts, zero mutations, overlap, correlation of layers, bias."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mutascope.analysis.bias import bias_agreement, bias_shares, locus_bias
from mutascope.analysis.counts import count_nsms, count_statuses, silent_loci, zero_tables
from mutascope.analysis.overlap import layer_correlations, layer_counts, overlap_matrix
from mutascope.analysis.rates import locus_rates, pooled_rates
from mutascope.analysis.sites import LOCUS, by_assay, in_order
from mutascope.findings.registry import need, table, wide_table
from mutascope.findings.screens import Screens, stack

TWO = "it takes two screens or more"


def need_pairs(given: Screens) -> None:
    """Raise NotHere when no two screens can be compared site by site."""
    need(len(given.maps) > 1, TWO)
    need(given.pairs, "; ".join(given.notes))


def same_layers(given: Screens) -> list[str]:
    """Return the labels of the maps that have an NSM count in the same layers as the first one.

    Raises:
        NotHere: when there is no other.
    """
    layers = {label: set(records["layer"]) for label, records in given.mapped.items()}
    first, *others = layers
    alike = [first, *(label for label in others if layers[label] == layers[first])]
    need(len(alike) > 1, f"no other screen has the layers of {first}")
    return alike


def _pair_frame(given: Screens) -> pl.DataFrame:
    return pl.DataFrame(given.pairs, schema={"assay_a": pl.String, "assay_b": pl.String}, orient="row")


@table("screens", "The screens that were analysed: one row each.")
def screens(given: Screens) -> pl.DataFrame:
    """Return what was screened and how."""
    rows = []
    for label, results in given.results.items():
        manifest = results.manifest
        rows.append(
            {
                "assay": label,
                "folder": results.folder.path,
                "model": manifest.model.name,
                "fingerprint": manifest.model.fingerprint,
                "tile": manifest.tile,
                "design": manifest.design.type,
                "mutations": " ".join(manifest.design.mutations),
                "engine": manifest.engine,
                "stored": len(given.records[label]),
                "planned": results.total,
                "finished": results.finished,
                "wild_type": "\n".join(output.text for output in manifest.wild_type),
            }
        )
    return pl.DataFrame(rows)


def _counted(given: Screens, by: Sequence[str], whole: bool = False) -> pl.DataFrame:
    """Counts with rates and intervals; of all mutations if ``whole``, else of max and min."""
    chosen = given.maps if whole else given.mapped

    def of(label: str) -> pl.DataFrame:
        by_mutation = "mutation" in by
        strata = given.once(
            f"locus_rates of {label}, whole {whole}, by mutation {by_mutation}",
            lambda: locus_rates(chosen[label], given.loci[label], by_mutation=by_mutation),
        )
        counts = count_nsms(chosen[label], by, strata)
        rates = pooled_rates(strata, by).select(*by, pl.col("rate", "low", "high").cast(pl.Float64))
        if not by:
            return pl.concat([counts, rates], how="horizontal")
        return counts.join(rates, on=list(by), how="left", maintain_order="left")

    return stack(chosen, of)


_OF_MAPS = "Of max and min mutants (of all where a screen has neither)."


@table("nsm_total", f"NSMs, rate and distinct phenotypes of every screen. {_OF_MAPS}")
def nsm_total(given: Screens) -> pl.DataFrame:
    """Return counts and rates of whole screens."""
    return _counted(given, [])


@table("nsm_by_mutation", "NSMs, rate and distinct phenotypes by mutation.")
def nsm_by_mutation(given: Screens) -> pl.DataFrame:
    """Return counts and rates by mutation."""
    return _counted(given, ["mutation"], whole=True)


@table("nsm_by_kind", f"NSMs, rate and distinct phenotypes by kind of matrix. {_OF_MAPS}")
def nsm_by_kind(given: Screens) -> pl.DataFrame:
    """Return counts and rates by kind."""
    return _counted(given, ["kind"])


@table("nsm_by_kind_and_mutation", "NSMs, rate and distinct phenotypes by kind of matrix and mutation.")
def nsm_by_kind_and_mutation(given: Screens) -> pl.DataFrame:
    """Return counts and rates by kind and mutation."""
    return _counted(given, ["kind", "mutation"], whole=True)


@table("nsm_by_layer", f"NSMs, rate and distinct phenotypes by layer. {_OF_MAPS}")
def nsm_by_layer(given: Screens) -> pl.DataFrame:
    """Return counts and rates by layer."""
    return _counted(given, ["layer"])


@table("nsm_by_locus", f"NSMs, rate and distinct phenotypes by locus. {_OF_MAPS}")
def nsm_by_locus(given: Screens) -> pl.DataFrame:
    """Return counts and rates by locus."""
    return _counted(given, LOCUS)


@table("nsm_by_locus_and_mutation", "NSMs, rate and distinct phenotypes by locus and mutation.")
def nsm_by_locus_and_mutation(given: Screens) -> pl.DataFrame:
    """Return counts and rates by locus and mutation."""
    return _counted(given, [*LOCUS, "mutation"], whole=True)


@table("statuses_by_locus", "Sites of each status by locus.")
def statuses_by_locus(given: Screens) -> pl.DataFrame:
    """Return the numbers of sites that are silent, max only, min only and both."""
    return by_assay(given.maps, lambda records: count_statuses(records, LOCUS))


@table("silent_loci", "Loci in which no mutant of any mutation is an NSM.")
def loci_that_are_silent(given: Screens) -> pl.DataFrame:
    """Return the silent loci of every screen."""
    return by_assay(given.maps, silent_loci)


@table("zero_against_others", "Whether zero NSMs fall on the sites of max and min NSMs, by kind.")
def zero_against_others(given: Screens) -> pl.DataFrame:
    """Return 2 x 2 tables of zero NSMs against those of the other mutations."""
    found = by_assay(given.maps, lambda records: zero_tables(records, ["kind"]))
    need(len(found), "it takes a screen with the mutation zero and max or min at the same sites")
    return found


def _wide(given: Screens, value: str) -> pl.DataFrame:
    wide = nsm_by_locus(given).select("assay", *LOCUS, value).pivot("assay", index=list(LOCUS), values=value)
    return in_order(wide)


_PER_ASSAY = "in the assay of this name; null where it did not screen the locus"


@wide_table(
    "supplementary_1_nsms",
    f"NSMs of every locus, an assay per column; counterpart of the paper's Supplementary Table 1. {_OF_MAPS}",
    f"NSMs of the locus {_PER_ASSAY}",
)
def supplementary_nsms(given: Screens) -> pl.DataFrame:
    """Return NSM counts, loci by assays."""
    return _wide(given, "nsm")


@wide_table(
    "supplementary_1_phenotypes",
    "Distinct phenotypes of every locus, an assay per column; counterpart of the paper's Supplementary Table 1."
    f" {_OF_MAPS}",
    f"distinct phenotypes of the NSMs of the locus {_PER_ASSAY}",
)
def supplementary_phenotypes(given: Screens) -> pl.DataFrame:
    """Return numbers of distinct phenotypes, loci by assays."""
    return _wide(given, "phenotypes")


@table("overlap", "Overlap of the maps of every pair of screens, against chance (METHOD, Overlap).")
def overlap(given: Screens) -> pl.DataFrame:
    """Return the overlap matrix in long form."""
    need_pairs(given)
    return overlap_matrix(given.maps, given.loci, pairs=given.pairs)


@table("overlap_by_kind", "Overlap of the maps of every pair of screens by kind, against chance.")
def overlap_by_kind(given: Screens) -> pl.DataFrame:
    """Return the overlap of every pair of screens in every kind."""
    need_pairs(given)
    return overlap_matrix(given.maps, given.loci, ["kind"], pairs=given.pairs)


@table(
    "layer_counts",
    "max and min NSMs of every layer, scaled up to all sites of the region where sites were sampled.",
    nsm="max and min NSMs of the layer; an estimate in a sample",
)
def nsms_of_layers(given: Screens) -> pl.DataFrame:
    """Return the NSMs by layer that the layer correlation is made from."""
    return stack(given.maps, lambda label: layer_counts(given.maps[label], given.loci[label]))


@table("layer_correlations", "Correlation of the NSM counts per layer of every pair of screens.")
def correlations_of_layers(given: Screens) -> pl.DataFrame:
    """Return Pearson's r and its square, for the screens that have the layers of the first."""
    need(len(given.maps) > 1, TWO)
    return layer_correlations(nsms_of_layers(given).filter(pl.col("assay").is_in(same_layers(given))))


@table("bias_by_locus", "Bias of every locus towards max or min (METHOD, Bias).")
def bias_by_locus(given: Screens) -> pl.DataFrame:
    """Return score and lean of every locus."""
    return by_assay(given.maps, locus_bias)


@table("bias_shares", "How many loci of each kind are biased, and which way.")
def shares_of_bias(given: Screens) -> pl.DataFrame:
    """Return shares of biased loci."""
    return bias_shares(bias_by_locus(given), ["assay", "kind"])


@table("bias_agreement", "Whether the biases of loci agree between every pair of screens.")
def agreement_of_bias(given: Screens) -> pl.DataFrame:
    """Return same leans and Cohen's kappa."""
    need_pairs(given)
    found = bias_agreement(given.maps)
    return found.join(_pair_frame(given), on=["assay_a", "assay_b"], how="semi", maintain_order="left")
