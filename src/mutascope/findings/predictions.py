"""Predicted screens: how good the predictions are, and the rates that they give with the exact sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.calibration import calibration_scores, cross_fitted, reliability, weighed
from mutascope.analysis.combined import cross_fitted_differences, rates_of
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.findings.blocks import Block, Figures, Points, Prose, Rows
from mutascope.findings.columns import columns, share
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.store.reader import ScreenData

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

PREDICTED = "it takes a predicted screen (mutascope predict)"
SAMPLED = "it takes a predicted screen with an exact sample"

_AXES = (("row", "rows"), ("col", "cols"))
"""Coordinates of a site, and the fields of a design that choose among them."""


def checked(given: ScreenSet, label: str) -> pl.DataFrame:
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


def scored(given: ScreenSet) -> list[str]:
    """Labels of the predicted screens with exact calls to score."""
    need(given.predicted, PREDICTED)
    labels = [label for label in given.predicted if len(checked(given, label))]
    need(labels, SAMPLED)
    return labels


@once
def prediction_scores(given: ScreenSet) -> pl.DataFrame:
    """Return the scores of every predicted screen, of all mutants and by kind, with and without zero."""
    return stack(scored(given), lambda label: with_and_without_zero(_scores, checked(given, label)))


def _scores(calls: pl.DataFrame) -> pl.DataFrame:
    parts = (calibration_scores(calls, by) for by in (None, "kind"))
    return pl.concat(parts, how="vertical_relaxed")


def with_and_without_zero(table: Callable[..., pl.DataFrame], *calls: pl.DataFrame) -> pl.DataFrame:
    """Return a table of all calls, then one of all but those of zero, where there are both.

    A mutant of zero is mostly silent and its call easy: with it, predictions look better.

    Args:
        table: of frames like ``calls``.
        calls: frames with the column mutation, of the same mutations all.

    Returns:
        The column mutations (names of these), then those of the table.
    """
    others = [part.filter(pl.col("mutation") != "zero") for part in calls]
    both = 0 < len(others[0]) < len(calls[0])
    frames = []
    for parts in (calls, others) if both else (calls,):
        told = ", ".join(parts[0]["mutation"].unique().sort())
        frames.append(table(*parts).select(pl.lit(told).alias("mutations"), pl.all()))
    return pl.concat(frames, how="vertical_relaxed")


def without_zero(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of every screen that are without zero, all where it has no others."""
    return table.filter(pl.col("mutations") == pl.col("mutations").last().over("assay"))


@once
def reliability_curves(given: ScreenSet) -> pl.DataFrame:
    """Return the reliability curve of every predicted screen, with and without zero."""
    return stack(scored(given), lambda label: with_and_without_zero(reliability, checked(given, label)))


def _combined(given: ScreenSet, *by: str) -> pl.DataFrame:
    fitted = given.once("combined", lambda: _fitted(given))

    def rates(label: str) -> pl.DataFrame:
        of = partial(rates_of, loci=given.results[label].loci, by=by)
        return with_and_without_zero(of, *fitted[label])

    return stack(fitted, rates)


def _fitted(given: ScreenSet) -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    """Return all predictions of every screen with a sample, and what exact calls differ from them by."""
    samples = {label: sample_of(given, label) for label in given.predicted}
    sampled = {
        label: _matched(given, label, sample) for label, sample in samples.items() if sample is not None
    }
    need(sampled, SAMPLED)
    alike = {label: pair for label, pair in sampled.items() if all(map(len, pair))}
    need(alike, "no mutant of the exact sample was predicted")
    return {label: cross_fitted_differences(*pair) for label, pair in alike.items()}


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


@once
def rates_of_all(given: ScreenSet) -> pl.DataFrame:
    """Return the combined rate of every predicted screen, with and without zero."""
    return _combined(given)


@once
def rates_by_kind(given: ScreenSet) -> pl.DataFrame:
    """Return the combined rates by kind."""
    return _combined(given, "kind")


@once
def rates_by_layer(given: ScreenSet) -> pl.DataFrame:
    """Return the combined rates by layer."""
    return _combined(given, "layer")


