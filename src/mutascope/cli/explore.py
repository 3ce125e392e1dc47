"""``mutascope explore``: the atlas in the browser, or as a static folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutascope.cli import options
from mutascope.core.errors import MutascopeError

if TYPE_CHECKING:
    from mutascope.explorer import Atlas
    from mutascope.explorer.live import Speaker


def explore(
    folders: options.Folders,
    port: Annotated[
        int, typer.Option(help="where to listen; the next free one is taken", min=0, max=65535)
    ] = 8642,
    browser: Annotated[
        bool, typer.Option(" /--no-browser", help="do not open the browser", show_default=False)
    ] = True,
    live: Annotated[
        bool,
        typer.Option("--live", help="load the model of the first screen, to ask its mutants anything"),
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="write the atlas as a static folder instead of serving it")
    ] = None,
    device: options.Device = None,
    allow_pickle: options.AllowPickle = False,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Look at screens in the browser: maps, mutants, phenotypes and findings, on this machine alone."""
    from mutascope.explorer import Atlas, write_site

    if export is not None:
        if live:
            raise MutascopeError("a static folder has no model to ask: give --live or --export")
        write_site(folders, export, tell=typer.echo)
        return
    try:
        from mutascope.explorer.server import serve
    except ImportError as error:
        raise MutascopeError(
            'serving takes two more packages: pip install "mutascope[explorer]"; --export works without them'
        ) from error
    atlas = Atlas(folders, live=live)
    loading = {"device": device, "allow_pickle": allow_pickle, "trust_remote_code": trust_remote_code}
    speaker = _speaker(atlas, loading) if live else None
    serve(atlas, port=port, browser=browser, speaker=speaker, tell=typer.echo)


def _speaker(atlas: Atlas, loading: dict[str, Any]) -> Speaker:
    """Load the model of the first screen."""
    from mutascope.run.live import Live

    results = atlas.screens[0].results
    return Live(results.load_model(**loading), results.manifest.tile)
