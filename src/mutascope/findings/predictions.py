"""Tables of predicted screens: how good the predictions are, and the rates that they give with the exact sample."""

from __future__ import annotations

import polars as pl

from mutascope.analysis.calibration import calibration_scores, cross_fitted, reliability
from mutascope.analysis.combined import MUTANT, combined_rates
from mutascope.analysis.lowrank import factors, low_rank_shares
from mutascope.analysis.lowrank_patterns import low_rank_by_kind, low_rank_patterns
from mutascope.analysis.sites import LOCUS, MAP_MUTATIONS
from mutascope.findings.registry import need, table
from mutascope.findings.screens import Screens, stack
from mutascope.store.reader import Results

PREDICTED = "it takes a predicted screen (mutascope predict)"
SAMPLED = "it takes a predicted screen with an exact sample"


_AXES = (("row", "rows"), ("col", "cols"))
"""Coordinates of a site, and the fields of a design that choose among them."""


def checked(given: Screens, label: str) -> pl.DataFrame:
    """Return the exact calls of a predicted screen with cross-fitted probabilities.

    All exact calls make the calibration. Of an adaptive screen, only those of the random sample are returned: the
    others were run because their predictions are uncertain, and would make the predictions look worse than they are.
    """
    return given.once(f"checked {label}", lambda: _checked(given.results[label]))


def _checked(results: Results) -> pl.DataFrame:
    calls = cross_fitted(results.checked_calls())
    if results.manifest.design.type != "adaptive":
        return calls
    sample = results.sample()
    return (
        calls.clear() if sample is None else calls.join(sample, on=MUTANT, how="semi", maintain_order="left")
    )


def _scored(given: Screens) -> list[str]:
    """Labels of the predicted screens with exact calls to score."""
    need(given.predicted, PREDICTED)
    labels = [label for label in given.predicted if len(checked(given, label))]
    need(labels, SAMPLED)
    return labels


@table(
    "prediction_scores",
    "How well predictions, calibrated on other sites, tell NSMs from silent mutants, with 95 % intervals (bootstrap of"
    " sites).",
)
def prediction_scores(given: Screens) -> pl.DataFrame:
    """Return the scores of every predicted screen, of all mutants and by kind."""
    return stack(
        _scored(given),
        lambda label: pl.concat(
            [calibration_scores(checked(given, label)), calibration_scores(checked(given, label), "kind")],
            how="vertical_relaxed",
        ),
    )


@table(
    "reliability",
    "Predicted probability against the observed share of NSMs, in ten bins; calibrated on other sites.",
    low="lower end of the bin",
    high="upper end of the bin",
)
def reliability_curves(given: Screens) -> pl.DataFrame:
    """Return the reliability curve of every predicted screen."""
    return stack(_scored(given), lambda label: reliability(checked(given, label)))


def _combined(given: Screens, *by: str) -> pl.DataFrame:
    samples = {label: sample_of(given, label) for label in given.predicted}
    sampled = {
        label: _matched(given, label, sample) for label, sample in samples.items() if sample is not None
    }
    need(sampled, SAMPLED)
    alike = {label: pair for label, pair in sampled.items() if all(map(len, pair))}
    need(alike, "no mutant of the exact sample was predicted")
    return stack(alike, lambda label: combined_rates(*alike[label], given.results[label].loci, by))


def _matched(given: Screens, label: str, sample: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return predictions and sample of one population: the region that was sampled, the mutations of both."""
    results = given.results[label]
    predictions = given.once(f"predictions of {label}", results.predictions)
    design = results.manifest.design
    region = [pl.col(axis).is_in(wanted) for axis, name in _AXES if (wanted := getattr(design, name))]
    keys = [*LOCUS, "mutation"]
    return (
        predictions.filter(*region).join(sample.select(keys).unique(), on=keys, how="semi"),
        sample.join(predictions.select(keys).unique(), on=keys, how="semi", maintain_order="left"),
    )


def sample_of(given: Screens, label: str) -> pl.DataFrame | None:
    """Return the exact calls of the random sample of a predicted screen, None where there is none."""
    results = given.results[label]
    return None if results.manifest.design.type == "list" else results.sample()


@table(
    "combined_rates",
    "NSM rate of all loci: predictions corrected by the exact sample (rate, low, high), predictions alone, sample"
    " alone.",
)
def rates_of_all(given: Screens) -> pl.DataFrame:
    """Return the combined rate of every predicted screen."""
    return _combined(given)


@table("combined_rates_by_kind", "The same by kind.")
def rates_by_kind(given: Screens) -> pl.DataFrame:
    """Return the combined rates by kind."""
    return _combined(given, "kind")


@table("combined_rates_by_layer", "The same by layer.")
def rates_by_layer(given: Screens) -> pl.DataFrame:
    """Return the combined rates by layer."""
    return _combined(given, "layer")


@table("combined_rates_by_locus", "The same by locus.")
def rates_by_locus(given: Screens) -> pl.DataFrame:
    """Return the combined rates by locus."""
    return _combined(given, "layer", "kind")


def _complete(given: Screens) -> dict[str, pl.DataFrame]:
    """Predictions of max and min, by the label of the screens that have both."""
    need(given.predicted, PREDICTED)
    found = {
        label: given.once(f"predictions of {label}", given.results[label].predictions)
        for label in given.predicted
    }
    both = {
        label: predictions
        for label, predictions in found.items()
        if set(MAP_MUTATIONS) <= set(predictions["mutation"].unique())
    }
    need(both, "it takes predictions of max and min")
    return both


@table(
    "low_rank",
    "How far predicted maps are one row factor times one column factor, with opposite signs for max and min.",
)
def low_rank(given: Screens) -> pl.DataFrame:
    """Return the shares that low-rank matrices explain, by locus."""
    predictions = _complete(given)
    return stack(predictions, lambda label: low_rank_shares(predictions[label]))


@table("low_rank_factors", "The row and the column factors of every predicted locus.")
def low_rank_factors(given: Screens) -> pl.DataFrame:
    """Return the factors, a row per line."""
    predictions = _complete(given)
    return stack(predictions, lambda label: factors(predictions[label]))


@table(
    "low_rank_patterns",
    "How much of enriched lines, bias and COPA of a map its low-rank form predicts, for forms of rank 1 and 3.",
    rank="of the low-rank form",
    agreement="share of the calls of max and min that the form gets right",
    bias="max NSMs less min NSMs, as a share of the sites",
)
def patterns_of_low_rank(given: Screens) -> pl.DataFrame:
    """Return the comparison of every predicted map with its low-rank forms."""
    predictions = _complete(given)
    return stack(
        predictions,
        lambda label: pl.concat(
            [low_rank_patterns(predictions[label], given.maps[label], rank) for rank in (1, 3)],
            how="vertical_relaxed",
        ),
    )


@table(
    "low_rank_by_kind",
    "What low-rank forms of predicted maps explain: medians over the loci of a kind, and of bias over the loci.",
    rank="of the low-rank form",
    agreement="share of the calls of max and min that the form gets right",
)
def low_rank_of_kinds(given: Screens) -> pl.DataFrame:
    """Return the medians of :func:`low_rank` and :func:`patterns_of_low_rank`."""
    shares, patterns = low_rank(given), patterns_of_low_rank(given)
    return stack(
        _complete(given),
        lambda label: low_rank_by_kind(
            shares.filter(assay=label).drop("assay"), patterns.filter(assay=label).drop("assay")
        ),
    )
