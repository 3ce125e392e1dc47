"""The complementary pattern of one locus in two screens, rearranged (Figure 4d), and the asymmetry of kinds (4c)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.asymmetry import asymmetry_by_kind
from mutascope.analysis.maps import LocusKey, MapData
from mutascope.core.kinds import KINDS, kind_rank
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Figures, Rows
from mutascope.findings.columns import columns, share
from mutascope.findings.comparison import need_pairs
from mutascope.findings.copa import moved, pattern
from mutascope.findings.finding import Drawing, Finding, Pictures, Section
from mutascope.findings.screens import ScreenSet, once
from mutascope.findings.words import chance

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_KINDS = 4
"""Loci of a picture, one of each kind."""


@once
def asymmetry_of_kinds(given: ScreenSet) -> pl.DataFrame:
    """Return the test of every kind, in every screen and along both axes."""
    return asymmetry_by_kind(pattern(given))


def _pairs(given: ScreenSet, palette: Palette) -> Pictures:
    """Of every two screens, the locus of every kind whose pattern differs most in strength, as it is and in order."""
    need_pairs(given)
    for a, b in given.pairs:
        rows = [_row(given, locus, (a, b)) for locus in _differing(given, a, b)[:_KINDS]]
        if rows:
            title = f"COPA of {a} and {b}, where its strength differs most (marked: reference vector)"
            yield f"{a}_{b}", figures.draw_gallery(rows, title, palette)


def _differing(given: ScreenSet, a: str, b: str) -> list[LocusKey]:
    """The locus of every kind with the largest difference of strength above its null, MLP kinds first."""
    along = pl.when(pl.col("kind").is_in(_transposed())).then(pl.lit("row")).otherwise(pl.lit("col"))
    known = pattern(given).filter(pl.col("strength_null").is_not_null(), pl.col("axis") == along)
    excess = known.select("assay", *LOCUS_KEY, excess=pl.col("strength") - pl.col("strength_null"))
    both = excess.filter(assay=a).join(
        excess.filter(assay=b), on=LOCUS_KEY, suffix="_b", maintain_order="left"
    )
    ranked = both.sort((pl.col("excess") - pl.col("excess_b")).abs(), descending=True, maintain_order=True)
    loci: list[LocusKey] = ranked.unique("kind", keep="first", maintain_order=True).select(LOCUS_KEY).rows()
    return sorted(loci, key=lambda locus: kind_rank(locus[1]), reverse=True)


def _transposed() -> list[str]:
    return [name for name, kind in KINDS.items() if kind.transposed]


def _row(given: ScreenSet, locus: LocusKey, labels: tuple[str, str]) -> list[MapData]:
    """A locus of two screens, each as it is and with the vectors in order that lie across in its picture."""
    maps = []
    for label in labels:
        data = given.locus_maps(label)[locus]
        axis = "row" if data.transposed else "col"
        maps += [replace(data, title=f"{data.name} {label}"), moved(data, axis)]
    return maps


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield the asymmetry of kinds, and loci of two screens side by side."""
    yield Rows(
        "asymmetry_by_kind",
        "Kinds whose rearranged maps are more, or less, asymmetric than those of other kinds",
        "assay axis kind layers asymmetry other_kinds above p q",
        choose=lambda frame: frame.sort("p", maintain_order=True),
        empty="no layer has two kinds",
    )
    if given.pairs:
        yield Figures("copa_pairs", "The same locus of two screens, as it is and rearranged.")


def _sentences(given: ScreenSet) -> Iterator[str]:
    found = asymmetry_of_kinds(given).filter(pl.col("q") <= 0.05).sort("p", maintain_order=True)
    for row in found.head(1).iter_rows(named=True):
        more = "more" if row["above"] > 0.5 else "less"
        axis = {"row": "row", "col": "column"}[row["axis"]]
        yield (
            f"Rearranged by {axis}, maps of {row['kind']} are {more} asymmetric than those of the other kinds of their"
            f" layers ({row['assay']}, q = {chance(row['q'])})."
        )


FINDINGS = (
    Finding(
        "asymmetry_by_kind",
        "Whether the rearranged maps of a kind are more asymmetric than those of the other kinds of their layers.",
        asymmetry_of_kinds,
        columns(
            layers="layers with the kind and another one",
            asymmetry="mean asymmetry of the kind",
            other_kinds="mean asymmetry of the other kinds of these layers",
            above=share("mean share of the other kinds with a larger p of the asymmetry; 50 % by chance"),
        ),
        Drawing("copa_pairs", "the same locus of two screens, as it is and rearranged (4d)", _pairs),
        Section("copa_pairs", "The complementary pattern over kinds and screens", _blocks, _sentences),
    ),
)
