"""Entry point of the ``mutascope`` command."""

from __future__ import annotations

import os
import signal
import sys
from functools import cache
from typing import Annotated, Any

import typer

from mutascope import __version__
from mutascope.cli.analyze import analyze
from mutascope.cli.explore import explore
from mutascope.cli.export import export
from mutascope.cli.figures import figures
from mutascope.cli.genome import genome
from mutascope.cli.import_authors import import_authors
from mutascope.cli.lm_eval import lm_eval
from mutascope.cli.map import draw_map
from mutascope.cli.models import models
from mutascope.cli.panel import panel
from mutascope.cli.predict import predict
from mutascope.cli.pyramid import pyramid
from mutascope.cli.repack import compact, merge
from mutascope.cli.report import report
from mutascope.cli.screen import screen
from mutascope.cli.show import show
from mutascope.cli.status import status
from mutascope.cli.verify import repair, verify
from mutascope.core import stopping
from mutascope.core.errors import MutascopeError


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mutascope {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="mutascope",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="say which version this is", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """Map what the parameters of a language model do, by mutating them."""


app.command()(screen)
app.command()(predict)
app.command()(status)
app.command()(verify)
app.command()(repair)
app.command()(compact)
app.command()(merge)
app.command()(export)
app.command("import-authors")(import_authors)
app.command()(genome)
app.command()(analyze)
app.command()(figures)
app.command()(report)
app.command()(explore)
app.command()(pyramid)
app.command("map")(draw_map)
app.command()(show)
app.command()(panel)
app.command("lm-eval")(lm_eval)
app.command()(models)


@cache
def _command() -> Any:
    """What typer makes of all verbs: it reads their annotations anew for each call of ``app``."""
    return typer.main.get_command(app)


def main() -> None:
    """Run the command line.

    Exit code 0, 2 for bad input (one sentence, no traceback), 130 for an interrupt, 143 for SIGTERM.
    """
    try:
        with stopping.hearing(signal.SIGINT):
            os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
            _command()()
    except MutascopeError as error:
        print(f"mutascope: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (
        KeyboardInterrupt,
        SystemExit,
    ) as stop:  # typer turns an interrupt into exit code 130 without a word
        if isinstance(stop, SystemExit) and stop.code != 130:
            raise
        print("mutascope: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
