"""How many mutants are NSMs: by mutation, kind, layer and locus; zero against the others; silent loci."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from mutascope import figures
from mutascope.analysis.counts import count_nsms, silent_loci, zero_tables
from mutascope.analysis.rates import locus_rates, pooled_rates
from mutascope.analysis.sites import by_assay, in_order
from mutascope.core.errors import NotHere
from mutascope.core.schema import LOCUS_KEY
from mutascope.core.words import counted
from mutascope.findings.blocks import Block, Figures, Rows
from mutascope.findings.columns import columns, share
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.predictions import calls_in_words
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.words import per_cent

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette


def _counted(given: ScreenSet, by: Sequence[str]) -> pl.DataFrame:
    """Counts of all mutations; rates and intervals of max and min, or by mutation where ``by`` has it."""
    by_mutation = "mutation" in by

    def of(label: str) -> pl.DataFrame:
        counts = count_nsms(given.maps[label], by, _strata(given, label, by_mutation=by_mutation))
        rates = pooled_rates(_strata(given, label, by_mutation=by_mutation, mapped=not by_mutation), by)
        rates = rates.select(*by, pl.col("rate", "low", "high").cast(pl.Float64))
        if not by:
            return pl.concat([counts, rates], how="horizontal")
        return counts.join(rates, on=list(by), how="left", maintain_order="left")

    return stack(given.maps, of)


def _strata(given: ScreenSet, label: str, *, by_mutation: bool, mapped: bool = False) -> pl.DataFrame:
    """Counts and rates of every locus, once: of all mutations, or of those of the map."""
    return given.once(
        f"locus_rates of {label}, by mutation {by_mutation}, of the map {mapped}",
        lambda: locus_rates(
            given.mapped(label) if mapped else given.maps[label], given.loci[label], by_mutation=by_mutation
        ),
    )


@once
def nsm_total(given: ScreenSet) -> pl.DataFrame:
    """Return counts and rates of whole screens."""
    return _counted(given, [])


@once
def nsm_by_mutation(given: ScreenSet) -> pl.DataFrame:
    """Return counts and rates by mutation."""
    return _counted(given, ["mutation"])


@once
def nsm_by_kind(given: ScreenSet) -> pl.DataFrame:
    """Return counts and rates by kind."""
    return _counted(given, ["kind"])


@once
def nsm_by_kind_and_mutation(given: ScreenSet) -> pl.DataFrame:
    """Return counts and rates by kind and mutation."""
    return _counted(given, ["kind", "mutation"])


@once
def nsm_by_layer(given: ScreenSet) -> pl.DataFrame:
    """Return counts and rates by layer."""
    return _counted(given, ["layer"])


@once
def nsm_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Return counts and rates by locus."""
    return _counted(given, LOCUS_KEY)


@once
def nsm_by_locus_and_mutation(given: ScreenSet) -> pl.DataFrame:
    """Return counts and rates by locus and mutation."""
    return _counted(given, [*LOCUS_KEY, "mutation"])


@once
def loci_that_are_silent(given: ScreenSet) -> pl.DataFrame:
    """Return the silent loci of every screen."""
    return by_assay(given.maps, silent_loci)


@once
def zero_against_others(given: ScreenSet) -> pl.DataFrame:
    """Return 2 x 2 tables of zero NSMs against those of the other mutations."""
    found = by_assay(given.maps, lambda records: zero_tables(records, ["kind"]))
    need(len(found), "it takes a screen with the mutation zero and max or min at the same sites")
    return found


@once
def supplementary_nsms(given: ScreenSet) -> pl.DataFrame:
    """Return NSM counts, loci by assays."""
    return _wide(given, "nsm")


@once
def supplementary_phenotypes(given: ScreenSet) -> pl.DataFrame:
    """Return numbers of distinct phenotypes, loci by assays."""
    return _wide(given, "phenotypes")


