"""The addresses of an atlas and what is found there: a server reads them one by one, a static folder holds them all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from mutascope.core.errors import MutascopeError
from mutascope.explorer.pages import page_names
from mutascope.explorer.panels import PanelPages
from mutascope.explorer.prepared import Pages, pages_of, stamp
from mutascope.figures.palette import PALETTES
from mutascope.findings import ScreenSet, open_many
from mutascope.findings.screens import labelled
from mutascope.findings.sentences import sentences
from mutascope.store import ScreenFolder
from mutascope.store.reader import ScreenData

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PANEL = re.compile(r"([0-9]+)/([0-9]+)\.bin")
_LOCUS = re.compile(r"\b\d+\.[a-z](?:[\w.-]*\w)?")


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
    def index(self) -> dict[str, Any]:
        """What the screen is and how far it is, and every locus with its counts."""
        manifest, index, total = self.results.manifest, self.pages.index, self.results.total
        return {
            **index,
            "label": self.label,
            "folder": self.results.folder.path,
            "stamp": self.stamp,
            "total": total,
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
        self._findings: bytes | None = None
        self.screens, self.panels = self._opened({})

    def _opened(self, known: dict[str, Screen]) -> tuple[list[Screen], list[PanelPages]]:
        """Open the screens, but for those that are as they were; and the panels, those within screens too."""
        opened = labelled(self._folders)
        maps = {label: each for label, each in opened.items() if each.manifest.assay.type != "panel"}
        panels = {label: each for label, each in opened.items() if label not in maps}
        if not maps:
            raise MutascopeError(
                "these are panels, which are no maps: read their outputs with"
                " `mutascope show FOLDER MUTANT --page FILE.html`"
            )
        screens = [
            known[label]
            if label in known and known[label].stamp == stamp(each.folder)
            else _screen(label, each.folder, keep=self.served)
            for label, each in maps.items()
        ]
        given = {each.folder.path.rstrip("/") for each in panels.values()}
        within = {
            f"{label}, panel": ScreenData(path)
            for label, path in (
                (label, f"{each.folder.path.rstrip('/')}/panel") for label, each in maps.items()
            )
            if path not in given and ScreenFolder(path).exists()
        }
        return screens, [PanelPages(label, each) for label, each in (panels | within).items()]

    def refresh(self) -> None:
        """Open the screens again whose folders hold other units or predictions than they did."""
        if any(screen.stamp != stamp(screen.results.folder) for screen in self.screens):
            self.screens, self.panels = self._opened({screen.label: screen for screen in self.screens})
            self._findings = None

    def paths(self) -> Iterator[str]:
        """Yield the addresses of all pages."""
        yield from web()
        yield "data/atlas.json"
        yield "data/findings.json"
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
            case ["data", "findings.json"]:
                if self._findings is None:
                    given = self._given or open_many(self._folders)
                    self._findings = _json(list(findings(given, self.screens)))
                return self._findings
            case ["data", "panels", page] if match := _PANEL.fullmatch(page):
                number, mutant = map(int, match.groups())
                return dict(enumerate(self.panels))[number].outputs(mutant)
            case ["data", number, page] if page.endswith(".bin") and number.isdecimal():
                screen = dict(enumerate(self.screens))[int(number)]
                return screen.pages.read(page.removesuffix(".bin"))
        return web()[path]

    def index(self) -> dict[str, Any]:
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


def palettes() -> dict[str, dict[str, str]]:
    """Return the colours of the statuses by palette."""
    return {
        name: {status.name.lower(): colour for status, colour in palette.statuses.items()}
        for name, palette in PALETTES.items()
    }


def media_type(path: str) -> str:
    """Return the media type of an address."""
    ending = path.rpartition(".")[2]
    return {"json": "application/json", "bin": "application/octet-stream", **_TYPES}[ending]


def findings(given: ScreenSet, screens: Sequence[Screen]) -> Iterator[dict[str, Any]]:
    """Yield the sentences of the report: ``section``, ``sentence``, and ``screen`` and ``locus`` that it speaks of.

    The last two are null where it speaks of none, or of several screens.
    """
    for section, said in sentences(given):
        for sentence in said:
            yield {"section": section.title, "sentence": sentence, **_place(sentence, screens)}


def _place(sentence: str, screens: Sequence[Screen]) -> dict[str, Any]:
    named, rest = [], sentence
    for number, screen in sorted(enumerate(screens), key=lambda item: -len(item[1].label)):
        rest, times = re.subn(rf"(?<!\w){re.escape(screen.label)}(?!\w)", "", rest)
        named += [number] if times else []
    number = named[0] if len(named) == 1 else 0 if len(screens) == 1 else None
    known = set() if number is None else {locus["name"] for locus in screens[number].pages.index["loci"]}
    loci = [name for name in _LOCUS.findall(sentence) if name in known]
    return {"screen": number, "locus": loci[0] if loci else None}


@cache
def web() -> dict[str, bytes]:
    """The parts of the page, by name."""
    folder = files("mutascope.explorer") / "web"
    return {
        part.name: part.read_bytes() for part in folder.iterdir() if part.name.rpartition(".")[2] in _TYPES
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
