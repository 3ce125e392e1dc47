"""The addresses of an atlas and what is found there: a server reads them one by one, a static folder holds them all."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, TypeVar

from mutascope.core.errors import MutascopeError
from mutascope.explorer.elsewhere import found_elsewhere
from mutascope.explorer.pages import page_names
from mutascope.explorer.panels import PanelPages
from mutascope.explorer.prepared import Pages, pages_of, stamp
from mutascope.explorer.shapes import AtlasIndex, ScreenIndex
from mutascope.explorer.told import Told, findings, found_here
from mutascope.figures.palette import PALETTES
from mutascope.findings import ScreenSet, open_many
from mutascope.findings.labels import labelled
from mutascope.store import ScreenFolder
from mutascope.store.reader import ScreenData

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PANEL = re.compile(r"([0-9]+)/([0-9]+)\.bin")
FINDINGS = "data/findings.jsonl"


@dataclass(frozen=True)
class Screen:
    """A screen of an atlas.

    Attributes:
        label: what it is called.
        results: of the screen, of which nothing is read that is not asked for.
        stamp: of its folder, from before it was opened.
        pages: on it.
    """

    label: str
    results: ScreenData
    stamp: str
    pages: Pages

    @property
    def index(self) -> ScreenIndex:
        """What the screen is and how far it is, and every locus with its counts."""
        manifest, index, total = self.results.manifest, self.pages.index, self.results.total
        return {
            **index,
            "label": self.label,
            "folder": self.results.folder.path,
            "stamp": self.stamp,
            "total": total,
            "imported": bool(manifest.imported),
            "finished": bool(manifest.imported) or (manifest.vouched and index["done"] == total),
        }


class Atlas:
    """Screens as a site: ``index.html`` and its parts, and data below ``data/``.

    Args:
        folders: screen folders, as :func:`~mutascope.findings.open_many` takes them.
        served: whether somebody answers requests; otherwise the site is a folder of files.
        live: whether mutants of the first screen's model can be asked.
        given: the same screens, where they are open already, for the findings.

    Raises:
        MutascopeError: when there is nothing to show.
    """

    def __init__(
        self,
        folders: Sequence[str],
        *,
        served: bool = True,
        live: bool = False,
        given: ScreenSet | None = None,
    ) -> None:
        self._folders, self.served, self.live, self._given = list(folders), served, live, given
        self.screens, self.panels = self._opened([], [])
        self.findings = self._told()

    def _opened(
        self, screens: Sequence[Screen], panels: Sequence[PanelPages]
    ) -> tuple[list[Screen], list[PanelPages]]:
        """Open screens and panels, those within screens too, but for those that are as they were."""
        opened = labelled(self._folders)
        given = {label: each.folder for label, each in opened.items() if each.manifest.assay.type == "panel"}
        maps = {label: each.folder for label, each in opened.items() if label not in given}
        if not maps:
            raise MutascopeError(
                "these are panels, which are no maps: read their outputs with"
                " `mutascope show FOLDER MUTANT --page FILE.html`"
            )
        all_panels = given | _panels_within(maps, {_path(folder) for folder in given.values()})
        return (
            [
                _unchanged(screens, label, folder) or _screen(label, folder, keep=self.served)
                for label, folder in maps.items()
            ],
            [
                _unchanged(panels, label, folder) or PanelPages(label, folder)
                for label, folder in all_panels.items()
            ],
        )

    def _told(self) -> Told:
        elsewhere = self.served and self._given is None
        found = (
            found_elsewhere(self._folders)
            if elsewhere
            else found_here(lambda: self._given or open_many(self._folders))
        )
        return Told(findings(found, self.screens))

    def refresh(self) -> None:
        """Open again what holds other units or predictions than it did, and panels that have come into a screen."""
        maps = {screen.label: screen.results.folder for screen in self.screens}
        known = {_path(panel.results.folder) for panel in self.panels}
        changed = any(each.stamp != stamp(each.results.folder) for each in (*self.screens, *self.panels))
        if changed or _panels_within(maps, known):
            self.screens, self.panels = self._opened(self.screens, self.panels)
            self.findings = self._told()

    def paths(self) -> Iterator[str]:
        """Yield the addresses of all pages."""
        yield from web()
        yield "data/atlas.json"
        yield FINDINGS
        for number, screen in enumerate(self.screens):
            yield from (f"data/{number}/{name}.bin" for name in page_names(screen.pages.index))
        for number, panel in enumerate(self.panels):
            yield from (f"data/panels/{number}/{place}.bin" for place in range(len(panel.mutants)))

    def read(self, path: str) -> bytes:
        """Return the page at an address.

        Raises:
            KeyError: when there is none.
        """
        match path.split("/", 2):
            case ["data", "atlas.json"]:
                return _json(self.index())
            case ["data", "findings.jsonl"]:
                return b"".join(self.findings)
            case ["data", "panels", page] if match := _PANEL.fullmatch(page):
                number, mutant = map(int, match.groups())
                return dict(enumerate(self.panels))[number].outputs(mutant)
            case ["data", number, page] if page.endswith(".bin") and number.isdecimal():
                screen = dict(enumerate(self.screens))[int(number)]
                return screen.pages.read(page.removesuffix(".bin"))
        return web()[path]

    def index(self) -> AtlasIndex:
        """Return what the whole atlas holds."""
        return {
            "version": version("mutascope"),
            "served": self.served,
            "live": self.live,
            "palettes": palettes(),
            "screens": [screen.index for screen in self.screens],
            "panels": [panel.index for panel in self.panels],
        }


def _screen(label: str, folder: ScreenFolder, *, keep: bool) -> Screen:
    """Open a screen; what is written meanwhile is not in the stamp, and will be seen."""
    now = stamp(folder)
    return Screen(label, ScreenData(folder), now, pages_of(folder, now, keep=keep))


Opened = TypeVar("Opened", Screen, PanelPages)


def _unchanged(known: Iterable[Opened], label: str, folder: ScreenFolder) -> Opened | None:
    """The screen or panel of a label among those that are open, if its folder is as it was."""
    return next((each for each in known if (each.label, each.stamp) == (label, stamp(folder))), None)


def _panels_within(maps: Mapping[str, ScreenFolder], known: Container[str]) -> dict[str, ScreenFolder]:
    """The panels that stand in the folders of screens, but for those whose path is known."""
    found = {f"{label}, panel": f"{_path(folder)}/panel" for label, folder in maps.items()}
    folders = {label: ScreenFolder(path) for label, path in found.items() if path not in known}
    return {label: folder for label, folder in folders.items() if folder.exists()}


def _path(folder: ScreenFolder) -> str:
    return folder.path.rstrip("/")


def palettes() -> dict[str, dict[str, str]]:
    """Return the colours of the statuses by palette."""
    return {
        name: {status.name.lower(): colour for status, colour in palette.statuses.items()}
        for name, palette in PALETTES.items()
    }


def media_type(path: str) -> str:
    """Return the media type of an address."""
    ending = path.rpartition(".")[2]
    data = {"json": "application/json", "jsonl": "application/jsonl", "bin": "application/octet-stream"}
    return {**data, **_TYPES}[ending]


@cache
def web() -> dict[str, bytes]:
    """The parts of the page, by name."""
    folder = files("mutascope.explorer") / "web"
    return {
        part.name: part.read_bytes() for part in folder.iterdir() if part.name.rpartition(".")[2] in _TYPES
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
