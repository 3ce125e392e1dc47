"""Predicted screens: how good the predictions are, and the rates that they give with the exact sample."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from mutascope import figures
from mutascope.analysis.calibration import calibration_scores, cross_fitted, reliability, weighed
from mutascope.analysis.combined import combined_rates
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.findings.blocks import Block, Figures, Points, Prose, Rows
from mutascope.findings.columns import RATES, columns, share
from mutascope.findings.finding import Drawing, Pictures, Section, finding, need
from mutascope.findings.screens import ScreenSet, stack
from mutascope.store.reader import ScreenData

PREDICTED = "it takes a predicted screen (mutascope predict)"
SAMPLED = "it takes a predicted screen with an exact sample"
_AXES = (("row", "rows"), ("col", "cols"))
"""Coordinates of a site, and the fields of a design that choose among them."""


def _checked(given: ScreenSet, label: str) -> pl.DataFrame:
    """The exact calls of a predicted screen with cross-fitted probabilities.

    All exact calls make the calibration. Of an adaptive screen, only those of the random sample are returned: the
    others were run because their predictions are uncertain, and would make the predictions look worse than they are.
    """
    return given.once(f"checked {label}", lambda: _cross_fitted(given.results[label]))


def _cross_fitted(results: ScreenData) -> pl.DataFrame:
    calls = weighed(cross_fitted(results.checked_calls()), results.loci)
    if results.manifest.design.type != "adaptive":
        return calls
    sample = results.sample()
    if sample is None:
        return calls.clear()
    drawn = calls.join(sample, on=MUTANT_KEY, how="semi", maintain_order="left")
    return weighed(drawn.drop("weight"), results.loci)


def _scored(given: ScreenSet) -> list[str]:
    """Labels of the predicted screens with exact calls to score."""
    need(given.predicted, PREDICTED)
    labels = [label for label in given.predicted if len(_checked(given, label))]
    need(labels, SAMPLED)
    return labels


def _combined(given: ScreenSet, *by: str) -> pl.DataFrame:
    samples = {label: sample_of(given, label) for label in given.predicted}
    sampled = {
        label: _matched(given, label, sample) for label, sample in samples.items() if sample is not None
    }
    need(sampled, SAMPLED)
    alike = {label: pair for label, pair in sampled.items() if all(map(len, pair))}
    need(alike, "no mutant of the exact sample was predicted")
    return stack(alike, lambda label: combined_rates(*alike[label], given.results[label].loci, by))


def _matched(given: ScreenSet, label: str, sample: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return predictions and sample of one population: the region that was sampled, the mutations of both."""
    predictions = given.predictions(label)
    design = given.results[label].manifest.design
    region = [pl.col(axis).is_in(wanted) for axis, name in _AXES if (wanted := getattr(design, name))]
    keys = [*LOCUS_KEY, "mutation"]
    return (
        predictions.filter(*region).join(sample.select(keys).unique(), on=keys, how="semi"),
        sample.join(predictions.select(keys).unique(), on=keys, how="semi", maintain_order="left"),
    )


def sample_of(given: ScreenSet, label: str) -> pl.DataFrame | None:
    """Return the exact calls of the random sample of a predicted screen, None where there is none."""
    results = given.results[label]
    return None if results.manifest.design.type == "list" else results.sample()


def calls_in_words(given: ScreenSet, label: str) -> str:
    """Return in words how many of the calls that rates and maps are made of are exact, and how many predicted."""
    calls = given.mapped[label]
    exact = int((calls["source"] == "exact").sum())
    return f"{exact:,} calls exact, {len(calls) - exact:,} predicted"