@once
def rates_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Return the combined rates by locus."""
    return _combined(given, "layer", "kind")


def calls_in_words(given: ScreenSet, label: str) -> str:
    """Return in words how many of the calls that rates and maps are made of are exact, and how many predicted."""
    calls = given.mapped(label)
    exact = int((calls["source"] == "exact").sum())
    return f"{exact:,} calls exact, {len(calls) - exact:,} predicted"


def _reliability(given: ScreenSet, palette: Palette) -> Pictures:
    yield "", figures.reliability_figure(without_zero(reliability_curves(given)), palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield how many calls are predicted, the scores and reliability of these, and combined rates."""
    need(given.predicted, PREDICTED)
    yield Prose(
        "Of these screens, only a part was run; the other calls are predicted from gradients, and a predicted mutant is"
        " called an NSM from a probability of 0.5 on. Scores are those of exact calls of sites that the calibration did"
        " not see. Combined rates are the mean prediction, corrected by the exact sample. All is given with and without"
        " zero, whose mutants are mostly silent and easy to call; figures are without."
    )
    yield Points([f"{label}: {calls_in_words(given, label)}." for label in given.predicted])
    yield Rows(
        "prediction_scores",
        "Scores of the predictions",
        "assay mutations group mutants nsm auc accuracy recall precision brier ece silence_r2",
        rows=24,
    )
    yield Figures("reliability", "Predicted probability of an NSM against the share that is one.")
    yield Rows(
        "reliability",
        "Reliability",
        "assay mutations low high mutants predicted observed observed_low observed_high",
        rows=20,
    )
    for name, title in (
        ("combined_rates", "NSM rates of all loci, from predictions and sample"),
        ("combined_rates_by_kind", "The same by kind"),
    ):
        shown = "assay mutations kind loci sites rate low high predicted sample_rate sample_low sample_high"
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
MUTATIONS = columns(mutations="that are meant: all, then all but zero, whose mutants are easy to call")
_SCORES |= MUTATIONS | columns(
    silence_r2="r squared of the predicted chance of silence, where it was measured (--measure); null elsewhere",
)
_INTERVAL = "of the 95 % interval; null where no probability sample was drawn"
_RATES = MUTATIONS | columns(
    rate=share("share of NSMs, each locus weighted by its sites where sites were sampled"),
    low=share(f"lower end {_INTERVAL}"),
    high=share(f"upper end {_INTERVAL}"),
    predicted=share("mean predicted probability of an NSM"),
    sample_rate=share("rate that the exact sample gives alone"),
    sample_low=share("lower end of its interval"),
    sample_high=share("upper end of its interval"),
)

FINDINGS = (
    Finding(
        "prediction_scores",
        "How well predictions, calibrated on other sites, tell NSMs from silent mutants, every locus weighted by its"
        " sites, with 95 % intervals (bootstrap of sites within loci).",
        prediction_scores,
        _SCORES,
        section=Section("predictions", "Predictions", _blocks),
    ),
    Finding(
        "reliability",
        "Predicted probability against the observed share of NSMs, in ten bins; calibrated on other sites.",
        reliability_curves,
        MUTATIONS
        | columns(
            low="lower end of the bin",
            high="upper end of the bin",
            predicted="mean predicted probability of an NSM",
            observed="share of NSMs among the exact calls",
            observed_low="lower end of its Wilson interval",
            observed_high="upper end of its Wilson interval",
        ),
        Drawing("reliability", "predicted probabilities against exact calls", _reliability),
    ),
    Finding(
        "combined_rates",
        "NSM rate of all loci: predictions corrected by the exact sample (rate, low, high), predictions alone, sample"
        " alone.",
        rates_of_all,
        _RATES,
    ),
    Finding("combined_rates_by_kind", "The same by kind.", rates_by_kind, _RATES),
    Finding("combined_rates_by_layer", "The same by layer.", rates_by_layer, _RATES),
    Finding("combined_rates_by_locus", "The same by locus.", rates_by_locus, _RATES),
)
