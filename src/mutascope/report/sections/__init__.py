"""The sections of a report, in order. Each is a function from a source to blocks, in a module of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mutascope.report.blocks import Block
from mutascope.report.sections import (
    bias,
    brief,
    choice,
    comparison,
    controls,
    copa,
    covariates,
    lines,
    maps,
    predictions,
    rates,
    screened,
    severity,
    strangest,
    tables,
    writers,
)
from mutascope.report.source import Source


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        name: of its anchor.
        title: its heading.
        blocks: makes it; raises NotHere where these screens have nothing to say on the matter.
    """

    name: str
    title: str
    blocks: Callable[[Source], Iterator[Block]]


SECTIONS = (
    Section("brief", "In brief", brief.blocks),
    Section("screened", "What was screened, and how", screened.blocks),
    Section("controls", "Controls", controls.blocks),
    Section("rates", "Non-silent mutations", rates.blocks),
    Section("predictions", "Predictions", predictions.blocks),
    Section("maps", "Maps", maps.blocks),
    Section("comparison", "Screens compared", comparison.blocks),
    Section("bias", "Bias towards max or min", bias.blocks),
    Section("lines", "Sensitive rows and columns", lines.blocks),
    Section("covariates", "What explains the maps", covariates.blocks),
    Section("copa", "The complementary pattern", copa.blocks),
    Section("severity", "How severe the changes are", severity.blocks),
    Section("strangest", "The strangest phenotypes", strangest.blocks),
    Section("choice", "Answers to questions", choice.blocks),
    Section("writers", "Writers", writers.blocks),
    Section("tables", "All tables", tables.blocks),
)
