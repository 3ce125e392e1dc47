"""One line over several layers of a kind: conserved ones, and those of one assay alone (the paper's Figure 3c, d)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.apart import conserved_apart
from mutascope.analysis.maps import MapData
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import columns
from mutascope.findings.comparison import need_pairs
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.lines import HIT_COLUMN, HITS_IN_WORDS, across_layers, enrichment
from mutascope.findings.screens import ScreenSet, once
from mutascope.findings.words import chance

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_LAYERS = 6
"""Maps of a line."""
_LINES = 2
"""Lines of a screen that are drawn."""
_LINE = {"row": "row", "col": "column"}


@once
def lines_apart(given: ScreenSet) -> pl.DataFrame:
    """Return the contrast of every line, in every group of screens that can be compared."""
    need_pairs(given)
    lines = enrichment(given)
    return pl.concat(
        conserved_apart(lines.filter(pl.col("assay").is_in(group)))
        for group in given.groups
        if len(group) > 1
    )


def _layers(given: ScreenSet, palette: Palette) -> Pictures:
    """The most conserved lines of every screen, in the layers where they are enriched (Figure 3c)."""
    found = across_layers(given).filter(pl.col("enriched") >= 2).sort("q", "p", maintain_order=True)
    found = found.unique(["assay", "kind", "axis", "index"], keep="first", maintain_order=True)
    need(len(found), "no line is enriched in two layers of a kind")
    for label in found["assay"].unique(maintain_order=True):
        rows, lines = [], []
        for line in found.filter(assay=label).head(_LINES).iter_rows(named=True):
            told, layers = f"{_LINE[line['axis']]} {line['index']}", _enriched_layers(given, label, line)
            maps = _maps_of(given, label, line, layers)
            rows.append([replace(data, title=f"{data.name} {told}") for data in maps])
            lines.append(f"{told} of {line['kind']}, {_counted(line, len(maps))}")
        title = f"{label}: lines that are enriched in several layers (marked)\n{'; '.join(lines)}"
        yield label, figures.draw_gallery(rows, title, palette)


def _counted(line: dict, drawn: int) -> str:
    """What a line is enriched in, in how many layers, and whether that is more than chance."""
    verdict = "" if line["conserved"] else "no more than chance, "
    first = f", the first {drawn} of which are shown" if line["enriched"] > drawn else ""
    return (
        f"{HITS_IN_WORDS[line['hit']]} in {line['enriched']} of {line['tested']} layers"
        f" ({verdict}q = {chance(line['q'])}{first})"
    )


def _apart(given: ScreenSet, palette: Palette) -> Pictures:
    """The line that stands most apart in every screen: its layers there, and in the other screens (Figure 3d)."""
    found = lines_apart(given).filter(pl.col("enriched") > pl.col("elsewhere")).sort("p", maintain_order=True)
    need(len(found), "no line is enriched in one of the screens often enough to tell it from the others")
    for label in found["assay"].unique(maintain_order=True):
        line = found.filter(assay=label).row(0, named=True)
        layers = _enriched_layers(given, label, line) or given.loci[label]["layer"].unique().sort().to_list()
        group = next(group for group in given.groups if label in group)
        rows = [
            [
                replace(data, title=f"{data.name} {other}")
                for data in _maps_of(given, other, line, layers, marked=_enriched_layers(given, other, line))
            ]
            for other in [label, *(other for other in group if other != label)]
        ]
        told = f"{_LINE[line['axis']]} {line['index']} of {line['kind']}"
        verdict = "" if line["apart"] else "no more than chance, "
        title = (
            f"{told}: enriched in {HITS_IN_WORDS[line['hit']]} in {line['enriched']} of {line['layers']} layers of"
            f" {label}, in at most {line['elsewhere']} of another screen ({verdict}q = {chance(line['q'])}; marked:"
            " enriched)"
        )
        yield label, figures.draw_gallery(rows, title, palette)


def _enriched_layers(given: ScreenSet, label: str, line: dict) -> list[int]:
    """Layers in which a line is enriched, under the same meaning of a hit."""
    same = {name: line[name] for name in ("hit", "kind", "axis", "index")}
    return enrichment(given).filter("enriched", assay=label, **same)["layer"].to_list()


def _maps_of(
    given: ScreenSet, label: str, line: dict, layers: list[int], marked: list[int] | None = None
) -> list[MapData]:
    """Maps of a kind in the first of some layers, with the line marked in all of them or in some."""
    maps = given.locus_maps(label)
    axis = "rows" if line["axis"] == "row" else "cols"
    return [
        replace(
            maps[layer, line["kind"]], **{axis: [line["index"]] if marked is None or layer in marked else []}
        )
        for layer in layers[:_LAYERS]
        if (layer, line["kind"]) in maps
    ]


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield conserved lines over their layers, and those that one screen has alone."""
    enrichment(given)
    yield Figures("conserved_layers", "The most conserved lines, in layers where they are enriched (marked).")
    yield Prose(
        "A line stands apart when it is enriched in more layers of one screen than of every other one, and more so than"
        " the numbers of enriched lines of the screens let expect."
    )
    yield Rows(
        "conserved_apart",
        "Lines that are conserved in one screen and not in the others",
        "assay kind axis hit index layers enriched elsewhere expected p q",
        choose=lambda frame: frame.filter("apart").sort("p", maintain_order=True),
        empty="no line stands apart",
    )
    yield Figures("conserved_apart", "The line of every screen that stands most apart.")


def _sentences(given: ScreenSet) -> Iterator[str]:
    for row in lines_apart(given).filter("apart").sort("p", maintain_order=True).iter_rows(named=True):
        yield (
            f"{_LINE[row['axis']].capitalize()} {row['index']} of {row['kind']} is enriched in"
            f" {HITS_IN_WORDS[row['hit']]} in {row['enriched']} of {row['layers']} layers of {row['assay']}, and in at"
            f" most {row['elsewhere']} of another screen (q = {chance(row['q'])})."
        )


FINDINGS = (
    Finding(
        "conserved_apart",
        "Lines of a kind that are enriched in more layers of one screen than of every other one.",
        lines_apart,
        HIT_COLUMN
        | columns(
            layers="layers that all screens have",
            elsewhere="the most layers of another screen in which the line is enriched",
            expected="layers of this screen to expect, by the enriched lines of it and of the closest other screen",
            apart="q is 0.05 or less",
        ),
        Drawing(
            "conserved_apart", "the line that stands most apart in a screen, in all screens (3d)", _apart
        ),
        Section("apart", "Lines over layers, and lines of one screen alone", _blocks, _sentences),
    ),
    Finding(
        "conserved_layers",
        "The most conserved lines of every screen, in the layers where they are enriched.",
        figure=Drawing("conserved_layers", "one line over several layers of a kind (3c)", _layers),
    ),
)