def _wide(given: ScreenSet, value: str) -> pl.DataFrame:
    """Loci of every model by the assays; those of several models stand in one column where they are counterparts."""
    counts = nsm_by_locus(given).select(
        pl.col("assay").replace_strict(given.model_names).alias("model"),
        *LOCUS_KEY,
        given.alike("assay"),
        value,
    )
    wide = counts.pivot("assay", index=["model", *LOCUS_KEY], values=value)
    return pl.concat(in_order(part) for part in wide.partition_by("model", maintain_order=True))


def _mutations(given: ScreenSet, palette: Palette) -> Pictures:
    yield "", figures.mutations_figure(_of_models(given, nsm_by_mutation(given)), palette)


def _kinds(given: ScreenSet, palette: Palette) -> Pictures:
    yield "", figures.kinds_figure(_of_models(given, nsm_by_kind(given)), palette)


def _of_models(given: ScreenSet, counts: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows of every model, by its name, with assays that are called alike in all of them."""
    return {
        model: counts.filter(pl.col("assay").is_in(labels)).with_columns(given.alike("assay"))
        for model, labels in given.by_model(given.maps).items()
    }


def _layers(given: ScreenSet, palette: Palette) -> Pictures:
    alike: dict[str, list[str]] = {}
    for label in given.maps:
        alike.setdefault(given.counterparts[label], []).append(label)
    counts = nsm_by_locus(given)
    phenotypes = pl.when(~pl.col("assay").is_in(given.predicted)).then("phenotypes")
    for name, labels in alike.items():
        title = f"NSMs and distinct phenotypes by layer, {name}"
        if set(labels) <= set(given.predicted):
            title = (
                f"NSMs by layer, {name}; phenotypes, known of the mutants that were run alone, are left out"
            )
        parts = {
            given.model_names[label]: counts.filter(assay=label).with_columns(phenotypes) for label in labels
        }
        yield name, figures.layers_figure(parts, title=title, palette=palette)


_COUNTS = "assay mutation kind loci sites mutants nsm rate low high phenotypes"


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield rates with intervals, as figures and tables."""
    nsm_total(given)
    yield Figures(
        "nsm_by_mutation", "NSM rates by screen and mutation, with 95 % intervals where sites were sampled."
    )
    yield Rows("nsm_by_mutation", "By mutation", _COUNTS)
    yield Figures("nsm_by_kind", "NSM rates by kind of matrix.")
    yield Rows("nsm_by_kind", "By kind", _COUNTS, rows=35)
    yield Figures("layers", "NSMs and distinct phenotypes by layer.")
    yield Rows(
        "zero_against_others",
        "Zero mutations at the sites of the others",
        "assay kind against sites both zero_only other_only share other_rate",
        rows=24,
    )
    yield Rows(
        "silent_loci",
        "Loci without an NSM",
        "assay layer kind sites mutants",
        empty="every locus has an NSM",
    )


def headline(given: ScreenSet) -> list[str]:
    """Return how many mutants of every screen are NSMs, a sentence each."""
    try:
        rows = nsm_total(given).iter_rows(named=True)
    except NotHere:
        return [counted(len(given.labels), "screen")]
    return [
        f"{row['assay']}: {row['nsm']:,} of {row['mutants']:,} mutants are NSMs"
        f" (rate{_rated(given, row['assay'])} {per_cent(row['rate'])}, {_basis(given, row)})"
        for row in rows
    ]


def _rated(given: ScreenSet, label: str) -> str:
    """Of which mutations the rate is, where it is not of all that count."""
    return "" if len(given.mapped(label)) == len(given.maps[label]) else " of max and min"


def _basis(given: ScreenSet, row: dict[str, Any]) -> str:
    """What a rate rests on: exact and predicted calls, or an interval."""
    if row["assay"] in given.predicted:
        return calls_in_words(given, row["assay"])
    if row["low"] is None:
        return "no random sample: no interval"
    if row["low"] == row["high"]:
        return "every site that was planned was screened"
    return f"95 %: {100 * row['low']:.1f} to {100 * row['high']:.1f}"


def _sentences(given: ScreenSet) -> Iterator[str]:
    for row in nsm_total(given).iter_rows(named=True):
        lie = f"lie in {row['loci'] - row['silent_loci']:,} of {counted(row['loci'], 'locus', 'loci')}"
        said = f"have {counted(row['phenotypes'], 'distinct output')}"
        predicted = row["assay"] in given.predicted
        told = f"{lie}; those that were run {said}" if predicted else f"{said} and {lie}"
        yield f"The NSMs of {row['assay']} {told}."


_OF_MAPS = (
    "Counts are of all mutations, as in the paper; rates of max and min (of all where a screen has neither)."
)
_PER_ASSAY = (
    "in the screen, or with several models the assay, of this name; null where it did not screen the locus"
)
_INTERVAL = "of the 95 % interval; null where no probability sample was drawn"
_RATES = columns(
    silent_loci="loci without an NSM in the group",
    rate=share("share of NSMs, each locus weighted by its sites where sites were sampled"),
    low=share(f"lower end {_INTERVAL}"),
    high=share(f"upper end {_INTERVAL}"),
)

FINDINGS = (
    Finding(
        "nsm_total",
        f"NSMs, rate and distinct phenotypes of every screen. {_OF_MAPS}",
        nsm_total,
        _RATES,
        section=Section("rates", "Non-silent mutations", _blocks, _sentences),
    ),
    Finding(
        "nsm_by_mutation",
        "NSMs, rate and distinct phenotypes by mutation.",
        nsm_by_mutation,
        _RATES,
        Drawing("nsm_by_mutation", "NSM rates by assay and mutation (paper: Figure 1a)", _mutations),
    ),
    Finding(
        "nsm_by_kind",
        f"NSMs, rate and distinct phenotypes by kind of matrix. {_OF_MAPS}",
        nsm_by_kind,
        _RATES,
        Drawing("nsm_by_kind", "NSM rates by kind (1d)", _kinds),
    ),
    Finding(
        "nsm_by_kind_and_mutation",
        "NSMs, rate and distinct phenotypes by kind of matrix and mutation.",
        nsm_by_kind_and_mutation,
        _RATES,
    ),
    Finding(
        "nsm_by_layer",
        f"NSMs, rate and distinct phenotypes by layer. {_OF_MAPS}",
        nsm_by_layer,
        _RATES,
    ),
    Finding(
        "nsm_by_locus",
        f"NSMs, rate and distinct phenotypes by locus. {_OF_MAPS}",
        nsm_by_locus,
        _RATES,
        Drawing("layers", "NSMs and distinct phenotypes by layer and kind (1e)", _layers),
    ),
    Finding(
        "nsm_by_locus_and_mutation",
        "NSMs, rate and distinct phenotypes by locus and mutation.",
        nsm_by_locus_and_mutation,
        _RATES,
    ),
    Finding(
        "silent_loci", "Loci in which no mutant of any mutation is an NSM.", loci_that_are_silent, _RATES
    ),
    Finding(
        "zero_against_others",
        "Whether zero NSMs fall on the sites of max and min NSMs, by kind.",
        zero_against_others,
        columns(
            against="mutation that zero is compared with; either: at least one of max and min",
            zero_only="sites where zero alone is an NSM",
            other_only="sites where the other mutation alone is an NSM",
            neither="sites where none is an NSM",
            other_rate=share("share of the sites where the other mutation is an NSM"),
        ),
    ),
    Finding(
        "supplementary_1_nsms",
        "NSMs of every locus, all mutations together, an assay per column; counterpart of the paper's Supplementary"
        " Table 1.",
        supplementary_nsms,
        columns(**{"*": f"NSMs of the locus {_PER_ASSAY}"}),
    ),
    Finding(
        "supplementary_1_phenotypes",
        "Distinct phenotypes of every locus, all mutations together, an assay per column; counterpart of the paper's"
        " Supplementary Table 1.",
        supplementary_phenotypes,
        columns(**{"*": f"distinct phenotypes of the NSMs of the locus {_PER_ASSAY}"}),
    ),
)
