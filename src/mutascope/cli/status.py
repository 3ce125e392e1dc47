"""``mutascope status``: how far a screen is, and what it found."""

from __future__ import annotations

from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.core.kinds import kind_rank
from mutascope.core.words import counted, duration
from mutascope.run.cards import Plan, card_named
from mutascope.store.pace import pace_of, pace_of_loci
from mutascope.store.reader import ScreenData


def status(
    folder: options.Folder,
    plan: Annotated[
        str | None, typer.Option(help="cards to tell time and cost of what is left for, such as 8xH100")
    ] = None,
) -> None:
    """Show how far a screen is, what the rest takes, its NSM rates with intervals, and its controls."""
    cards = None if plan is None else Plan.parse(plan)
    results = ScreenData(folder)
    console = Console()
    for name, fact in results.summary().items():
        console.print(Text(f"{name:>11}  {fact}"), soft_wrap=True)
    if not results.finished:
        for name, fact in pace_in_words(results, cards).items():
            console.print(Text(f"{name:>11}  {fact}"), soft_wrap=True)
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


def pace_in_words(results: ScreenData, plan: Plan | None = None) -> dict[str, str]:
    """Return how fast an unfinished screen grows, and what the rest takes at this pace: time, cost and memory.

    Args:
        results: the screen.
        plan: cards that are to run the rest.

    Raises:
        MutascopeError: for a plan, where no process runs on a card that is known.
    """
    manifest, folder = results.manifest, results.folder
    unpredicted = (
        len(manifest.loci) - len(folder.predicted_loci()) if manifest.design.type == "adaptive" else 0
    )
    what, plural, shards = ("locus", "loci", "loci") if unpredicted else ("mutant", "mutants", "units")
    pace = pace_of_loci(folder) if unpredicted else pace_of(folder)
    left = unpredicted or results.total - results.done
    card = card_named(pace.usage.card) if pace and pace.usage else None
    if plan and card is None:
        raise MutascopeError(
            f"no process on a card whose figures are known has told its pace in {folder.path}: mutascope genome MODEL"
            f" --plan {plan.cards}x{plan.name} tells what a full screen takes"
        )
    if pace is None:
        return {"pace": f"unknown before two {shards} are stored"}
    at_work = f"{counted(pace.processes, 'process', 'processes')} at work"
    rate = f"{pace.per_second:.2f} {plural}/s over the last {pace.shards} {shards}"
    told = {"pace": f"{rate}, {at_work}, {duration(left / pace.per_second)} left at this pace"}
    hours = left * pace.seconds_each / 3600
    if pace.processes:
        each = f"{1000 * pace.seconds_each:,.1f} ms of a process a {what}, {hours:,.2f} process-hours left"
        told["cost"] = each + (f", {Plan(pace.processes, card).dollars_of(hours)}" if card else "")
    if pace.usage:
        told["memory"] = pace.usage.told
    if plan and card:
        rest = plan.taken(hours * plan.against(card, manifest.model.dtype))
        told["plan"] = f"the rest on {plan.cards} x {plan.name}: {rest}"
    return told


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
