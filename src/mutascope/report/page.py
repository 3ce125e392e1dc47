"""From the sections of the findings to the page."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mutascope.analysis.diff import visible
from mutascope.core.errors import MutascopeError, NotHere
from mutascope.figures.palette import PAPER, Palette
from mutascope.findings import ScreenSet, Section, all_findings
from mutascope.findings.blocks import Alarm, Block, Figures, Folded, Grid, Maps, Points, Prose, Rows
from mutascope.findings.controls import problems
from mutascope.findings.maps import LEGEND, fullest
from mutascope.findings.rates import headline
from mutascope.findings.sentences import sentences
from mutascope.report.cells import list_of_tables, rows_of, table_of
from mutascope.report.pictures import Album

_SENTENCES = 3
"""Sentences on one matter at the top of the page."""


def report_html(given: ScreenSet, palette: Palette = PAPER) -> str:
    """Return the report as one HTML page that needs nothing else: no network, no script.

    All text that comes from a model, a prompt or a manifest is escaped.

    Args:
        given: the screens.
        palette: colours of figures and maps.

    Raises:
        MutascopeError: when the data of a screen are damaged.
    """
    album = Album(given, palette)
    sections = [finding.section for finding in all_findings() if finding.section]
    built, absent = [], []
    for section in (Section("brief", "In brief", _brief), *sections, *_ENDING):
        try:
            built.append((section, list(_ready(section.blocks(given), given, album))))
        except NotHere as reason:
            absent.append((section, str(reason)))
    template = _environment().get_template("page.html")
    return template.render(
        title=f"Mutagenesis screen: {', '.join(given.labels)}",
        models=sorted({results.manifest.model.name for results in given.results.values()}),
        headline=headline(given),
        sections=[(section, list(album.fitted(blocks))) for section, blocks in built],
        absent=absent,
        version=version("mutascope"),
    )


def write_report(
    given: ScreenSet,
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
    page = report_html(given, palette)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise MutascopeError(f"{path} cannot be written: {error.strerror or error}") from error
    tell("; ".join(headline(given)))
    tell(f"{path}: {len(page.encode()) / 1e6:.1f} MB, open it in a browser")


def _brief(given: ScreenSet) -> Iterator[Block]:
    """Yield what failed, what was found in words, and the maps that show most."""
    for problem in problems(given):
        yield Alarm(problem)
    told = [sentence for _, said in sentences(given) for sentence in said[:_SENTENCES]]
    if told:
        yield Points(told)
    try:
        label = fullest(given)
    except NotHere:  # panels alone have no map
        return
    yield Maps(label)
    yield Prose(LEGEND)


def _tables(given: ScreenSet) -> Iterator[Block]:
    """Yield the list of tables."""
    folders = " ".join(results.folder.path for results in given.results.values())
    yield Prose(
        f"As CSV and Parquet, with a dictionary of all columns: mutascope analyze {folders} --out tables"
    )
    yield list_of_tables(given)


def _manifests(given: ScreenSet) -> Iterator[Block]:
    """Yield every setting as it is stored."""
    for label, results in given.results.items():
        text = results.manifest.to_json()
        yield Folded(f"Manifest of {label}", re.sub(r"(?<=[\[,\d])\s+(?=[-\d\]])", " ", text))


_ENDING = (Section("tables", "All tables", _tables), Section("manifests", "Manifests", _manifests))


def _ready(blocks: Iterable[Block], given: ScreenSet, album: Album) -> Iterator[tuple[str, object]]:
    """Yield the blocks with the names of their templates."""
    for block in blocks:
        for ready in _drawn(block, given, album):
            yield f"blocks/{type(ready).__name__.lower()}.html", ready


def _drawn(block: Block, given: ScreenSet, album: Album) -> Iterable[object]:
    match block:
        case Rows():
            return rows_of(given, block)
        case Figures():
            return album.figures(block)
        case Maps():
            return album.maps(block)
        case Grid():
            return [table_of(block)]
        case _:
            return [block]


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
