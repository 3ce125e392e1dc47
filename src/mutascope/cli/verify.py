"""``mutascope verify`` and ``mutascope repair``: is a folder what it says, and make it so."""

from __future__ import annotations

from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.core.words import counted


def verify(
    folder: options.Folder,
    replay: Annotated[
        int, typer.Option(help="calls to run again on the reference engine; needs the model", min=0)
    ] = 0,
    device: options.Device = None,
    allow_pickle: options.AllowPickle = None,
    trust_remote_code: options.TrustRemoteCode = None,
) -> None:
    """Check every shard of a screen: present, readable, unchanged, and of the mutants of the design."""
    told = options.given(locals())
    loading = {name: told[name] for name in ("device", "allow_pickle", "trust_remote_code") if name in told}

    from mutascope.run import verify as checks
    from mutascope.store import ScreenFolder
    from mutascope.store.reader import ScreenData

    faults = checks.verify(ScreenFolder(folder))
    for fault in faults:
        typer.echo(str(fault))
    if faults:
        raise MutascopeError(
            f"{counted(len(faults), 'part')} of {folder} cannot be trusted: run mutascope repair {folder}, then the"
            " command that made it"
        )
    data = ScreenData(folder)
    wrong = checks.replay(data, replay, **loading) if replay and data.done else []
    if wrong:
        raise MutascopeError(f"{folder} is whole, but does not come out again: {', '.join(wrong)}")
    again = f", {counted(min(replay, data.done), 'call')} replayed" if replay else ""
    typer.echo(f"{folder} is whole: {data.done:,} of {counted(data.total, 'mutant')}{again}")


def repair(folder: options.Folder) -> None:
    """Delete what verify names, so that the command that made the folder runs it again."""
    from mutascope.run import verify as checks
    from mutascope.store import ScreenFolder

    store = ScreenFolder(folder)
    faults = checks.verify(store)
    checks.repair(store, faults)
    for fault in faults:
        typer.echo(f"deleted {fault}")
    typer.echo(f"{counted(len(faults), 'part')} of {folder} to be made again by the command that made it")
