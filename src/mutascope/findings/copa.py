"""The correlative complementary pattern: its strength, its nulls, and maps rearranged to show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mutascope import figures
from mutascope.analysis.copa import MEASURES, copa, copa_contrasts, rearrange, sign_map
from mutascope.analysis.maps import MapData
from mutascope.core.kinds import kind_rank
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.beside import beside
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import chance as chance_column
from mutascope.findings.columns import columns
from mutascope.findings.comparison import TWO
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.words import per_cent

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_NO_PATTERN = "no locus has rows or columns that vary"
_KNOWN = pl.col("strength").is_not_null()


@once
def pattern(given: ScreenSet) -> pl.DataFrame:
    """Return COPA of every locus."""
    return patterns_of(given.maps, given.loci)


def patterns_of(maps: Mapping[str, pl.DataFrame], loci: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return COPA of every locus of some maps."""
    return stack(maps, lambda label: copa(maps[label], loci[label]))


@once
def null_pattern(given: ScreenSet) -> pl.DataFrame:
    """Return COPA of every locus of the null screens."""
    return patterns_of(given.null_maps, given.null_loci)


@once
def pattern_beside(given: ScreenSet) -> pl.DataFrame:
    """Return COPA of every locus, and what it is in the null screens."""
    names = [f"{name}{part}" for name in MEASURES for part in ("", "_z", "_p", "_q")]
    return beside(given, pattern(given), null_pattern, ("assay", *LOCUS_KEY, "axis"), names)


@once
def contrasts(given: ScreenSet) -> pl.DataFrame:
    """Return the contrasts of every pair of screens."""
    need(len(given.maps) > 1, TWO)
    return pl.concat(
        copa_contrasts(pattern(given).filter(pl.col("assay").is_in(labels)), ["axis", "kind"])
        for labels in given.by_model(given.maps).values()
    )


def _gallery(given: ScreenSet, palette: Palette) -> Pictures:
    """The locus of every kind with the strongest pattern, as it is and rearranged by column and by row (Figure 4)."""
    found = pattern(given).filter(_KNOWN)
    need(len(found), _NO_PATTERN)
    models = given.by_model(found["assay"].unique(maintain_order=True))
    for model, labels in models.items():
        several = len(models) > 1
        title = f"COPA: the strongest locus of every kind{f' of {model}' if several else ''} (marked: reference vector)"
        rows = _rearranged(given, found.filter(pl.col("assay").is_in(labels)))
        yield model if several else "", figures.draw_gallery(rows, title, palette)


def _rearranged(given: ScreenSet, found: pl.DataFrame) -> list[list[MapData]]:
    best = (
        found.sort("strength_z", "strength", descending=True, nulls_last=True, maintain_order=True)
        .group_by("kind", maintain_order=True)
        .first()
        .select("assay", *LOCUS_KEY)
    )
    rows = []
    for assay, layer, kind in sorted(best.iter_rows(), key=lambda row: kind_rank(row[2])):
        data = given.locus_maps(assay)[layer, kind]
        rows.append([replace(data, title=f"{data.name} {assay}"), moved(data, "col"), moved(data, "row")])
    return rows


def moved(data: MapData, axis: str) -> MapData:
    """Return the map with its rows or columns in order, the reference marked."""
    found = rearrange(sign_map(data.status), axis)
    along = 0 if axis == "row" else 1
    exact = None if data.exact is None else np.take(data.exact, found.order, axis=along)
    moved = replace(data, status=np.take(data.status, found.order, axis=along), exact=exact)
    if axis == "row":
        return replace(moved, rows=[found.position], title="rows in order")
    return replace(moved, cols=[found.position], title="columns in order")


