"""``mutascope predict``: predict every mutant, calibrate with exact calls, run the uncertain ones."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from mutascope.core.design import Design, parse_indices
from mutascope.core.errors import MutascopeError
from mutascope.core.yamlfile import validate


def predict(
    out: Annotated[str, typer.Option(help="folder, new or of a screen of the same model, assay and tile")],
    model: Annotated[str, typer.Option(help="alias, folder or Hub id")] = "smollm2-135m",
    assay: Annotated[str, typer.Option(help="preset or YAML file")] = "drosophila",
    layers: Annotated[str | None, typer.Option(help="such as 0,15 or 0-5")] = None,
    kinds: Annotated[str | None, typer.Option(help="such as v,down")] = None,
    tile: Annotated[str, typer.Option(help="side of a tile, or auto")] = "auto",
    mutations: Annotated[str, typer.Option(help="of max, min, zero")] = "max,min,zero",
    sample: Annotated[
        int | None, typer.Option(help="sites run exactly, to calibrate; default two per locus, 0: none")
    ] = None,
    sample_seed: Annotated[int, typer.Option(help="seed of the draw")] = 0,
    error: Annotated[
        float | None, typer.Option(help="run mutants until the expected share of wrong calls is below this")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="run mutants for at most this long, such as 90s, 10m or 2h")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="replaces the assay's seed")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="replaces the assay's length, prompt included")
    ] = None,
    questions: Annotated[
        str | None, typer.Option(help="of a choice assay: folder, CSV, JSONL, Hub dataset or general")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="of the questions, such as astronomy")] = None,
    shots: Annotated[int | None, typer.Option(help="solved examples before each question; default 5")] = None,
    right: Annotated[int | None, typer.Option(help="questions the wild type gets right; default 14")] = None,
    wrong: Annotated[int | None, typer.Option(help="questions the wild type gets wrong; default 7")] = None,
    engine: Annotated[str, typer.Option(help="of the exact runs: fast or reference")] = "fast",
    batch: Annotated[
        int | None, typer.Option(help="mutants run at a time; default what memory holds")
    ] = None,
    dtype: Annotated[str, typer.Option(help="of the weights")] = "float32",
) -> None:
    """Predict every mutant of whole loci from gradients, with a measured error; go on where a run stopped."""
    from mutascope.assays import ChoiceAssay, TextAssay, load_assay
    from mutascope.core.genome import check_name
    from mutascope.core.operators import check_mutations
    from mutascope.engine import ENGINES
    from mutascope.predict.fills import fills_of
    from mutascope.run.predicted import Atlas
    from mutascope.run.screen import check_tile
    from mutascope.store import ScreenFolder

    seconds = None if budget is None else parse_duration(budget)
    if error is not None and not 0 <= error < 1:
        raise MutascopeError(f"--error is a share between 0 and 1, not {error}")
    if sample is not None and sample < 0:
        raise MutascopeError(f"--sample is a number of sites, not {sample}")
    names = tuple(name.strip() for name in mutations.split(",") if name.strip())
    check_mutations(list(names))
    fills_of(names, 0, 0)
    check_tile(tile)
    check_name("engine", engine, list(ENGINES))
    changes: dict[str, Any] = {
        "seed": seed,
        "max_length": max_length,
        "questions": questions,
        "subject": subject,
        "shots": shots,
        "right": right,
        "wrong": wrong,
    }
    loaded = load_assay(assay, **{key: value for key, value in changes.items() if value is not None})
    if not isinstance(loaded, TextAssay | ChoiceAssay):
        raise MutascopeError(
            f"assay {loaded.name!r} is a panel: predict a text assay of one of its prompts, or a choice assay"
        )
    if not ScreenFolder(out).exists():
        ScreenFolder(out).check_free()
    fields = {
        "layers": parse_indices(layers),
        "kinds": None if kinds is None else tuple(kind.strip() for kind in kinds.split(",")),
        "mutations": names,
        "sample_seed": sample_seed,
    }
    design = validate(Design, fields, where="design")
    atlas = Atlas(model, loaded, design, tile=tile, engine=engine, batch=batch, dtype=dtype, sample=sample)
    try:
        results = atlas.run(out, error=error, budget=seconds)
    except KeyboardInterrupt:
        typer.echo(
            f"stopped: what was finished is stored in {out}; run the same command again to go on", err=True
        )
        raise typer.Exit(130) from None
    for name, fact in results.summary().items():
        typer.echo(f"{name:>11}  {fact}")
    typer.echo(f"look at it: mutascope map {out} --out sheet.png")


def parse_duration(text: str) -> float:
    """Return the seconds of ``90s``, ``10m``, ``2h`` or a plain number of seconds.

    Raises:
        MutascopeError: when the text has another form.

    >>> parse_duration("10m")
    600.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h|)", text.strip())
    if match is None:
        raise MutascopeError(f"{text!r} is no duration: write 90s, 10m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
