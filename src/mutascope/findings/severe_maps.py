"""Severity of one locus in a choice assay and in text assays, and lines of severe mutants (the paper's Figure 5a-c)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.choice import MALIGNANT_COSINE, SCORE_THRESHOLDS, UNDERPERFORMING
from mutascope.analysis.maps import LocusKey, MapData
from mutascope.analysis.severe_lines import low_cosine_lines, lowest_scores
from mutascope.analysis.sites import in_order
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.choice import CHOICE
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.galleries import marked, titled, top_loci
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.severity import COSINE_MAPS, severity_by_locus

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_LOCI = 2
_LOW = pl.col("cosine") < MALIGNANT_COSINE
_TWO_TEXTS = "it takes two text assays of one model and of equal shapes"


@once
def lines_of_low_cosine(given: ScreenSet) -> pl.DataFrame:
    """Return the lines of low cosine over the text assays, beside the first choice assay of the model."""
    groups = given.text_groups
    need(groups, _TWO_TEXTS)
    parts = []
    for group in groups:
        choice = next(iter(given.beside(group[0], given.choice)), None)
        records = None if choice is None else given.records[choice]
        found = low_cosine_lines({label: given.severe[label] for label in group}, records)
        parts.append(found.select(pl.lit(", ".join(group)).alias("assays"), pl.all()))
    return pl.concat(parts)


@once
def lines_of_lowest_scores(given: ScreenSet) -> pl.DataFrame:
    """Return the lines that hold the lowest scores of their loci."""
    need(given.choice, CHOICE)
    return stack(given.choice, lambda label: lowest_scores(given.records[label]))


@once
def scores_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Return how low the NSMs of every locus score."""
    need(given.choice, CHOICE)
    counts = {
        "nsm": pl.len(),
        "underperforming": (pl.col("score") < UNDERPERFORMING).sum(),
        "destructive": pl.col("destructive").sum(),
        "lowest": pl.col("score").min(),
    }

    def of(label: str) -> pl.DataFrame:
        nsms = given.records[label].filter(~pl.col("silent")).group_by(LOCUS_KEY, maintain_order=True)
        told = [pl.col("score").mean().alias("mean_score")]
        return in_order(nsms.agg(*told, **{name: count.cast(pl.Int64) for name, count in counts.items()}))

    return stack(given.choice, of)


def _thresholds(given: ScreenSet, palette: Palette) -> Pictures:
    """Loci with most severe mutants of both assays: score thresholds left, cosine thresholds right (Figure 5a, b)."""
    pairs = [(choice, text) for choice in given.choice for text in given.beside(choice, given.text)]
    need(pairs, "it takes a choice assay and a text assay of the same model")
    scores = [(f"score ≤ {limit}", pl.col("score") <= limit) for limit in SCORE_THRESHOLDS]
    scores.append(("destructive", pl.col("destructive")))
    cosines = [(f"cosine < {limit}", pl.col("cosine") < limit) for limit in COSINE_MAPS]
    for choice, text in pairs:
        severe = given.records[choice].filter(~pl.col("silent"), pl.col("score") <= SCORE_THRESHOLDS[-1])
        both = severe.join(given.loci[text], on=LOCUS_KEY, how="semi")
        for locus in top_loci(both, _LOCI):
            left = marked(given, choice, given.records[choice], locus, scores)
            right = marked(given, text, given.severe[text], locus, cosines)
            rows = [list(pair) for pair in zip(left, right, strict=True)]
            rows.append([titled(given, label, locus, f"{label}, all NSMs") for label in (choice, text)])
            name = f"{locus[0]}.{locus[1]}"
            title = f"{name}: {choice} by score (left), {text} by cosine (right)"
            yield f"{choice}_{text}_{name}", figures.draw_gallery(rows, title, palette)


def _low_cosine(given: ScreenSet, palette: Palette) -> Pictures:
    """The locus with most lines of low cosine in all texts: low cosines above, whole maps below (Figure 5c)."""
    found = lines_of_low_cosine(given)
    for group in given.text_groups:
        shared = found.filter(pl.col("enriched") >= 2, assays=", ".join(group))
        quiet = shared.filter(pl.col("choice_nsm") == 0)
        low = given.severe[group[0]].filter(~pl.col("silent"), _LOW)
        for locus in top_loci(next((part for part in (quiet, shared) if len(part)), low), 1):
            lines = shared.filter(layer=locus[0], kind=locus[1])
            yield (
                _suffix(given, group),
                figures.draw_gallery(
                    _rows_of_low_cosine(given, group, locus, lines),
                    f"Cosine below {MALIGNANT_COSINE} (marked: lines with more of it in two texts), and all NSMs",
                    palette,
                ),
            )


def _suffix(given: ScreenSet, group: list[str]) -> str:
    return group[0] if len(given.text_groups) > 1 else ""


