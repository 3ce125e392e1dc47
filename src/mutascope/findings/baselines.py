"""Whether predictions are better than what takes less."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.baselines import PREDICTION, baseline_scores, with_baselines
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.predictions import MUTATIONS, checked, scored, with_and_without_zero, without_zero
from mutascope.findings.screens import ScreenSet, once, stack

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_WITHOUT = (
    "it takes a predicted screen with baselines.parquet: run its `mutascope predict` again, which adds it"
)
_NAMES = {
    PREDICTION: "the prediction",
    "change": "norm of the change",
    "wanda": "|change| x norm of inputs",
    "gradient_change": "gradient x change",
    "gradient_weight": "gradient x weight",
}


@once
def scores(given: ScreenSet) -> pl.DataFrame:
    """Return the AUC of the predictions and of every baseline, with and without zero."""
    known = {label: given.results[label].folder.baselines() for label in scored(given)}
    present = {label: sites for label, sites in known.items() if sites is not None}
    need(present, _WITHOUT)

    def of(label: str) -> pl.DataFrame:
        calls = with_baselines(checked(given, label), present[label])
        return with_and_without_zero(baseline_scores, calls)

    return stack(present, of)


def _draw(given: ScreenSet, palette: Palette) -> Pictures:
    named = without_zero(scores(given)).with_columns(pl.col("score").replace(_NAMES))
    yield "", figures.baselines_figure(named, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    scores(given)
    yield Prose(
        "A prediction is worth its cost where it beats what takes less: the norm of the tile times that"
        " of its inputs, as in Wanda; gradient x weight, of the log-probability of the wild type's output; the norm of"
        " the change. Each has a curve per kind, fitted on other sites, as the prediction has."
    )
    yield Rows(
        "prediction_baselines",
        "AUC of the prediction and of baselines",
        "assay mutations score mutants nsm auc auc_low auc_high gain gain_low gain_high",
    )
    yield Figures("prediction_baselines", "AUC with 95 % intervals (bootstrap of sites within loci).")


def _sentences(given: ScreenSet) -> Iterator[str]:
    for label in scores(given)["assay"].unique(maintain_order=True):
        every = scores(given).filter(assay=label)
        found, (whole, *_) = without_zero(every), every.filter(score=PREDICTION)["auc"]
        own = found.filter(score=PREDICTION).row(0, named=True)
        easy = "" if len(found) == len(every) else f" (with zero {whole:.3f})"
        others = found.filter(pl.col("score") != PREDICTION).drop_nulls("auc").sort("auc", descending=True)
        for best in others.head(1).iter_rows(named=True):
            yield (
                f"The predictions of {label} have an AUC of {own['auc']:.3f} in {own['mutations']}{easy}; the best of"
                f" the baselines, {_NAMES[best['score']]}, has {best['auc']:.3f}."
            )


FINDINGS = (
    Finding(
        "prediction_baselines",
        "How well predictions, and scores that take less, tell NSMs from silent mutants; each calibrated by kind on"
        " other sites.",
        scores,
        MUTATIONS
        | columns(
            score="prediction, or a baseline: change (Frobenius norm), wanda (|change| x norm of the input, summed over"
            " the tile), gradient_change and gradient_weight (|gradient x that|)",
            auc="chance that it puts an NSM above a silent mutant",
            auc_low="lower end of its 95 % interval",
            auc_high="upper end of its 95 % interval",
            gain="AUC of the prediction less this one",
            gain_low="lower end of its 95 % interval",
            gain_high="upper end of its 95 % interval",
        ),
        Drawing("prediction_baselines", "AUC of predictions and of what takes less", _draw),
        Section("baselines", "Predictions against what takes less", _blocks, _sentences),
    ),
)
