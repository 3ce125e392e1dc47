"""How evenly NSMs and distinct phenotypes are spread over the layers (the paper's Figure 1e)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import polars as pl

from mutascope.analysis.evenness import evenness_contrasts, layer_evenness
from mutascope.core.schema import LOCUS_KEY
from mutascope.findings.blocks import Block, Prose, Rows
from mutascope.findings.columns import columns
from mutascope.findings.comparison import TWO
from mutascope.findings.finding import Finding, Section, need
from mutascope.findings.rates import nsm_by_locus
from mutascope.findings.screens import ScreenSet, once, stack


@once
def evenness_of_layers(given: ScreenSet) -> pl.DataFrame:
    """Return Gini's coefficient of the layers of every screen and kind, and the test of equal rates."""
    return stack(
        given.maps, lambda label: layer_evenness(_counts(given).filter(assay=label), given.mapped(label))
    )


@once
def contrasts_of_evenness(given: ScreenSet) -> pl.DataFrame:
    """Return the contrasts of screens of one model, and of one assay in two models."""
    need(len(given.maps) > 1, TWO)
    pairs = [
        pair for pair in combinations(given.maps, 2) if _same_model(given, *pair) or _same_assay(given, *pair)
    ]
    need(pairs, "no two screens are of one model, or of one assay")
    return evenness_contrasts(_counts(given), pairs, [pair for pair in pairs if _same_model(given, *pair)])


def _same_model(given: ScreenSet, a: str, b: str) -> bool:
    return given.model(a) == given.model(b)


def _same_assay(given: ScreenSet, a: str, b: str) -> bool:
    first, second = (given.results[label].manifest.assay for label in (a, b))
    return (first.name, first.type) == (second.name, second.type)


def _counts(given: ScreenSet) -> pl.DataFrame:
    """NSMs of every locus, scaled up to its sites where they were sampled, and phenotypes where all were run."""
    sizes = stack(given.maps, lambda label: given.loci[label].select(*LOCUS_KEY, "region_sites"))
    counts = nsm_by_locus(given).join(sizes, on=["assay", *LOCUS_KEY], how="left", maintain_order="left")
    scaled = pl.col("nsm") * pl.coalesce("region_sites", "sites") / pl.col("sites")
    whole = ~pl.col("assay").is_in(given.predicted) & (
        pl.coalesce("region_sites", "sites") == pl.col("sites")
    )
    return counts.select("assay", *LOCUS_KEY, nsm=scaled, phenotypes=pl.when(whole).then("phenotypes"))


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield how unevenly layers are hit, and which screens differ in it."""
    evenness_of_layers(given)
    yield Prose(
        "Gini's coefficient of the layers of a kind: 0 where all layers have as many, 1 where one layer has all. Its"
        " interval takes layers for units; p is of all layers having one rate."
    )
    yield Rows(
        "layer_evenness",
        "How unevenly NSMs and phenotypes are spread over the layers",
        "assay kind value layers total gini low high p q",
        choose=lambda frame: frame.filter(pl.col("gini").is_not_null()).sort(
            "gini", descending=True, maintain_order=True
        ),
    )
    yield Rows(
        "evenness_contrasts",
        "Unevenness of one screen against another",
        "assay_a assay_b kind value layers gini_a gini_b p q",
        choose=lambda frame: frame.sort("p", maintain_order=True),
    )


_VALUE = columns(value="what is counted in a layer: nsm, or phenotypes (distinct outputs)")

FINDINGS = (
    Finding(
        "layer_evenness",
        "How unevenly the NSMs, and the distinct phenotypes, of every kind are spread over the layers: Gini's"
        " coefficient with its 95 % interval (layers are units), and a test of equal rates.",
        evenness_of_layers,
        _VALUE
        | columns(
            total="NSMs of all layers, an estimate in a sample; phenotypes added up over the layers",
            gini="Gini's coefficient of the layers: 0 all equal, 1 one has all; null where undefined",
            low="lower end of its 95 % interval; null below three layers",
            high="upper end of its 95 % interval; null below three layers",
        ),
        section=Section("evenness", "How evenly layers are hit", _blocks),
    ),
    Finding(
        "evenness_contrasts",
        "Whether one screen is spread more evenly over the layers than another: of one model, or of one assay in two.",
        contrasts_of_evenness,
        _VALUE
        | columns(
            layers="number of layers of the first screen",
            gini_a="Gini's coefficient of the first screen",
            gini_b="Gini's coefficient of the second screen",
        ),
    ),
)
