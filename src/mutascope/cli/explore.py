"""``mutascope explore``: the atlas in the browser, or as a static folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.core.errors import MutascopeError


def explore(
    folders: options.Folders,
    port: Annotated[
        int, typer.Option(help="where to listen; the next free one is taken", min=0, max=65535)
    ] = 8642,
    browser: Annotated[
        bool, typer.Option(" /--no-browser", help="do not open the browser", show_default=False)
    ] = True,
    export: Annotated[
        Path | None, typer.Option(help="write the atlas as a static folder instead of serving it")
    ] = None,
) -> None:
    """Look at screens in the browser: maps, mutants, phenotypes and findings, on this machine alone."""
    from mutascope.explorer import Atlas, write_site

    if export is not None:
        write_site(folders, export, tell=typer.echo)
        return
    try:
        from mutascope.explorer.server import serve
    except ImportError as error:
        raise MutascopeError(
            'serving takes two more packages: pip install "mutascope[explorer]"; --export works without them'
        ) from error
    serve(Atlas(folders), port=port, browser=browser, tell=typer.echo)
