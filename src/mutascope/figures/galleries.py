"""Galleries of maps: biased loci, conserved lines, COPA, cosine and score maps, malignant mutants, writers.

Each picks the loci that show the matter best, so that it is readable with 3 loci and with 224.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from mutascope.analysis.choice import MALIGNANT_COSINE, SCORE_THRESHOLDS
from mutascope.analysis.copa import rearrange, sign_map
from mutascope.analysis.severity import marked_sites
from mutascope.analysis.sites import LOCUS
from mutascope.analysis.status import Status, site_status
from mutascope.core.kinds import kind_rank
from mutascope.figures.gallery import Panel, gallery_figure
from mutascope.figures.palette import Palette
from mutascope.findings import maps, outputs, patterns, writers
from mutascope.findings.registry import need
from mutascope.findings.screens import Screens

Drawn = Iterator[tuple[str, Figure]]
Locus = tuple[int, str]

_MOST_ASSAYS = 6
_MOST_MALIGNANT = 12
COSINE_MAPS = (0.1, 0.2, 0.5, 0.7)


def _status(given: Screens, label: str, locus: Locus) -> np.ndarray | None:
    """Map of a locus, None where the screen does not have it."""
    return given.statuses(label).get(locus)


def _marked(
    given: Screens, label: str, records: pl.DataFrame, locus: Locus, marked: pl.Expr
) -> np.ndarray | None:
    """Map of a locus in which the NSMs that are not marked are silent, and predicted sites are unscreened."""
    whole = _status(given, label, locus)
    if whole is None:
        return None
    here = records.filter(layer=locus[0], kind=locus[1])
    found = marked_sites(here, marked)
    status = np.minimum(site_status(here, *whole.shape), Status.SILENT).astype(np.int8)
    status[found["row"].to_numpy(), found["col"].to_numpy()] = found["status"].to_numpy()
    return status


def _across(given: Screens, locus: Locus, labels: Sequence[str]) -> list[Panel]:
    panels = []
    for label in labels[:_MOST_ASSAYS]:
        status = _status(given, label, locus)
        if status is not None:
            panels.append(Panel(f"{locus[0]}.{locus[1]} {label}", status, locus[1]))
    return panels


def bias_gallery(given: Screens, palette: Palette) -> Drawn:
    """The loci with the strongest bias towards max, and towards min, in every assay (Figure 2)."""
    bias = maps.bias_by_locus(given).filter(pl.col("assay").is_in(list(given.maps)))
    need(len(bias), "it takes a screen with max and min at the same sites")
    strength = (pl.col("max_nsm") - pl.col("min_nsm")) / pl.col("sites")
    means = bias.group_by(LOCUS, maintain_order=True).agg(way=strength.mean()).sort("way", descending=True)
    rows = []
    for part in (means.filter(pl.col("way") > 0).head(2), means.filter(pl.col("way") < 0).tail(2)):
        rows += [_across(given, (layer, kind), list(given.maps)) for layer, kind, _ in part.iter_rows()]
    need(rows, "no locus has more max NSMs than min NSMs, or the other way round")
    title = "Loci with the largest surplus of max NSMs, and of min NSMs"
    yield "", gallery_figure(rows, title=title, palette=palette)


def lines_gallery(given: Screens, palette: Palette) -> Drawn:
    """The loci with the most significant row, and column, in every assay, enriched lines marked (Figure 3a, b)."""
    lines = patterns.enrichment(given).filter("enriched", pl.col("assay").is_in(list(given.maps)))
    need(len(lines), "no row or column is enriched")
    rows = []
    for axis in ("row", "col"):
        best = (
            lines.filter(axis=axis)
            .group_by(LOCUS, maintain_order=True)
            .agg(total=(-pl.col("p").clip(1e-300).log()).sum())
            .sort("total", descending=True, maintain_order=True)
            .head(2)
        )
        for layer, kind, _ in best.iter_rows():
            panels = []
            for label in list(given.maps)[:_MOST_ASSAYS]:
                status = _status(given, label, (layer, kind))
                if status is None:
                    continue
                found = lines.filter(assay=label, layer=layer, kind=kind, axis=axis)["index"].to_list()
                panels.append(
                    Panel(
                        f"{layer}.{kind} {label}",
                        status,
                        kind,
                        rows=found if axis == "row" else (),
                        cols=found if axis == "col" else (),
                    )
                )
            rows.append(panels)
    title = "Loci with the most enriched rows, and columns (marked: q ≤ 0.05)"
    yield "", gallery_figure(rows, title=title, palette=palette)


def copa_gallery(given: Screens, palette: Palette) -> Drawn:
    """The locus of every kind with the strongest pattern, as it is and rearranged by column and by row (Figure 4)."""
    table = patterns.pattern(given).filter(
        pl.col("strength").is_not_null(), pl.col("assay").is_in(list(given.maps))
    )
    need(len(table), "no locus has rows or columns that vary")
    best = (
        table.sort("strength_z", "strength", descending=True, nulls_last=True, maintain_order=True)
        .group_by("kind", maintain_order=True)
        .first()
        .select("assay", *LOCUS)
    )
    columns: list[list[Panel]] = []
    for assay, layer, kind in sorted(best.iter_rows(), key=lambda row: kind_rank(row[2])):
        status = _status(given, assay, (layer, kind))
        if status is None:
            continue
        told = f"{layer}.{kind} {assay}"
        panels = [Panel(told, status, kind)]
        for axis, name in (("col", "columns"), ("row", "rows")):
            found = rearrange(sign_map(status), axis)
            moved = np.take(status, found.order, axis=0 if axis == "row" else 1)
            rows, cols = ([found.position], []) if axis == "row" else ([], [found.position])
            panels.append(Panel(f"{name} in order", moved, kind, rows=rows, cols=cols))
        columns.append(panels)
    title = "COPA: the strongest locus of every kind (marked: reference vector)"
    yield "", gallery_figure(columns, title=title, palette=palette)


def cosine_gallery(given: Screens, palette: Palette) -> Drawn:
    """The loci with most NSMs of low cosine, at several thresholds (Figure 5a, b, right)."""
    need(given.text, outputs.TEXT)
    for label in given.text:
        records = given.severe[label]
        low = records.filter(~pl.col("silent"), pl.col("cosine") < MALIGNANT_COSINE)
        if low.is_empty():
            continue
        rows = []
        for locus in _top_loci(low, 3):
            panels = [
                (f"cosine < {limit}", _marked(given, label, records, locus, pl.col("cosine") < limit))
                for limit in COSINE_MAPS
            ]
            rows.append(_panels(locus, [*panels, ("all NSMs", _status(given, label, locus))]))
        title = f"{label}: loci with most NSMs of cosine below {MALIGNANT_COSINE}"
        yield label, gallery_figure(rows, title=title, palette=palette)


def score_gallery(given: Screens, palette: Palette) -> Drawn:
    """The loci with most NSMs of low score, at several thresholds, and destructive ones (Figure 5a, b, left)."""
    need(given.choice, outputs.CHOICE)
    for label in given.choice:
        records = given.records[label]
        low = records.filter(
            ~pl.col("silent"), (pl.col("score") <= SCORE_THRESHOLDS[-1]) | pl.col("destructive")
        )
        if low.is_empty():
            continue
        rows = []
        for locus in _top_loci(low, 3):
            panels = [
                (f"score ≤ {limit}", _marked(given, label, records, locus, pl.col("score") <= limit))
                for limit in SCORE_THRESHOLDS
            ]
            broken = _marked(given, label, records, locus, pl.col("destructive"))
            rows.append(
                _panels(locus, [*panels, ("destructive", broken), ("all NSMs", _status(given, label, locus))])
            )
        title = f"{label}: loci with most underperforming or destructive NSMs"
        yield label, gallery_figure(rows, title=title, palette=palette)


def malignant_gallery(given: Screens, palette: Palette) -> Drawn:
    """Maps of the malignant mutants, loci with most of them first (Figure 5d, e)."""
    mutants = outputs.malignant_mutants(given)
    need(len(mutants), "no mutant is malignant")
    for (choice, text), part in mutants.group_by("assay", "text_assay", maintain_order=True):
        choice, text = str(choice), str(text)
        named = part.select(*outputs.MUTANT, malignant=pl.lit(True))
        records = given.records[choice].join(named, on=outputs.MUTANT, how="left", maintain_order="left")
        told = {(layer, kind): count for layer, kind, count in part.group_by(LOCUS).len().iter_rows()}
        panels = []
        for locus in _top_loci(part, _MOST_MALIGNANT):
            status = _marked(given, choice, records, locus, pl.col("malignant"))
            panels += _panels(locus, [(f"{told[locus]:,} malignant", status)])
        rows = [panels[start : start + 4] for start in range(0, len(panels), 4)]
        title = f"Malignant mutants of {choice} and {text}: {len(part):,} in {len(told)} loci"
        yield f"{choice}_{text}", gallery_figure(rows, title=title, palette=palette)


def writers_gallery(given: Screens, palette: Palette) -> Drawn:
    """Low cosines, and a letter per rare word, in the loci with most mutants of rare words (Figure 6d)."""
    text = writers.writers_text(given)
    need(given.panels and text, f"{writers.PANEL} and a text assay")
    records = given.severe[str(text)]
    for label in given.panels:
        rare = writers.writers(given).filter("rare", assay=label)
        if rare.is_empty():
            continue
        words = rare["word"].value_counts(sort=True)["word"].head(26).to_list()
        letters = {word: chr(ord("a") + index) for index, word in enumerate(words)}
        panels = []
        for locus in _top_loci(rare, 3):
            status = _marked(given, str(text), records, locus, pl.col("cosine") < MALIGNANT_COSINE)
            if status is None:
                continue
            here = rare.filter(pl.col("word").is_in(words), layer=locus[0], kind=locus[1])
            points = [(letters[w], r, c) for w, r, c in here.select("word", "row", "col").iter_rows()]
            panels.append(Panel(f"{locus[0]}.{locus[1]}", status, locus[1], points=points))
        told = ", ".join(f"{letter}: {word}" for word, letter in list(letters.items())[:8])
        title = f"{text}, cosine below {MALIGNANT_COSINE}; letters: rare words of {label} ({told})"
        yield label, gallery_figure([panels], title=title, palette=palette)


def _top_loci(mutants: pl.DataFrame, count: int) -> list[Locus]:
    ranked = mutants.group_by(LOCUS).len().sort("len", "layer", "kind", descending=[True, False, False])
    return [(layer, kind) for layer, kind, _ in ranked.head(count).iter_rows()]


def _panels(locus: Locus, told: Sequence[tuple[str, np.ndarray | None]]) -> list[Panel]:
    layer, kind = locus
    return [Panel(f"{layer}.{kind} {title}", status, kind) for title, status in told if status is not None]


GALLERIES = (
    ("bias", "loci that lean to max and to min, across screens (2)", bias_gallery),
    ("enriched_loci", "loci with enriched rows and columns, across screens (3a, b)", lines_gallery),
    ("copa", "maps rearranged to show the complementary pattern (4a-c)", copa_gallery),
    ("cosine_maps", "NSMs below several cosines (5a, b)", cosine_gallery),
    ("score_maps", "NSMs up to several scores, and destructive ones (5a, b)", score_gallery),
    ("malignant", "malignant mutants (5d, e)", malignant_gallery),
    ("writer_maps", "rare words among low cosines (6d)", writers_gallery),
)
"""Name, description and function of every gallery."""
