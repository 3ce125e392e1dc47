"""``mutascope status``: how far a screen is, and what it found."""

from __future__ import annotations

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mutascope.cli import options
from mutascope.core.kinds import kind_rank
from mutascope.core.words import counted, duration
from mutascope.store.pace import pace_of
from mutascope.store.reader import ScreenData


def status(folder: options.Folder) -> None:
    """Show how far a screen is, its NSM rates with intervals, and its controls."""
    results = ScreenData(folder)
    console = Console()
    for name, fact in results.summary().items():
        console.print(Text(f"{name:>11}  {fact}"), soft_wrap=True)
    if not results.finished:
        console.print(Text(f"{'pace':>11}  {pace_in_words(results)}"), soft_wrap=True)
    if controls := results.manifest.controls:
        console.print(Text(f"   controls  {controls.told}"), soft_wrap=True)
    if results.done == 0:
        return
    rates = results.rates("kind")
    rates = rates[sorted(range(len(rates)), key=lambda i: kind_rank(rates["kind"][i]))]
    console.print(rates_table("NSM rate by kind", rates.rename({"kind": "group"})))
    console.print(
        rates_table("NSM rate by mutation", results.rates("mutation").rename({"mutation": "group"}))
    )
    console.print(rates_table("NSM rate by layer", results.rates("layer").rename({"layer": "group"})))
    console.print(rates_table("NSM rate", results.rates().with_columns(group=pl.lit("all loci"))))


def pace_in_words(results: ScreenData) -> str:
    """Return how fast an unfinished screen grows, and how long it takes at this pace."""
    pace = pace_of(results.folder)
    if pace is None:
        return "unknown before two units are stored"
    left = duration((results.total - results.done) / pace.mutants_per_second)
    at_work = f"{counted(pace.processes, 'process', 'processes')} at work"
    rate = f"{pace.mutants_per_second:.2f} mutants/s over the last {pace.units} units"
    return f"{rate}, {at_work}, {left} left at this pace"


def rates_table(title: str, rates: pl.DataFrame) -> Table:
    """Return a table of rates with the columns of :func:`mutascope.analysis.rates.nsm_rates` and ``group``."""
    table = Table(title=title, title_justify="left")
    for name in ("", "loci", "sites", "mutants", "NSMs", "rate %", "95 % interval"):
        table.add_column(name, justify="right")
    for row in rates.iter_rows(named=True):
        interval = "no sample" if row["low"] is None else f"{100 * row['low']:.1f} - {100 * row['high']:.1f}"
        counts = [f"{row[name]:,}" for name in ("loci", "sites", "mutants", "nsm")]
        table.add_row(Text(str(row["group"])), *counts, f"{100 * row['rate']:.1f}", interval)
    return table
