"""What was predicted: how far the predictions can be trusted, and the rates that they give with the exact sample."""

from __future__ import annotations

from collections.abc import Iterator

from mutascope.core.errors import NotHere
from mutascope.findings.predictions import PREDICTED
from mutascope.report.blocks import Block, Points, Prose
from mutascope.report.source import Source

_SCORES = ("assay", "group", "mutants", "nsm", "auc", "accuracy", "recall", "precision", "brier", "ece")
_CURVE = ("assay", "low", "high", "mutants", "predicted", "observed", "observed_low", "observed_high")
_RATES = ("assay", "kind", "loci", "sites", "rate", "low", "high", "predicted")
_FORMS = (
    "kind",
    "rank",
    "loci",
    "agreement",
    "lines_row",
    "lines_col",
    "pairs_row",
    "pairs_col",
    "bias_explained",
)
_SAMPLE = ("sample_rate", "sample_low", "sample_high")


def blocks(source: Source) -> Iterator[Block]:
    """Yield how many calls are predicted, the scores and reliability of these, and combined rates."""
    given = source.given
    if not given.predicted:
        raise NotHere(PREDICTED)
    yield Prose(
        "Of these screens, only a part was run; the other calls are predicted from gradients, and a predicted mutant is"
        " called an NSM from a probability of 0.5 on. Scores are those of exact calls of sites that the calibration did"
        " not see. Combined rates are the mean prediction, corrected by the exact sample."
    )
    yield Points([f"{label}: {calls_in_words(source, label)}." for label in given.predicted])
    yield from source.grid("prediction_scores", "Scores of the predictions", _SCORES, rows=24)
    yield from source.figure("reliability", "Predicted probability of an NSM against the share that is one.")
    yield from source.grid("reliability", "Reliability", _CURVE, rows=20)
    for name, title in (
        ("combined_rates", "NSM rates of all loci, from predictions and sample"),
        ("combined_rates_by_kind", "The same by kind"),
    ):
        yield from source.grid(name, title, (*_RATES, *_SAMPLE), rows=35)
    yield Prose(
        "To first order, what a constant written over a tile does is a factor of its row times a factor of its column,"
        " with opposite signs for max and min. The table says how much of the maps such forms alone explain: calls,"
        " lines with many NSMs, the correlations that COPA consists of, and bias."
    )
    yield from source.grid(
        "low_rank_by_kind", "What row factors times column factors explain", ("assay", *_FORMS), rows=20
    )


def calls_in_words(source: Source, label: str) -> str:
    """Return in words how many of the calls that rates and maps are made of are exact, and how many predicted."""
    calls = source.given.mapped[label]
    exact = int((calls["source"] == "exact").sum())
    return f"{exact:,} calls exact, {len(calls) - exact:,} predicted"
