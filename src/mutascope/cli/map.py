"""``mutascope map``: the NSM map of a locus, or a sheet of all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mutascope.cli import options
from mutascope.core.errors import MutascopeError
from mutascope.figures import draw_map as picture
from mutascope.figures import draw_sheet, palette_named, save_figure
from mutascope.store.reader import ScreenData


def draw_map(
    folder: options.Folder,
    out: Annotated[Path, typer.Option(help="picture to write: .png, .pdf or .svg")],
    layer: Annotated[int | None, typer.Option(help="layer of the locus")] = None,
    kind: Annotated[str | None, typer.Option(help="kind of the locus")] = None,
    palette: options.Palette = "paper",
    tokens: Annotated[
        bool,
        typer.Option(
            "--tokens", help="colour sites by the token that their NSMs leave the wild type's text at"
        ),
    ] = False,
    silence: Annotated[
        bool,
        typer.Option("--silence", help="colour sites by the chance that they are silent, whatever the noise"),
    ] = False,
) -> None:
    """Draw the NSM map of a locus (--layer and --kind), or a sheet of all screened loci (neither)."""
    if (layer is None) != (kind is None):
        raise MutascopeError("give both --layer and --kind for a locus, or neither for a sheet of all loci")
    colours = palette_named(palette)
    results = ScreenData(folder)
    if layer is None or kind is None:
        figure = draw_sheet(results.maps(tokens=tokens, silence=silence), colours)
    else:
        figure = picture(results.map(layer, kind, tokens=tokens, silence=silence), colours)
    save_figure(figure, out)
    typer.echo(str(out))
