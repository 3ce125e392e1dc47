"""Malignant mutants: those that spoil the answers of a choice assay and the text of a text assay."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.choice import (
    MALIGNANT_COSINE,
    MALIGNANT_SCORE,
    malignant_against,
    mutants_by_locus,
    shared_sets,
)
from mutascope.analysis.lines import top_lines
from mutascope.analysis.maps import LocusKey, MapData
from mutascope.core.schema import LOCUS_KEY, MUTANT_KEY
from mutascope.core.words import counted
from mutascope.findings.columns import columns, share
from mutascope.findings.finding import Drawing, Finding, Pictures, need
from mutascope.findings.galleries import flagged, marked, of_loci, top_loci
from mutascope.findings.screens import ScreenSet, once, stack

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette

_MOST_LOCI = 12
_ACROSS = 4
"""Maps of a gallery."""


@once
def malignant_mutants(given: ScreenSet) -> pl.DataFrame:
    """Return the malignant mutants of every choice assay against every text assay."""
    labels = [label for label in given.choice if given.beside(label, given.text)]
    need(labels, "it takes a choice assay and a text assay of the same model")
    return stack(
        labels,
        lambda label: malignant_against(
            given.records[label], {text: given.severe[text] for text in given.beside(label, given.text)}
        ).rename({"assay": "text_assay"}),
    )


@once
def malignant_by_locus(given: ScreenSet) -> pl.DataFrame:
    """Return the number of malignant mutants of every locus."""
    return _of_malignant(given, mutants_by_locus)


@once
def malignant_lines(given: ScreenSet) -> pl.DataFrame:
    """Return the top lines of the malignant mutants."""
    return _of_malignant(given, top_lines)


def _of_malignant(given: ScreenSet, analysis: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
    mutants = malignant_mutants(given)
    parts = []
    for choice in given.choice:
        for text in given.beside(choice, given.text):
            names = (pl.lit(choice).alias("assay"), pl.lit(text).alias("text_assay"))
            found = analysis(mutants.filter(assay=choice, text_assay=text))
            parts.append(found.select(*names, pl.all()))
    return pl.concat(parts)


@once
def malignant_in_both(given: ScreenSet) -> pl.DataFrame:
    """Return how many malignant mutants of one text assay are malignant in another one."""
    mutants = malignant_mutants(given)
    parts = []
    for choice in given.choice:
        texts = given.beside(choice, given.text)
        sets = {text: mutants.filter(assay=choice, text_assay=text) for text in texts}
        low = given.records[choice].filter(~pl.col("silent"), pl.col("score") <= MALIGNANT_SCORE)
        asked = {
            text: low.join(given.records[text].select(MUTANT_KEY), on=MUTANT_KEY, how="semi")
            for text in texts
        }
        for first, second in permutations(texts, 2):
            names = {"assay": choice, "text_a": first, "text_b": second}
            parts.append({**names, **shared_sets(asked[second], sets[first], sets[second])})
    need(parts, "it takes a choice assay and two text assays of the same model")
    return pl.DataFrame(parts, schema_overrides={"share": pl.Float64})


def _texts(given: ScreenSet, palette: Palette) -> Pictures:
    """The loci with most malignant mutants, a column per text assay (Supplementary Figure 5)."""
    mutants = malignant_mutants(given)
    need(len(mutants), "no mutant is malignant")
    for choice in mutants["assay"].unique(maintain_order=True):
        texts = given.beside(choice, given.text)
        loci = top_loci(mutants.filter(assay=choice), _ACROSS)
        records = _with_marks(given, choice, texts, loci)
        rows = []
        for locus in loci:
            told = [
                (
                    f"{text}: {len(mutants.filter(assay=choice, text_assay=text, layer=locus[0], kind=locus[1])):,}",
                    pl.col(f"malignant in {text}"),
                )
                for text in texts
            ]
            rows.append(marked(given, choice, records, locus, told))
        title = f"Malignant mutants of {choice} by text assay, in the loci with most of them"
        yield choice, figures.draw_gallery(rows, title, palette)


def _with_marks(given: ScreenSet, choice: str, texts: list[str], loci: list[LocusKey]) -> pl.DataFrame:
    """Records of some loci in a choice assay that say in which texts a mutant is malignant."""
    records = of_loci(given.records[choice], loci)
    for text in texts:
        named = malignant_mutants(given).filter(assay=choice, text_assay=text)
        records = flagged(records, given.records[text], named, f"malignant in {text}")
    return records


def _gallery(given: ScreenSet, palette: Palette) -> Pictures:
    """Maps of the malignant mutants, loci with most of them first, the models below each other (Figure 5d, e)."""
    mutants = malignant_mutants(given)
    need(len(mutants), "no mutant is malignant")
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for choice, text in mutants.select("assay", "text_assay").unique(maintain_order=True).iter_rows():
        pairs.setdefault((given.counterparts[choice], given.counterparts[text]), []).append((choice, text))
    for (choice, text), alike in pairs.items():
        parts = [mutants.filter(assay=a, text_assay=b) for a, b in alike]
        rows = [
            row for (label, _), part in zip(alike, parts, strict=True) for row in _maps(given, label, part)
        ]
        told = [_counted(given, label, part) for (label, _), part in zip(alike, parts, strict=True)]
        title = f"Malignant mutants of {choice} and {text}: {'; '.join(told)}"
        yield f"{choice}_{text}", figures.draw_gallery(rows, title, palette)


def _counted(given: ScreenSet, label: str, mutants: pl.DataFrame) -> str:
    told = f"{len(mutants):,} in {counted(mutants.select(LOCUS_KEY).n_unique(), 'locus', 'loci')}"
    return told if len(given.by_model(given.labels)) == 1 else f"{given.model_names[label]} {told}"


def _maps(given: ScreenSet, label: str, mutants: pl.DataFrame) -> list[list[MapData]]:
    """Rows of maps of one choice screen."""
    text = mutants["text_assay"][0]
    loci = top_loci(mutants, _MOST_LOCI)
    records = flagged(of_loci(given.records[label], loci), given.records[text], mutants, "malignant")
    counts = {
        (layer, kind): count
        for layer, kind, count in mutants.group_by(LOCUS_KEY, maintain_order=True).len().iter_rows()
    }
    where = f", {given.model_names[label]}" if len(given.by_model(given.labels)) > 1 else ""
    maps = [
        data
        for locus in loci
        for data in marked(
            given, label, records, locus, [(f"{counts[locus]:,} malignant{where}", pl.col("malignant"))]
        )
    ]
    return [maps[start : start + _ACROSS] for start in range(0, len(maps), _ACROSS)]


_PAIR = columns(assay="the choice assay", text_assay="the text assay")

FINDINGS = (
    Finding(
        "malignant",
        f"Mutants with a score of {MALIGNANT_SCORE} or less in a choice assay and a cosine below {MALIGNANT_COSINE} in"
        " a text assay.",
        malignant_mutants,
        _PAIR,
        Drawing("malignant", "malignant mutants (5d, e)", _gallery),
    ),
    Finding(
        "malignant_by_locus",
        "Malignant mutants by locus, most first.",
        malignant_by_locus,
        _PAIR,
    ),
    Finding(
        "malignant_shared",
        "How many malignant mutants of one text assay are malignant in another one, against chance.",
        malignant_in_both,
        columns(
            assay="the choice assay",
            text_a="first text assay",
            text_b="second text assay",
            malignant_a="malignant mutants of the first text assay that the second one screened",
            malignant_b="malignant mutants of the second text assay",
            share=share("both / malignant_a"),
            expected="both, if in every locus those of the second were any mutants that score low and that it screened",
        ),
        Drawing("malignant_texts", "malignant mutants by text assay (Supplementary Figure 5)", _texts),
    ),
    Finding(
        "malignant_lines",
        "Rows and columns by the share of the malignant mutants that they hold, largest first.",
        malignant_lines,
        _PAIR,
    ),
)
