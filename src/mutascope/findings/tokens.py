"""Fragile tokens against each other: is the map of one word that of another?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from mutascope import figures
from mutascope.analysis.enrichment import FDR
from mutascope.analysis.maps import by_token
from mutascope.analysis.tokens import lines_across_tokens
from mutascope.analysis.tokens import token_states as states_of
from mutascope.findings.blocks import Block, Figures, Prose, Rows
from mutascope.findings.columns import columns
from mutascope.findings.finding import Drawing, Finding, Pictures, Section, need
from mutascope.findings.fragile import with_divergence
from mutascope.findings.screens import ScreenSet, once, stack

if TYPE_CHECKING:
    from mutascope.figures.palette import Palette


@once
def token_states(given: ScreenSet) -> pl.DataFrame:
    """Return the states of sites: where max leaves, and where min does."""
    return stack(with_divergence(given), lambda label: states_of(given.mapped(label)))


@once
def across_tokens(given: ScreenSet) -> pl.DataFrame:
    """Return whether fragile tokens share rows and columns."""
    found = stack(with_divergence(given), lambda label: lines_across_tokens(given.mapped(label)))
    need(len(found), "it takes two fragile tokens at which NSMs of one locus leave")
    return found


def _maps(given: ScreenSet, palette: Palette) -> Pictures:
    for label in with_divergence(given):
        pieces = given.results[label].manifest.wild_type[0].pieces or []
        maps = by_token(list(given.locus_maps(label).values()), given.maps[label], pieces)
        yield label, figures.draw_sheet(maps, palette)


def _blocks(given: ScreenSet) -> Iterator[Block]:
    """Yield the maps by token, and what tokens have in common."""
    across_tokens(given)
    yield Prose(
        "If rows and columns belong to the matrix, NSMs that leave at one word lie on the lines of those that leave at"
        " another one: r is above 0. Where r is about 0, each word has lines of its own."
    )
    yield Figures(
        "token_maps", "Maps by the token that the NSMs of a site leave at, the earlier of max and min."
    )
    yield Rows(
        "across_tokens", "Lines of two fragile tokens", "assay token later axis loci lines r p q", rows=24
    )
    yield Rows(
        "token_states", "Sites by where max and min leave", "assay max_at min_at sites expected fold", rows=24
    )


def _sentences(given: ScreenSet) -> Iterator[str]:
    pairs = across_tokens(given)
    for label in pairs["assay"].unique(maintain_order=True):
        told = []
        for axis, word in (("row", "rows"), ("col", "columns")):
            own = pairs.filter(assay=label, axis=axis)
            shared = len(own.filter((pl.col("q") <= FDR) & (pl.col("r") > 0)))
            told += [f"{shared} of {len(own)} in {word}"] if len(own) else []
        yield f"Words and lines: pairs of fragile tokens of {label} that share lines are {' and '.join(told)}."


FINDINGS = (
    Finding(
        "across_tokens",
        "Whether NSMs that leave at one fragile token lie on the rows and columns of those that leave at another one.",
        across_tokens,
        columns(
            token="index of the earlier token in the continuation, from 0",
            later="index of the later token",
            loci="loci in which the rates at both tokens differ between lines",
            lines="lines of these",
            r="correlation over lines of the rates at which mutants leave at the two tokens, the mean over loci",
        ),
        Drawing("token_maps", "maps of all loci by the token that NSMs leave at", _maps),
        Section("tokens", "Is the map of one word that of another", _blocks, _sentences),
    ),
    Finding(
        "token_states",
        "Sites by the tokens that max and min leave at first.",
        token_states,
        columns(
            max_at="token at which max leaves: the index of a fragile one, another, or silent",
            min_at="the same of min",
            expected="sites, were max and min independent within every locus",
            fold="sites / expected",
        ),
    ),
)
