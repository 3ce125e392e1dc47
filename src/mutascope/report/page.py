"""From sections to the page."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mutascope.analysis.diff import visible
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.figures.palette import PAPER, Palette
from mutascope.findings.screens import Screens
from mutascope.report.sections import SECTIONS
from mutascope.report.sections.brief import headline
from mutascope.report.source import Source


def report_html(given: Screens, palette: Palette = PAPER) -> str:
    """Return the report as one HTML page that needs nothing else: no network, no script.

    All text that comes from a model, a prompt or a manifest is escaped.

    Args:
        given: the screens.
        palette: colours of figures and maps.

    Raises:
        MutascopeError: when the data of a screen are damaged.
    """
    return _render(Source(given, palette))


def write_report(
    given: Screens,
    out: str | os.PathLike[str],
    *,
    palette: Palette = PAPER,
    tell: Callable[[str], None] = print,
) -> None:
    """Write the report into a file, whose folder is made if need be.

    Args:
        given: the screens.
        out: the file.
        palette: colours of figures and maps.
        tell: is given the headline and the size of the page.

    Raises:
        MutascopeError: when the data of a screen are damaged, or the file cannot be written.
    """
    path = Path(out)
    if path.is_dir():
        raise MutascopeError(f"{path} is a folder: choose a file for --out, such as {path / 'report.html'}")
    source = Source(given, palette)
    page = _render(source)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise MutascopeError(f"{path} cannot be written: {error.strerror or error}") from error
    tell(headline(source))
    tell(f"{path}: {len(page.encode()) / 1e6:.1f} MB, open it in a browser")


def _render(source: Source) -> str:
    built, absent = [], []
    for section in SECTIONS:
        try:
            built.append((section, list(section.blocks(source))))
        except NotHere as reason:
            absent.append((section, str(reason)))
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=f"Mutagenesis screen: {', '.join(source.given.labels)}",
            models=sorted({results.manifest.model.name for results in source.given.results.values()}),
            headline=headline(source),
            sections=built,
            absent=absent,
            version=version("mutascope"),
        )
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("mutascope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: Any) -> Any:
    """Plain text with its invisible characters as escapes: what a model says could turn the page around."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
