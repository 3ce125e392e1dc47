"""``mutascope panel``: mutants of a screen on many prompts, stored with the screen."""

from __future__ import annotations

from typing import Annotated, Any

import polars as pl
import typer

from mutascope.analysis.selection import PAPER, parse_selection, select_mutants
from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.manifest import Manifest
from mutascope.core.schema import MUTANT_KEY
from mutascope.core.words import counted
from mutascope.store.reader import ScreenData


def panel(
    folder: options.Folder,
    select: Annotated[str, typer.Option(help="which mutants of the screen")] = PAPER,
    prompts: Annotated[
        str, typer.Option(help="text file with a prompt per line, or writers (built in)")
    ] = "writers",
    out: Annotated[str | None, typer.Option(help="folder; default DIR/panel")] = None,
    seed: Annotated[int, typer.Option(help="before every prompt")] = 0,
    max_length: Annotated[int, typer.Option(help="tokens, prompt included")] = 150,
    temperature: Annotated[float, typer.Option(help="of the sampling")] = 0.7,
    engine: options.Engine = None,
    batch: options.Batch = None,
    measure: options.Measure = None,
    device: options.Device = None,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Run mutants of a screen on a panel of prompts; on a panel that is unfinished, finish it."""
    from mutascope.assays import PanelAssay, load_assay
    from mutascope.cli.stopping import resumable
    from mutascope.core.design import Design
    from mutascope.core.yamlfile import validate
    from mutascope.run.screen import Screen

    fields: dict[str, Any] = {
        "prompts": prompts,
        "seed": seed,
        "max_length": max_length,
        "temperature": temperature,
    }
    selection, screened = parse_selection(select), ScreenData(folder)
    assay = validate(PanelAssay, {**load_assay("writers").model_dump(), **fields}, where="panel")
    chosen = select_mutants(screened.records(), selection)
    if chosen.is_empty():
        raise MutascopeError(f"{folder} has no NSM to put on a panel (yet)")
    loading = {"device": device, "allow_pickle": allow_pickle, "trust_remote_code": trust_remote_code}
    model = screened.load_model(**loading)
    mutants = tuple(Mutant(*row) for row in chosen.select(MUTANT_KEY).iter_rows())
    stock = screened.manifest.numerics is not None and screened.manifest.numerics.stock
    job = Screen(
        model,
        assay,
        Design(mutants=mutants),
        tile=screened.manifest.tile,
        engine=engine or "fast",
        batch=batch,
        measure=bool(measure),
        numerics="stock" if stock else "own",
    )
    with resumable(job):
        done = job.run(out or f"{folder.rstrip('/')}/panel")
    prompts_told = counted(len(job.resolved.prompts), "prompt")
    typer.echo(f"{job.home.path}: {counted(done.total, 'mutant')} on {prompts_told}")
    typer.echo(compare_with_screen(job.results, screened))


def compare_with_screen(panel: ScreenData, screened: ScreenData) -> str:
    """Return in words whether a prompt that the screen asked in the same way got the same outputs on the panel.

    Raises:
        MutascopeError: when an output differs.
    """
    asked = screened.manifest.prompts
    place = next(
        (
            index
            for index, prompt in enumerate(panel.manifest.prompts)
            if len(asked) == 1
            and screened.manifest.assay.type != "panel"
            and prompt.tokens == asked[0].tokens
        ),
        None,
    )
    if place is None or not _same_sampling(panel.manifest, screened.manifest):
        return "the screen did not ask a prompt of the panel in the same way: no outputs to compare"
    mine = panel.outputs().filter(prompt=place).select(*MUTANT_KEY, "phenotype")
    theirs = screened.records().select(*MUTANT_KEY, pl.col("phenotype").alias("screened"))
    both = mine.join(theirs, on=MUTANT_KEY, how="inner")
    differing = both.filter(pl.col("phenotype") != pl.col("screened"))
    if len(differing):
        first = Mutant(*differing.select(MUTANT_KEY).row(0))
        raise MutascopeError(
            f"{len(differing)} of {len(both)} outputs on prompt {place} differ from the screen's, {first} for one:"
            " do not trust them, run both with --engine reference and report it"
        )
    return f"checked: all {len(both)} outputs on the screen's own prompt equal the screen's"


def _same_sampling(panel: Manifest, screened: Manifest) -> bool:
    """Whether numerics, seed and sampling fields are the same; lengths are compared by what counts the prompt."""
    fields = [
        {
            "numerics": manifest.numerics,
            **manifest.generation,
            "max_new_tokens": None,
            "seed": manifest.assay.seed,
        }
        for manifest in (panel, screened)
    ]
    return fields[0] == fields[1]
