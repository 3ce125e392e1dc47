"""Literary against factual prompts of a panel: what mutants change in form and in quality."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.genres import genre_changes
from mutascope.analysis.quality import measured_outputs
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.screens import ScreenSet, once, stack
from mutascope.findings.writers import PANEL, asked, familiar, measured, of_panel

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette


@once
def by_genre(given: ScreenSet) -> pl.DataFrame:
    """Return what mutants change in literary outputs otherwise than in factual ones."""
    need(given.panels, PANEL)

    def of(label: str) -> pl.DataFrame:
        panel = asked(given, label)
        wild = measured_outputs(panel.select("prompt", "continuation"), familiar(given, label))
        return genre_changes(measured(given, label), wild, of_panel(given, label), panel)

    found = stack(given.panels, of)
    need(len(found), "it takes a panel with literary and factual prompts")
    return found


def _chart(given: ScreenSet, palette: Palette) -> Pictures:
    groups = by_genre(given).group_by("assay", "who", maintain_order=True)
    yield (
        "",
        figures.genres_figure([(f"{label}, {who} words", part) for (label, who), part in groups], palette),
    )


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield what literary and factual outputs of mutants are like, and which change more."""
    by_genre(given)
    yield Prose(
        "Outputs of mutants are compared with those of the wild type prompt by prompt; a difference between genres is"
        " to hold for other mutants and for other prompts."
    )
    yield Figures("writer_genres", "Forms and quality of literary and of factual outputs.")
    yield Rows(
        "writer_genre_changes",
        "Do literary outputs change otherwise than factual ones?",
        "assay who measure units wild_literary literary wild_factual factual change low high p q",
    )


def _sentences(given: ScreenSet) -> Iterator[str]:
    for row in (
        by_genre(given).filter(pl.col("q") <= 0.05, who="rare").sort("p").head(2).iter_rows(named=True)
    ):
        more = "more" if row["change"] > 0 else "less"
        yield (
            f"Mutants with a rare word of {row['assay']} change literary outputs {more} than factual ones in"
            f" {row['measure'].replace('_', ' ')}: by {100 * row['change']:+.1f} points."
        )


FINDINGS = (
    Finding(
        "writer_genre_changes",
        "Whether mutants with rare and with common words change literary outputs otherwise than factual ones, in form"
        " and in quality.",
        by_genre,
        columns(
            who="mutants with rare or with common words",
            measure="what is measured of an output: its form (poem, dialogue, first_person) or quality (coherent,"
            " distinct, familiar)",
            units="loci, or in a single locus its rows or columns",
            wild_literary="of the wild type's literary outputs: share, or mean",
            literary="of the mutants' literary outputs",
            wild_factual="of the wild type's factual outputs",
            factual="of the mutants' factual outputs",
            change="(literary - wild_literary) - (factual - wild_factual)",
            low="lower end of the 95 % interval, for other mutants and other prompts; null with fewer than two units",
            high="upper end of the 95 % interval, for other mutants and other prompts; null with fewer than two units",
        ),
        Drawing("writer_genres", "forms and quality of literary and of factual outputs", _chart),
        Section("writer_genres", "Literary and factual", _blocks, _sentences),
    ),
)