def _reliability(given: ScreenSet, palette: figures.Palette) -> Pictures:
    yield "", figures.reliability_figure(reliability_curves(given), palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    need(given.predicted, PREDICTED)
    yield Prose(
        "Of these screens, only a part was run; the other calls are predicted from gradients, and a predicted mutant is"
        " called an NSM from a probability of 0.5 on. Scores are those of exact calls of sites that the calibration did"
        " not see. Combined rates are the mean prediction, corrected by the exact sample."
    )
    yield Points([f"{label}: {calls_in_words(given, label)}." for label in given.predicted])
    yield Rows(
        "prediction_scores",
        "Scores of the predictions",
        "assay group mutants nsm auc accuracy recall precision brier ece",
        rows=24,
    )
    yield Figures("reliability", "Predicted probability of an NSM against the share that is one.")
    yield Rows(
        "reliability",
        "Reliability",
        "assay low high mutants predicted observed observed_low observed_high",
        rows=20,
    )
    for name, title in (
        ("combined_rates", "NSM rates of all loci, from predictions and sample"),
        ("combined_rates_by_kind", "The same by kind"),
    ):
        shown = "assay kind loci sites rate low high predicted sample_rate sample_low sample_high"
        yield Rows(name, title, shown, rows=35)


_SCORES = columns(
    **{
        f"{name}{part}": f"{meaning}{end}"
        for name, meaning in {
            "auc": "chance that the prediction puts an NSM above a silent mutant",
            "accuracy": "share of right calls",
            "recall": "share of the NSMs that are called NSM",
            "precision": "share of the mutants called NSM that are",
            "brier": "mean squared difference of probability and outcome",
            "ece": "mean difference of predicted and observed share, over bins",
        }.items()
        for part, end in (
            ("", ""),
            ("_low", ": lower end of the interval"),
            ("_high", ": upper end of the interval"),
        )
    }
)

_RATES = {
    **RATES,
    **columns(
        predicted=share("mean predicted probability of an NSM"),
        sample_rate=share("rate that the exact sample gives alone"),
        sample_low=share("lower end of its interval"),
        sample_high=share("upper end of its interval"),
    ),
}


@finding("prediction_scores", _SCORES, section=Section("predictions", "Predictions", _blocks))
def prediction_scores(given: ScreenSet) -> pl.DataFrame:
    """How well predictions, calibrated on other sites, tell NSMs from silent mutants, every locus weighted by its
    sites, with 95 % intervals (bootstrap of sites within loci).
    """
    return stack(
        _scored(given),
        lambda label: pl.concat(
            [calibration_scores(_checked(given, label)), calibration_scores(_checked(given, label), "kind")],
            how="vertical_relaxed",
        ),
    )


@finding(
    "reliability",
    columns(
        low="lower end of the bin",
        high="upper end of the bin",
        predicted="mean predicted probability of an NSM",
        observed="share of NSMs among the exact calls",
        observed_low="lower end of its Wilson interval",
        observed_high="upper end of its Wilson interval",
    ),
    figure=Drawing("reliability", "predicted probabilities against exact calls", _reliability),
)
def reliability_curves(given: ScreenSet) -> pl.DataFrame:
    """Predicted probability against the observed share of NSMs, in ten bins; calibrated on other sites."""
    return stack(_scored(given), lambda label: reliability(_checked(given, label)))


@finding("combined_rates", _RATES)
def rates_of_all(given: ScreenSet) -> pl.DataFrame:
    """NSM rate of all loci: predictions corrected by the exact sample (rate, low, high), predictions alone, sample
    alone.
    """
    return _combined(given)


@finding("combined_rates_by_kind", _RATES)
def rates_by_kind(given: ScreenSet) -> pl.DataFrame:
    """The same by kind."""
    return _combined(given, "kind")


@finding("combined_rates_by_layer", _RATES)
def rates_by_layer(given: ScreenSet) -> pl.DataFrame:
    """The same by layer."""
    return _combined(given, "layer")


@finding("combined_rates_by_locus", _RATES)
def rates_by_locus(given: ScreenSet) -> pl.DataFrame:
    """The same by locus."""
    return _combined(given, "layer", "kind")
