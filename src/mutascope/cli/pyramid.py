"""``mutascope pyramid``: what the atlas shows, written into the folder of a screen."""

from __future__ import annotations

import typer

from mutascope.cli import options


def pyramid(folders: options.Folders) -> None:
    """Write maps at every resolution and an index of all outputs into screens, so that `explore` opens them at once."""
    from mutascope.explorer.prepared import prepare

    for folder in folders:
        written = prepare(folder)
        typer.echo(
            f"{folder}: {'written' if written else 'nothing to do'}; look at it: mutascope explore {folder}"
        )