def _rows_of_low_cosine(
    given: ScreenSet, group: list[str], locus: LocusKey, lines: pl.DataFrame
) -> list[list[MapData]]:
    marks = {
        name: lines.filter(axis=axis)["index"].to_list() for axis, name in (("row", "rows"), ("col", "cols"))
    }
    low = [
        replace(data, **marks)
        for label in group
        for data in marked(given, label, given.severe[label], locus, [(f"{label}, low cosine", _LOW)])
    ]
    beside = [*group, *given.beside(group[0], given.choice)]
    whole = [titled(given, label, locus, label) for label in beside if locus in given.locus_maps(label)]
    return [low, whole]


def _by_locus(given: ScreenSet, palette: Palette) -> Pictures:
    """Which share of the mutants of every locus is severe, a picture per text and choice assay."""
    need([*given.text, *given.choice], "it takes a text assay or a choice assay")
    tables = [
        (
            severity_by_locus,
            given.text,
            f"cosine_below_{MALIGNANT_COSINE}",
            f"cosine below {MALIGNANT_COSINE}",
        ),
        (scores_by_locus, given.choice, "underperforming", f"score below {UNDERPERFORMING}"),
    ]
    for table, labels, value, told in tables:
        for label in labels:
            counts = table(given).filter(assay=label)
            if len(counts):
                title = f"{label}: NSMs with a {told}, % of the mutants"
                mutants = given.records[label].group_by(LOCUS_KEY, maintain_order=True).agg(whole=pl.len())
                shares = mutants.join(counts, on=LOCUS_KEY, how="left", maintain_order="left")
                shares = shares.with_columns(share=100 * pl.col(value).fill_null(0) / pl.col("whole"))
                yield label, figures.by_locus_figure(shares, "share", title=title, palette=palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield where severe mutants lie, in both sorts of assays."""
    need([*given.text, *given.choice], "it takes a text assay or a choice assay")
    yield Figures(
        "severe_by_locus",
        "NSMs far from the wild type's text, and with low scores, by locus, in per cent of its mutants.",
    )
    if given.choice:
        yield Rows(
            "score_by_locus",
            "Loci with most underperforming NSMs",
            "assay layer kind nsm mean_score lowest underperforming destructive",
            choose=lambda frame: frame.sort("underperforming", descending=True, maintain_order=True),
        )
        yield Rows(
            "lowest_scores",
            "Lines that hold the lowest scores of their loci, over layers",
            "assay kind axis index layers lowest expected least mean_score p q",
            choose=lambda frame: frame.sort("p", maintain_order=True),
        )
    if given.choice and given.text:
        yield Figures("severe_maps", "The same locus by score (left) and by cosine (right).")
    if given.text_groups:
        yield Prose(
            "Lines with more low cosines than chance in several text assays may be silent in the choice assay: what is"
            " needed to write is not always needed to answer."
        )
        yield Rows(
            "low_cosine_lines",
            "Lines of low cosine over the text assays",
            "assays layer kind axis index tested enriched expected choice_sites choice_nsm p q",
            choose=lambda frame: frame.filter("conserved").sort("p", maintain_order=True),
            empty="none is conserved",
        )
        yield Figures(
            "low_cosine_lines", "Low cosines over text assays, and all NSMs of these and of the choice assay."
        )


FINDINGS = (
    Finding(
        "low_cosine_lines",
        "Lines with more NSMs of low cosine than chance in some text assay, tested for being so in several; and the NSM"
        " sites of the first choice assay of the model on them.",
        lines_of_low_cosine,
        columns(
            tested="text assays with this line",
            enriched="of these, with more low cosines on it than chance (q of 0.05 or less)",
            conserved="q is 0.05 or less, and enriched at least twice",
            choice_sites="sites of the line that the choice assay screened; null where there is none",
            choice_nsm="NSM sites of the choice assay among these: 0 where it is silent on the line",
        ),
        Drawing(
            "low_cosine_lines",
            "low cosines conserved over text assays, beside the choice assay (5c)",
            _low_cosine,
        ),
        Section("severe_maps", "Where severe mutants lie", _blocks),
    ),
    Finding(
        "lowest_scores",
        "Lines that hold the lowest score of their locus, over the layers of a kind, against chance.",
        lines_of_lowest_scores,
        columns(
            layers="layers in which the line has an NSM",
            lowest="of these, layers in which it holds the lowest score of the locus",
            least="lowest score on the line",
            mean_score="mean score of its NSM sites, the lower one of a site",
            conserved="q is 0.05 or less, and lowest in at least two layers",
        ),
        Drawing("severe_maps", "one locus by score (left) and by cosine (right) (5a, b)", _thresholds),
    ),
    Finding(
        "score_by_locus",
        "How low the NSMs of every locus score in the choice assays.",
        scores_by_locus,
        columns(
            mean_score="mean score of the NSMs",
            lowest="lowest score",
            underperforming=f"NSMs with a score below {UNDERPERFORMING}",
            destructive="NSMs with an answer that is none of A, B, C, D",
        ),
        Drawing("severe_by_locus", "share of NSMs of low cosine and of low score, by locus", _by_locus),
    ),
)