def _strength(given: ScreenSet, palette: Palette) -> Pictures:
    found = pattern(given)
    need(len(found), "it takes a screen of max or min")
    models = given.by_model(found["assay"].unique(maintain_order=True))
    for (model, labels), (axis, name) in product(models.items(), (("row", "rows"), ("col", "columns"))):
        shown = found.filter(pl.col("assay").is_in(labels))
        suffix = f"{name}_{model}" if len(models) > 1 else name
        yield suffix, figures.strength_figure(shown, axis=axis, palette=palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield the ranked hits, their strength by layer, and the contrasts between screens."""
    need(len(pattern(given).filter(_KNOWN)), _NO_PATTERN)
    yield Prose(
        "Where rows or columns are mirror images of each other (max only here, min only there), more pairs of them have"
        " r < 0 than in maps that keep the totals of every row and column. The strength, the mean |r|, and the"
        " asymmetry are also large where rows or columns merely lean to one sign each. Rearranged around a reference"
        " vector, the pattern shows."
    )
    yield Rows(
        "copa",
        "Strongest patterns",
        "assay layer kind axis vectors reference mirror mirror_null mirror_z mirror_z_shuffled mirror_q strength"
        " strength_shuffled strength_null strength_q"
        " asymmetry asymmetry_null asymmetry_q",
        choose=lambda frame: frame.filter(_KNOWN).sort(
            "mirror_z", descending=True, nulls_last=True, maintain_order=True
        ),
        rows=15,
    )
    yield Figures("copa_strength", "Strength above its null by layer; filled: q ≤ 0.05.")
    yield Figures("copa", "The strongest locus of every kind, as it is and rearranged.")
    yield Rows(
        "copa_contrasts",
        "Strength of the pattern, one screen against another",
        "axis kind assay_a assay_b loci excess_a excess_b p q",
        choose=lambda frame: frame.sort("p", maintain_order=True),
    )


def _sentences(given: ScreenSet) -> Iterator[str]:
    table = pattern(given)
    found = table.filter(pl.col("mirror_q") <= 0.05).sort("mirror_z", descending=True, nulls_last=True)
    for row in found.head(1).iter_rows(named=True):
        axis = {"row": "rows", "col": "columns"}[row["axis"]]
        yield (
            f"Mirror images stand out from their null in {len(found):,} of {len(table):,} tests of a locus and axis;"
            f" most in the {axis} of {row['layer']}.{row['kind']} ({row['assay']}: {per_cent(row['mirror'])} of the"
            f" pairs have r < 0, {per_cent(row['mirror_null'])} by chance)."
        )
    strong = table.filter((pl.col("strength_q") <= 0.05) & (pl.col("mirror_q") > 0.05))
    if len(strong):
        yield (
            f"In {len(strong):,} of {len(table):,} tests of a locus and axis, correlations are strong without mirror"
            " images: rows or columns lean, each to a sign of its own."
        )


def _against_null(name: str) -> dict:
    return columns(
        **{
            f"{name}_null": f"mean {name} of the maps of its null",
            f"{name}_z": f"distance of the {name} from the mean of its null, in standard deviations of the null",
            f"{name}_p": chance_column(
                f"p-value of the {name}: chance of as large a one in the maps of its null"
            ),
            f"{name}_q": chance_column(
                f"p-value of the {name}, adjusted within the axis (Benjamini-Hochberg)"
            ),
        }
    )


FINDINGS = (
    Finding(
        "copa",
        "Strength, asymmetry and mirror images of the complementary pattern of every locus and axis, with their nulls.",
        pattern_beside,
        {
            **columns(
                vectors="rows or columns that are not constant",
                reference="index of the reference vector",
                left="vectors left of the reference after the rearrangement",
                strength="mean |r| over pairs of vectors that are not constant",
                mirror="share of the pairs of vectors that are not constant with r < 0",
                asymmetry="half the difference of the balances of max only and min only, right and left of the"
                " reference",
            ),
            **_against_null("strength"),
            **_against_null("asymmetry"),
            **_against_null("mirror"),
        },
        Drawing("copa", "maps rearranged to show the complementary pattern (4a-c)", _gallery),
        Section("copa", "The complementary pattern", _blocks, _sentences),
    ),
    Finding(
        "copa_contrasts",
        "Whether the complementary pattern is stronger in one screen than in another, by kind.",
        contrasts,
        columns(
            excess_a="mean strength above the null in the first screen",
            excess_b="mean strength above the null in the second screen",
        ),
        Drawing("copa_strength", "strength of the complementary pattern against its null (4d)", _strength),
    ),
)
