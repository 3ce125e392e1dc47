"""``mutascope genome``: the loci of a model, and what a full screen would take."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mutascope.cli import options
from mutascope.core.genome import Genome, Tiling, auto_tile, coverage
from mutascope.core.kinds import grouped
from mutascope.core.words import counted, duration


def genome(
    model: Annotated[str, typer.Argument(help="alias, folder (config.json is enough) or Hub id")],
    tile: Annotated[str, typer.Option(help="side of a tile, or auto")] = "auto",
    mutations: Annotated[int, typer.Option(help="mutations per site", min=1)] = 2,
    tokens: Annotated[int, typer.Option(help="tokens that each mutant generates", min=1)] = 144,
    plan: Annotated[
        str | None, typer.Option(help="cards to tell time, cost and memory for, such as 8xH100")
    ] = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Print the loci of a model by kind, the number of mutants and the estimated cost of a full screen."""
    from mutascope.model.loading import load_genome
    from mutascope.run.cards import Plan
    from mutascope.run.cost import ScreenCost, measure_machine
    from mutascope.run.spec import check_tile

    cards = None if plan is None else Plan.parse(plan)
    side = None if tile == "auto" else check_tile(tile)
    found, network = load_genome(model, trust_remote_code=bool(trust_remote_code))
    tiling = Tiling(side or auto_tile(found.hidden_size))
    console = Console(soft_wrap=True)
    console.print(
        f"{model}: {type(network).__name__}, hidden size {found.hidden_size}, tile {tiling.tile}",
        markup=False,
    )
    console.print(kind_table(found, tiling))
    covered = sum(locus.rows * locus.cols for locus in found)
    console.print(f"loci: {coverage(covered, found.layer_weights, found.uncovered)}", markup=False)
    for name, shape in found.uncovered:
        console.print(
            f"NOT COVERED: {name} {list(shape)} looks like a matrix, but no rule names its kind", markup=False
        )
    for name, shape in found.embeddings:
        console.print(f"left alone (outside the layers): {name} {list(shape)}", markup=False)
    sites = sum(tiling.sites(locus) for locus in found)
    cost = ScreenCost(sum(p.numel() for p in network.parameters()), sites * mutations, tokens)
    machine = measure_machine()
    console.print(
        f"full screen: {counted(sites, 'site')} x {counted(mutations, 'mutation')}"
        f" = {counted(cost.mutants, 'mutant')}"
    )
    console.print(
        f"a mutant of {tokens} tokens: {cost.flop_per_mutant / 1e9:,.0f} GFLOP; this machine: {machine.gflops:,.0f}"
        f" GFLOP/s and {machine.gbytes:,.0f} GB/s in float32"
    )
    console.print(
        f"estimated cost here: at least {duration(cost.reference_seconds(machine))} on the reference engine (weights"
        f" read once per token), {duration(cost.arithmetic_seconds(machine))} for the arithmetic alone"
    )
    for line in cards.told(cost) if cards else ():
        console.print(line, markup=False)


def kind_table(found: Genome, tiling: Tiling) -> Table:
    """Return loci, shapes, grids and sites by kind, those of experts together."""
    table = Table()
    for name in ("kind", "loci", "shape", "site grid", "sites"):
        table.add_column(name, justify="right")
    for label, kinds in grouped(found.kinds).items():
        loci = [locus for locus in found if locus.kind in kinds]
        shapes = " ".join(dict.fromkeys(f"{locus.rows}x{locus.cols}" for locus in loci))
        grids = " ".join(dict.fromkeys("{}x{}".format(*tiling.grid(locus)) for locus in loci))
        table.add_row(label, str(len(loci)), shapes, grids, f"{sum(tiling.sites(locus) for locus in loci):,}")
    table.add_section()
    table.add_row("all", str(len(found)), "", "", f"{sum(tiling.sites(locus) for locus in found):,}")
    return table
