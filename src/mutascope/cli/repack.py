"""``mutascope compact`` and ``mutascope merge``: the same records in another folder."""

from __future__ import annotations

from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.core.words import counted
from mutascope.store import ScreenFolder, repack

Target = Annotated[str, typer.Option(help="folder to write, new or begun by the same command")]


def compact(
    folder: options.Folder,
    out: Target,
    size: Annotated[
        int | None,
        typer.Option(help="mutants of a unit, a multiple of what it is; default about 20,000", min=1),
    ] = None,
) -> None:
    """Write a screen into another folder in fewer, larger files; the old folder stays as it is."""
    source, target = ScreenFolder(folder), ScreenFolder(out)
    _check(source)
    repack.compact(source, target, size)
    _check(target)
    units = len(target.finished_units())
    typer.echo(
        f"{out} holds {folder} in {counted(units, 'unit')} instead of {len(source.finished_units()):,}"
    )


def merge(folders: options.Folders, out: Target) -> None:
    """Join parts of one screen, run into folders of their own, in another folder; refuse parts of others."""
    parts, target = [ScreenFolder(folder) for folder in folders], ScreenFolder(out)
    for part in parts:
        _check(part)
    missing = repack.merge(parts, target)
    _check(target)
    left = f"all but {counted(missing, 'unit')}" if missing else "all units"
    predicted = len(target.predicted_loci())
    told = f" and predictions of {counted(predicted, 'locus', 'loci')}" if predicted else ""
    typer.echo(f"{out} holds {left}{told}: run the command of its parts with --out {out} to finish it")


def _check(folder: ScreenFolder) -> None:
    from mutascope.run.verify import verify

    faults = verify(folder)
    if faults:
        raise MutascopeError(
            f"{folder.path} is not whole ({faults[0]}): run mutascope repair {folder.path}, then the command that made"
            " it"
        )
