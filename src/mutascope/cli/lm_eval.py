"""``mutascope lm-eval``: scores of mutants in tasks of lm-evaluation-harness."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.core.genome import Mutant
from mutascope.core.words import counted
from mutascope.store.reader import ScreenData


def lm_eval(
    folder: options.Folder,
    tasks: Annotated[str, typer.Argument(help="names of tasks, separated by commas")],
    mutants: Annotated[
        str | None, typer.Option(help="such as '15.down:3,7:max 20.v:0,1:min', or a CSV or Parquet list")
    ] = None,
    include: Annotated[str | None, typer.Option(help="folder with task files of your own")] = None,
    limit: Annotated[int | None, typer.Option(help="documents per task; default all", min=1)] = None,
    shots: Annotated[
        int | None, typer.Option(help="solved examples; default as the task says", min=0)
    ] = None,
    batch: Annotated[int, typer.Option(help="requests at a time", min=1)] = 8,
    out: Annotated[Path, typer.Option(help="CSV file to write")] = Path("scores.csv"),
    device: options.Device = None,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Score the wild type and mutants in any task of lm-evaluation-harness (extra lm-eval)."""
    from mutascope.core.design import read_mutants
    from mutascope.interop.lm_eval import score_mutants
    from mutascope.run.screen import Screen

    named = [task.strip() for task in tasks.split(",") if task.strip()]
    if not named:
        raise MutascopeError(f"the tasks {tasks!r} name none")
    _check_writable(out)
    listed: list[Mutant] = []
    if mutants is not None:
        path = Path(mutants)
        is_file = path.suffix in (".csv", ".parquet")
        listed = read_mutants(path) if is_file else [Mutant.parse(name) for name in mutants.split()]
    loading = {"device": device, "allow_pickle": allow_pickle, "trust_remote_code": trust_remote_code}
    scores = score_mutants(
        Screen.reopen(ScreenData(folder), **loading),
        named,
        listed,
        include=include,
        limit=limit,
        shots=shots,
        batch=batch,
    )
    try:
        scores.write_csv(out)
    except OSError as error:
        raise MutascopeError(f"{out} cannot be written: {error.strerror}") from error
    typer.echo(f"{out}: {counted(len(listed), 'mutant')} and the wild type, {counted(len(scores), 'score')}")


def _check_writable(out: Path) -> None:
    """Raise MutascopeError when a file cannot be written: before the hours that its content takes."""
    if out.is_dir() or not os.access(out if out.exists() else out.parent, os.W_OK):
        raise MutascopeError(f"{out} cannot be written: it must be a file in a folder that is writable")
